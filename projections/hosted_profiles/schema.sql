-- registered_position: place in lists; that of the first change where the user was never registered.
CREATE TABLE hosted_profiles_v2 (
    subject BYTEA NOT NULL,
    app TEXT NOT NULL,
    registered_position BIGINT NOT NULL,
    changes BIGINT NOT NULL,
    filled BIGINT NOT NULL,
    PRIMARY KEY (subject)
) /*clustered*/;
CREATE INDEX hosted_profiles_v2_filled ON hosted_profiles_v2 (app, registered_position, subject) WHERE filled = 1;
CREATE TABLE hosted_profiles_fields_v2 (
    subject BYTEA NOT NULL,
    field TEXT NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (subject, field)
);
