-- sequence: position of the event and place in it; the order of the list.
CREATE TABLE allowlists_v3 (
    owner BYTEA NOT NULL,
    target BYTEA NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (owner, target)
) /*clustered*/;
CREATE INDEX allowlists_v3_newest ON allowlists_v3 (owner, sequence);
-- By owner and not by sequence: whoever looks for one entry finds it in either index.
CREATE INDEX allowlists_v3_of_target ON allowlists_v3 (target, owner);
-- Whose list is in force.
CREATE TABLE allowlists_enabled_v3 (
    owner BYTEA NOT NULL,
    enabled_position BIGINT NOT NULL,
    PRIMARY KEY (owner)
) /*clustered*/;
