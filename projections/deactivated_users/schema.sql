CREATE TABLE deactivated_users_v1 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    deactivated_at BIGINT NOT NULL,
    deactivated_position BIGINT NOT NULL,
    operation TEXT NOT NULL,
    -- 1 while the erasure can be called off or waits for a legal hold.
    restricted BIGINT NOT NULL,
    PRIMARY KEY (subject)
) /*clustered*/;
CREATE INDEX deactivated_users_v1_latest ON deactivated_users_v1 (app, deactivated_position);
CREATE INDEX deactivated_users_v1_restricted ON deactivated_users_v1 (subject) WHERE restricted = 1;
CREATE TABLE deactivated_users_count_v1 (
    app TEXT NOT NULL,
    users BIGINT NOT NULL,
    PRIMARY KEY (app)
) /*clustered*/;
