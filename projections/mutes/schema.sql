CREATE TABLE mutes_v3 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    -- Since when without a break.
    muted_at BIGINT NOT NULL,
    -- NULL: it does not end by itself.
    ends_at BIGINT,
    muted_position BIGINT NOT NULL,
    -- Of the event that gave it this end.
    set_position BIGINT NOT NULL,
    PRIMARY KEY (subject)
) /*clustered*/;
-- With the subject and the end, so that a numbered page steps over entries of the index alone.
CREATE INDEX mutes_v3_order ON mutes_v3 (app, muted_position, subject, ends_at);
CREATE INDEX mutes_v3_ends ON mutes_v3 (ends_at) WHERE ends_at IS NOT NULL;
CREATE INDEX mutes_v3_app_ends ON mutes_v3 (app, ends_at) WHERE ends_at IS NOT NULL;
-- All rows, those whose time is over as well.
CREATE TABLE mutes_count_v3 (
    app TEXT NOT NULL,
    users BIGINT NOT NULL,
    PRIMARY KEY (app)
) /*clustered*/;
