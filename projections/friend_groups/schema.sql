CREATE TABLE friend_groups_v1 (
    owner BYTEA NOT NULL,
    number BIGINT NOT NULL,
    label BYTEA NOT NULL,
    PRIMARY KEY (owner, number)
);
CREATE TABLE friend_groups_members_v1 (
    owner BYTEA NOT NULL,
    number BIGINT NOT NULL,
    friend BYTEA NOT NULL,
    PRIMARY KEY (owner, number, friend)
) /*clustered*/;
CREATE INDEX friend_groups_members_v1_friend ON friend_groups_members_v1 (owner, friend);
