CREATE TABLE access_tokens_v1 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    issued BIGINT NOT NULL,
    last_token BYTEA,
    last_issued_at BIGINT,
    last_expires_at BIGINT,
    last_secret BIGINT,
    last_epoch BIGINT,
    invalid_before BIGINT,
    PRIMARY KEY (subject)
) /*clustered*/;
