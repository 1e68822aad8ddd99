CREATE TABLE banned_users_v4 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    -- When the user was first banned without a break, or is going to be.
    banned_at BIGINT NOT NULL,
    starts_at BIGINT NOT NULL,
    -- 9999-12-31T23:59:59.999Z: never.
    until_at BIGINT NOT NULL,
    -- When the clock makes the next event of it: its start while that is not recorded, then its end.
    acts_at BIGINT NOT NULL,
    -- The start, while it is not recorded that it has come.
    begins_at BIGINT,
    reason BYTEA,
    note BYTEA,
    actor TEXT NOT NULL,
    -- Of the request that set it, and when that was recorded.
    correlation BYTEA NOT NULL,
    set_at BIGINT NOT NULL,
    -- Of the event that set it.
    imposed_position BIGINT NOT NULL,
    PRIMARY KEY (subject)
);
-- With the start, so that bans that are to begin are stepped over in the index.
CREATE INDEX banned_users_v4_app_until ON banned_users_v4 (app, until_at, subject, starts_at);
CREATE INDEX banned_users_v4_app_begins ON banned_users_v4 (app, begins_at, subject) WHERE begins_at IS NOT NULL;
CREATE INDEX banned_users_v4_acts ON banned_users_v4 (acts_at);
-- What became of bans that do not last: one row for each order of a moderator.
CREATE TABLE banned_users_ended_v4 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    banned_at BIGINT NOT NULL,
    starts_at BIGINT NOT NULL,
    until_at BIGINT NOT NULL,
    reason BYTEA,
    note BYTEA,
    actor TEXT NOT NULL,
    correlation BYTEA NOT NULL,
    set_at BIGINT NOT NULL,
    imposed_position BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    ended_by TEXT NOT NULL,
    -- expired, lifted, replaced or cancelled.
    ending TEXT NOT NULL,
    ended_position BIGINT NOT NULL,
    PRIMARY KEY (subject, imposed_position)
);
CREATE INDEX banned_users_ended_v4_app ON banned_users_ended_v4 (app, ended_position);
