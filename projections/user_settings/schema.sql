-- quiet_start: seconds since midnight.
CREATE TABLE user_settings_v2 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    quiet_start BIGINT,
    quiet_minutes BIGINT,
    quiet_level BIGINT,
    friend_permission TEXT,
    visibility TEXT,
    PRIMARY KEY (subject)
) /*clustered*/;
