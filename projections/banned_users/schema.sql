CREATE TABLE banned_users_v1 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    banned_at BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    reason BYTEA,
    PRIMARY KEY (subject)
);
CREATE INDEX banned_users_v1_app_until ON banned_users_v1 (app, until_at, subject);
CREATE INDEX banned_users_v1_until ON banned_users_v1 (until_at);
