CREATE TABLE deactivated_users_v1 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    deactivated_at BIGINT NOT NULL,
    deactivated_position BIGINT NOT NULL,
    operation TEXT NOT NULL,
    PRIMARY KEY (subject)
) /*clustered*/;
CREATE INDEX deactivated_users_v1_latest ON deactivated_users_v1 (app, deactivated_position);
CREATE TABLE deactivated_users_count_v1 (
    app TEXT NOT NULL,
    users BIGINT NOT NULL,
    PRIMARY KEY (app)
) /*clustered*/;
