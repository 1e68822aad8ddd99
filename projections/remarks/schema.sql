CREATE TABLE remarks_v2 (
    owner BYTEA NOT NULL,
    target BYTEA NOT NULL,
    remarked_position BIGINT NOT NULL,
    remark BYTEA NOT NULL,
    PRIMARY KEY (owner, target)
);
CREATE INDEX remarks_v2_order ON remarks_v2 (owner, remarked_position, target);
CREATE INDEX remarks_v2_target ON remarks_v2 (target, owner);
