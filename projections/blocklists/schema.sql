-- sequence: position of the event and place in it; the order of the list.
CREATE TABLE blocklists_v1 (
    owner BYTEA NOT NULL,
    target BYTEA NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (owner, target)
) /*clustered*/;
CREATE INDEX blocklists_v1_newest ON blocklists_v1 (owner, sequence);
