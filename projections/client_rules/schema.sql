CREATE TABLE client_rules_v1 (
    app TEXT NOT NULL,
    devices TEXT NOT NULL,
    invalidation_cuts BIGINT NOT NULL,
    erasure BIGINT NOT NULL,
    without_last_seen BIGINT NOT NULL,
    PRIMARY KEY (app)
) /*clustered*/;
