CREATE TABLE friend_graph_v3 (
    owner BYTEA NOT NULL,
    friend BYTEA NOT NULL,
    befriended_at BIGINT NOT NULL,
    befriended_position BIGINT NOT NULL,
    PRIMARY KEY (owner, friend)
) /*clustered*/;
CREATE INDEX friend_graph_v3_order ON friend_graph_v3 (owner, befriended_position);
-- state: pending, or how the request ended.
CREATE TABLE friend_graph_requests_v3 (
    requested_position BIGINT NOT NULL,
    app TEXT NOT NULL,
    asking BYTEA NOT NULL,
    asked BYTEA NOT NULL,
    requested_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    state TEXT NOT NULL,
    ended_at BIGINT,
    message BYTEA,
    PRIMARY KEY (requested_position)
);
CREATE INDEX friend_graph_requests_v3_pair ON friend_graph_requests_v3 (asking, asked);
CREATE INDEX friend_graph_requests_v3_sent ON friend_graph_requests_v3 (asking, state, requested_position);
CREATE INDEX friend_graph_requests_v3_received ON friend_graph_requests_v3 (asked, state, requested_position);
CREATE INDEX friend_graph_requests_v3_due ON friend_graph_requests_v3 (expires_at, requested_position)
    WHERE state = 'pending';
CREATE INDEX friend_graph_requests_v3_ended ON friend_graph_requests_v3 (ended_at, requested_position)
    WHERE ended_at IS NOT NULL;
-- field: a declared field, or the empty text for the remark name.
CREATE TABLE friend_graph_descriptions_v3 (
    owner BYTEA NOT NULL,
    about BYTEA NOT NULL,
    field TEXT NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (owner, about, field)
);
CREATE INDEX friend_graph_descriptions_v3_about ON friend_graph_descriptions_v3 (about);
