CREATE TABLE user_directory_v2 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    tag BYTEA,
    user_id BYTEA,
    introduced_position BIGINT NOT NULL,
    name BYTEA,
    portrait BYTEA,
    epoch BIGINT NOT NULL,
    registered_at BIGINT,
    registered_position BIGINT,
    deactivated BIGINT NOT NULL,
    PRIMARY KEY (subject)
);
CREATE INDEX user_directory_v2_tag ON user_directory_v2 (tag);
CREATE INDEX user_directory_v2_registered ON user_directory_v2 (app, registered_position)
    WHERE registered_position IS NOT NULL AND deactivated = 0;
CREATE TABLE user_directory_count_v2 (
    app TEXT NOT NULL,
    registered BIGINT NOT NULL,
    PRIMARY KEY (app)
) /*clustered*/;
