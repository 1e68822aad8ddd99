CREATE TABLE recipients_v1 (
    subject BYTEA NOT NULL,
    webhook BYTEA NOT NULL,
    recipient TEXT NOT NULL,
    PRIMARY KEY (subject, webhook, recipient)
) /*clustered*/;
