CREATE TABLE invalidated_tokens_v2 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    invalid_before BIGINT NOT NULL,
    PRIMARY KEY (subject)
) /*clustered*/;
CREATE TABLE invalidated_tokens_revoked_v2 (
    subject BYTEA NOT NULL,
    token BYTEA NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT,
    PRIMARY KEY (subject, token)
) /*clustered*/;
CREATE TABLE invalidated_tokens_apps_v2 (
    app TEXT NOT NULL,
    invalid_before BIGINT NOT NULL,
    PRIMARY KEY (app)
) /*clustered*/;
