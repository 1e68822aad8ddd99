CREATE TABLE imports_v1 (
    import BYTEA NOT NULL,
    app TEXT NOT NULL,
    kind TEXT NOT NULL,
    on_conflict TEXT NOT NULL,
    -- Bytes that the caller sends; NULL: it did not say.
    length BIGINT,
    bytes BIGINT NOT NULL,
    done BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    is_ended BIGINT NOT NULL,
    -- Who asked, as JSON.
    actor TEXT NOT NULL,
    begun_at BIGINT NOT NULL,
    begun_position BIGINT NOT NULL,
    progressed_at BIGINT NOT NULL,
    PRIMARY KEY (import)
) /*clustered*/;
CREATE INDEX imports_v1_of_app ON imports_v1 (app, begun_position);
CREATE TABLE imports_refused_v1 (
    import BYTEA NOT NULL,
    number BIGINT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (import, number)
) /*clustered*/;
