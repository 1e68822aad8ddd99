CREATE TABLE mutes_v1 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    muted_position BIGINT NOT NULL,
    PRIMARY KEY (subject)
) /*clustered*/;
CREATE INDEX mutes_v1_order ON mutes_v1 (app, muted_position);
CREATE TABLE mutes_count_v1 (
    app TEXT NOT NULL,
    users BIGINT NOT NULL,
    PRIMARY KEY (app)
) /*clustered*/;
