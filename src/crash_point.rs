//! Labelled points at which a debug build can be told to die, so that a test can see what a crash there leaves.
//!
//! `ROLLCALL_CRASH_AT=label` or `label:n` (the n-th time) ends the process on the spot: nothing is dropped, flushed or
//! answered. A release build knows nothing of it.

/// Every label, with the command that passes it.
pub const LABELS: &[&str] = &[
    "append.before",
    "append.durable",
    "project.before",
    "project.applied",
    "erase.due",
    "erase.begun",
    "erase.relations_ended",
    "erase.witnessed",
    "erase.destroyed",
    "erase.detached",
    "erase.scrub_recorded",
    "erase.scrubbed",
    "erase.remains_counted",
    "erase.read_models_scrubbed",
    "erase.control_opened",
    "erase.tried",
    "erase.verified",
    "erase.report_made",
    "erase.report_recorded",
    "erase.reported",
    "erase.finalise_recorded",
    "erase.finalised",
    "detach.before",
    "detach.written",
    "detach.committed",
    "rotate.asked",
    "rotate.begun",
    "rotate.root_beside",
    "rotate.shard_rewrapped",
    "rotate.rewrapped",
    "rotate.ledger_written",
    "rotate.moved_on",
    "rotate.committed",
    "rotate.old_root_gone",
    "rotate.log_emptied",
    "rotate.forgotten",
    "cell.put",
    "cell.written",
    "cell.wipe",
    "cell.wiped",
    "tree.read",
    "tree.appended",
    "tree.root",
    "tree.signed",
    "tree.beside",
    "tree.published",
    "tree.kept",
    "tree.witnessed",
];

/// The labels that a delivery to a webhook passes.
pub const WEBHOOK_LABELS: &[&str] =
    &["webhook.before", "webhook.acknowledged", "webhook.missed", "webhook.saving", "webhook.saved"];

/// The labels that a bulk operation passes.
pub const OPERATION_LABELS: &[&str] = &["operation.acted", "operation.dealt", "operation.recorded"];

/// The labels that an import over REST passes.
pub const IMPORT_LABELS: &[&str] = &["import.handled", "import.recorded"];

/// Dies here if it was told to.
#[cfg(debug_assertions)]
pub(crate) fn reach(label: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static TOLD: OnceLock<Option<(String, u32)>> = OnceLock::new();
    static TIMES: AtomicU32 = AtomicU32::new(0);
    let is_known =
        [LABELS, WEBHOOK_LABELS, OPERATION_LABELS, IMPORT_LABELS].iter().any(|labels| labels.contains(&label));
    debug_assert!(is_known, "{label} is not in the list");
    let told = TOLD.get_or_init(|| {
        let told = std::env::var("ROLLCALL_CRASH_AT").ok()?;
        let (label, times) = told.split_once(':').unwrap_or((&told, "1"));
        Some((label.to_owned(), times.parse().unwrap_or(1)))
    });
    if let Some((at, times)) = told
        && at == label
        && TIMES.fetch_add(1, Ordering::SeqCst) + 1 == *times
    {
        std::process::abort();
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn reach(_label: &'static str) {}
