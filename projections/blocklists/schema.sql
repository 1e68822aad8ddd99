-- sequence: position of the event and place in it; the order of the list.
CREATE TABLE blocklists_v2 (
    owner BYTEA NOT NULL,
    target BYTEA NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (owner, target)
) /*clustered*/;
CREATE INDEX blocklists_v2_newest ON blocklists_v2 (owner, sequence);
-- By owner and not by sequence: whoever looks for one entry finds it in either index.
CREATE INDEX blocklists_v2_of_target ON blocklists_v2 (target, owner);
