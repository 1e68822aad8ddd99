CREATE TABLE data_requests_v1 (
    request BYTEA NOT NULL,
    app TEXT NOT NULL,
    subject BYTEA NOT NULL,
    kind TEXT NOT NULL,
    received_position BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    status TEXT NOT NULL,
    -- 1 while it waits for its answer.
    is_open BIGINT NOT NULL,
    closed_at BIGINT,
    PRIMARY KEY (request)
) /*clustered*/;
CREATE INDEX data_requests_v1_of_app ON data_requests_v1 (app, received_position);
CREATE INDEX data_requests_v1_due ON data_requests_v1 (app, due_at, received_position) WHERE is_open = 1;
