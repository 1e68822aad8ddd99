CREATE TABLE invalidated_tokens_v1 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    invalid_before BIGINT NOT NULL,
    PRIMARY KEY (subject)
) /*clustered*/;
