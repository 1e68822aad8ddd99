CREATE TABLE webhooks_v1 (
    webhook BYTEA NOT NULL,
    app TEXT NOT NULL,
    registered_position BIGINT NOT NULL,
    registered_at BIGINT NOT NULL,
    endpoint TEXT NOT NULL,
    key BIGINT NOT NULL,
    -- Until when the key before signs as well.
    previous_until BIGINT,
    is_enabled BIGINT NOT NULL,
    -- Why it is disabled.
    cause TEXT,
    failing_since BIGINT,
    PRIMARY KEY (webhook)
) /*clustered*/;
CREATE INDEX webhooks_v1_of_app ON webhooks_v1 (app, registered_position);
