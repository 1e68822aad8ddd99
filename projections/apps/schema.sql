CREATE TABLE apps_v3 (
    app TEXT NOT NULL,
    registered_at BIGINT NOT NULL,
    environment TEXT NOT NULL,
    plan TEXT NOT NULL,
    settings TEXT NOT NULL,
    signature_window_seconds BIGINT NOT NULL,
    -- Position of the event since which only friends may message each other; none: everybody may.
    friends_only_position BIGINT,
    PRIMARY KEY (app)
) /*clustered*/;
CREATE TABLE apps_secrets_v3 (
    app TEXT NOT NULL,
    secret BIGINT NOT NULL,
    PRIMARY KEY (app, secret)
) /*clustered*/;
-- owner: 'user' or 'friend', whichever carries the field.
CREATE TABLE apps_fields_v3 (
    app TEXT NOT NULL,
    owner TEXT NOT NULL,
    field TEXT NOT NULL,
    PRIMARY KEY (app, owner, field)
) /*clustered*/;
CREATE TABLE apps_api_keys_v3 (
    app TEXT NOT NULL,
    key BIGINT NOT NULL,
    description TEXT NOT NULL,
    PRIMARY KEY (app, key)
) /*clustered*/;
