CREATE TABLE operations_v1 (
    batch BYTEA NOT NULL,
    app TEXT NOT NULL,
    act TEXT NOT NULL,
    total BIGINT NOT NULL,
    done BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    -- NULL while it is not to be taken back.
    undone BIGINT,
    ends_at BIGINT,
    -- Who asked, as JSON.
    actor TEXT NOT NULL,
    -- Who asked to take it back, likewise.
    undo_actor TEXT,
    -- 1 while it has something to do.
    is_open BIGINT NOT NULL,
    requested_at BIGINT NOT NULL,
    requested_position BIGINT NOT NULL,
    -- When it began to do what it does now, and when it last got further.
    begun_at BIGINT NOT NULL,
    progressed_at BIGINT NOT NULL,
    PRIMARY KEY (batch)
) /*clustered*/;
CREATE INDEX operations_v1_of_app ON operations_v1 (app, requested_position);
CREATE INDEX operations_v1_open ON operations_v1 (requested_position) WHERE is_open = 1;
CREATE TABLE operations_items_v1 (
    batch BYTEA NOT NULL,
    number BIGINT NOT NULL,
    subject BYTEA NOT NULL,
    reason BYTEA,
    result TEXT,
    undo_result TEXT,
    PRIMARY KEY (batch, number)
) /*clustered*/;
CREATE INDEX operations_items_v1_reasons ON operations_items_v1 (subject) WHERE reason IS NOT NULL;
