CREATE TABLE friend_graph_v2 (
    owner BYTEA NOT NULL,
    friend BYTEA NOT NULL,
    befriended_at BIGINT NOT NULL,
    befriended_position BIGINT NOT NULL,
    PRIMARY KEY (owner, friend)
) /*clustered*/;
CREATE INDEX friend_graph_v2_order ON friend_graph_v2 (owner, befriended_position);
CREATE TABLE friend_graph_requests_v2 (
    asking BYTEA NOT NULL,
    asked BYTEA NOT NULL,
    requested_at BIGINT NOT NULL,
    requested_position BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    message BYTEA,
    PRIMARY KEY (asking, asked)
);
CREATE INDEX friend_graph_requests_v2_asked ON friend_graph_requests_v2 (asked, asking);
CREATE INDEX friend_graph_requests_v2_expiring ON friend_graph_requests_v2 (expires_at, asking, asked);
-- field: a declared field, or the empty text for the remark name.
CREATE TABLE friend_graph_descriptions_v2 (
    owner BYTEA NOT NULL,
    about BYTEA NOT NULL,
    field TEXT NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (owner, about, field)
);
CREATE INDEX friend_graph_descriptions_v2_about ON friend_graph_descriptions_v2 (about);
