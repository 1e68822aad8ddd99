CREATE TABLE friend_graph_v1 (
    owner BYTEA NOT NULL,
    friend BYTEA NOT NULL,
    befriended_at BIGINT NOT NULL,
    befriended_position BIGINT NOT NULL,
    PRIMARY KEY (owner, friend)
) /*clustered*/;
CREATE INDEX friend_graph_v1_order ON friend_graph_v1 (owner, befriended_position);
CREATE TABLE friend_graph_requests_v1 (
    asking BYTEA NOT NULL,
    asked BYTEA NOT NULL,
    requested_at BIGINT NOT NULL,
    requested_position BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    message BYTEA,
    PRIMARY KEY (asking, asked)
);
CREATE INDEX friend_graph_requests_v1_asked ON friend_graph_requests_v1 (asked, requested_position);
CREATE INDEX friend_graph_requests_v1_asking ON friend_graph_requests_v1 (asking, requested_position);
-- field: a declared field, or the empty text for the remark name.
CREATE TABLE friend_graph_descriptions_v1 (
    owner BYTEA NOT NULL,
    about BYTEA NOT NULL,
    field TEXT NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (owner, about, field)
);
CREATE INDEX friend_graph_descriptions_v1_about ON friend_graph_descriptions_v1 (about);
