CREATE TABLE erasure_ledger_v1 (
    erasure BYTEA NOT NULL,
    app TEXT NOT NULL,
    subject BYTEA NOT NULL,
    scope TEXT NOT NULL,
    operation TEXT NOT NULL,
    requested_position BIGINT NOT NULL,
    requested_at BIGINT NOT NULL,
    relations_ended_at BIGINT,
    friendships_ended BIGINT,
    scrubbed_at BIGINT,
    keys_destroyed BIGINT,
    generation_before BIGINT,
    generation_after BIGINT,
    events_detached BIGINT,
    finished_at BIGINT,
    PRIMARY KEY (erasure)
) /*clustered*/;
CREATE INDEX erasure_ledger_v1_subject ON erasure_ledger_v1 (subject, requested_position);
CREATE INDEX erasure_ledger_v1_operation ON erasure_ledger_v1 (operation, requested_position);
CREATE INDEX erasure_ledger_v1_open ON erasure_ledger_v1 (requested_position) WHERE finished_at IS NULL;
