CREATE TABLE banned_users_v3 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    banned_at BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    reason BYTEA,
    -- Of the event that set this end.
    imposed_position BIGINT NOT NULL,
    PRIMARY KEY (subject)
);
CREATE INDEX banned_users_v3_app_until ON banned_users_v3 (app, until_at, subject);
CREATE INDEX banned_users_v3_until ON banned_users_v3 (until_at);
