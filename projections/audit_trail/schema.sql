CREATE TABLE audit_trail_v2 (
    subject BYTEA NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (subject, position)
) /*clustered*/;
