CREATE TABLE deactivated_users_v3 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    deactivated_at BIGINT NOT NULL,
    deactivated_position BIGINT NOT NULL,
    operation TEXT NOT NULL,
    -- 1 while the erasure can be called off or waits for a legal hold.
    restricted BIGINT NOT NULL,
    erasure BYTEA NOT NULL,
    -- Who asked for it first.
    actor TEXT NOT NULL,
    PRIMARY KEY (subject)
) /*clustered*/;
-- The subject is in it so that a numbered page steps over entries of the index and not over rows.
CREATE INDEX deactivated_users_v3_latest ON deactivated_users_v3 (app, deactivated_position, subject);
CREATE INDEX deactivated_users_v3_restricted ON deactivated_users_v3 (subject) WHERE restricted = 1;
