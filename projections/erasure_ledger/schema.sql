CREATE TABLE erasure_ledger_v2 (
    erasure BYTEA NOT NULL,
    app TEXT NOT NULL,
    subject BYTEA NOT NULL,
    scope TEXT NOT NULL,
    operation TEXT NOT NULL,
    requested_position BIGINT NOT NULL,
    requested_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    basis TEXT NOT NULL,
    requester TEXT NOT NULL,
    step TEXT NOT NULL,
    step_at BIGINT NOT NULL,
    -- 0 once it has begun.
    waits_until BIGINT NOT NULL,
    -- 1 while a legal hold keeps it from beginning.
    held BIGINT NOT NULL,
    -- 1 once nothing is left to do.
    ended BIGINT NOT NULL,
    -- From when no command about the person lands any more.
    fenced_at BIGINT,
    begun_at BIGINT,
    scrubbed_at BIGINT,
    finalised_at BIGINT,
    report_position BIGINT,
    report_status TEXT,
    -- When the app acknowledged that it was told.
    notified_at BIGINT,
    PRIMARY KEY (erasure)
) /*clustered*/;
CREATE INDEX erasure_ledger_v2_subject ON erasure_ledger_v2 (subject, requested_position);
-- The app comes first: with the operation alone a planner may take the app's whole ledger instead.
CREATE INDEX erasure_ledger_v2_operation ON erasure_ledger_v2 (app, operation, requested_position);
CREATE INDEX erasure_ledger_v2_requested ON erasure_ledger_v2 (app, requested_at);
CREATE INDEX erasure_ledger_v2_of_app ON erasure_ledger_v2 (app, requested_position);
CREATE INDEX erasure_ledger_v2_drills ON erasure_ledger_v2 (app, requested_position) WHERE requester = 'drill';
-- All that have begun wait until 0: without the position they would be sorted for each batch.
CREATE INDEX erasure_ledger_v2_open ON erasure_ledger_v2 (held, waits_until, requested_position) WHERE ended = 0;
CREATE INDEX erasure_ledger_v2_untold ON erasure_ledger_v2 (app, finalised_at, requested_position) WHERE notified_at IS NULL;
