CREATE TABLE remarks_v1 (
    owner BYTEA NOT NULL,
    target BYTEA NOT NULL,
    remarked_position BIGINT NOT NULL,
    remark BYTEA NOT NULL,
    PRIMARY KEY (owner, target)
);
CREATE INDEX remarks_v1_order ON remarks_v1 (owner, remarked_position, target);
CREATE INDEX remarks_v1_target ON remarks_v1 (target, owner);
