CREATE TABLE banned_users_v2 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    banned_at BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    reason BYTEA,
    PRIMARY KEY (subject)
);
CREATE INDEX banned_users_v2_app_until ON banned_users_v2 (app, until_at, subject);
CREATE INDEX banned_users_v2_until ON banned_users_v2 (until_at);
