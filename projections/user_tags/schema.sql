CREATE TABLE user_tags_v2 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    tags BYTEA NOT NULL,
    PRIMARY KEY (subject)
);
