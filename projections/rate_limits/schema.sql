CREATE TABLE rate_limits_v1 (
    app TEXT NOT NULL,
    -- off, platform or a number of calls within a second.
    rate_limit TEXT NOT NULL,
    PRIMARY KEY (app)
) /*clustered*/;
