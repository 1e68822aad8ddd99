-- The app comes first, so that a page of one app never steps over the events of others.
CREATE TABLE audit_trail_v1 (
    app TEXT NOT NULL,
    position BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    name TEXT NOT NULL,
    subject BYTEA,
    other BYTEA,
    correlation BYTEA NOT NULL,
    PRIMARY KEY (app, position)
) /*clustered*/;
CREATE INDEX audit_trail_v1_subject ON audit_trail_v1 (subject, position) WHERE subject IS NOT NULL;
-- What an erasure has to visit: remarks, requests and descriptions stand in events of others.
CREATE INDEX audit_trail_v1_other ON audit_trail_v1 (other, position) WHERE other IS NOT NULL;
