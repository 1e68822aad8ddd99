-- since_position: the event that gave the user this value.
CREATE TABLE unique_ids_v1 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    tag BYTEA NOT NULL,
    since_position BIGINT NOT NULL,
    PRIMARY KEY (subject)
) /*clustered*/;
CREATE INDEX unique_ids_v1_tag ON unique_ids_v1 (tag, since_position);
