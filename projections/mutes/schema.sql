CREATE TABLE mutes_v2 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    muted_position BIGINT NOT NULL,
    PRIMARY KEY (subject)
) /*clustered*/;
-- With the subject, so that a numbered page steps over entries of the index alone.
CREATE INDEX mutes_v2_order ON mutes_v2 (app, muted_position, subject);
CREATE TABLE mutes_count_v2 (
    app TEXT NOT NULL,
    users BIGINT NOT NULL,
    PRIMARY KEY (app)
) /*clustered*/;
