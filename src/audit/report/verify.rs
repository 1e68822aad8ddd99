//! Checking a report with nothing but a public key: no network, no database, no clock.
//!
//! The signature says who issued it. Everything the report says of the erasure is then held against the events it
//! brings along, and these against the signed checkpoint: an issuer cannot report what its log does not hold.

use chrono::{DateTime, Utc};
use rollcall_schemas::envelope::Metadata;
use rollcall_schemas::plain::{Finality, OwnText, ReportStatus};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{Event, erasure};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{About, FORMAT, Method, Report, Step, Verification, dsse};
use crate::audit::merkle::{self, Hash};
use crate::audit::proof::decode;
use crate::audit::tree::note::{self, Checkpoint, Verifier};

/// What is to be thought of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is what was issued, and the erasure is final.
    Final(Box<Report>),
    /// It is what was issued; the erasure is not final yet.
    NotFinal(Box<Report>),
    /// It is not what was issued, or says what its own proofs do not show.
    Tampered(String),
    /// It cannot be told: the key that was given is not the one it is signed with.
    Undecidable(String),
}

impl Verdict {
    /// The exit code that says it: 0 final, 3 not final, 1 tampered, 2 undecidable.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Final(_) => 0,
            Self::Tampered(_) => 1,
            Self::Undecidable(_) => 2,
            Self::NotFinal(_) => 3,
        }
    }
}

/// Checks the bytes of a report.
#[must_use]
pub fn verify(envelope: &[u8], trusted: &[Verifier]) -> Verdict {
    let payload = match dsse::open(envelope, trusted) {
        Ok(payload) => payload,
        Err(error @ dsse::Error::UnknownKey) => return Verdict::Undecidable(error.to_string()),
        Err(error) => return Verdict::Tampered(error.to_string()),
    };
    match check(&payload, trusted) {
        Ok(report) if report.status == ReportStatus::Final => Verdict::Final(Box::new(report)),
        Ok(report) => Verdict::NotFinal(Box::new(report)),
        Err(reason) => Verdict::Tampered(reason),
    }
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

fn check(payload: &[u8], trusted: &[Verifier]) -> Result<Report, String> {
    let report: Report = serde_json::from_slice(payload).map_err(|error| format!("it is not a report: {error}"))?;
    ensure(serde_json::to_vec(&report).ok().as_deref() == Some(payload), "it is not written as reports are")?;
    ensure(report.format == FORMAT, "it is of another format")?;
    ensure(!report.not_covered.is_empty(), "it claims to cover everything")?;
    let events = proven(&report, trusted)?;
    says_what_the_log_says(&report, &events)?;
    has_its_status(&report)?;
    Ok(report)
}

/// The bytes of a leaf.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Leaf<'l> {
    position: u64,
    stream: &'l str,
    revision: u64,
    #[allow(dead_code)] // Part of the form.
    id: &'l str,
    name: &'l str,
    version: u16,
    recorded_at: i64,
    #[serde(borrow)]
    core: Core<'l>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Core<'l> {
    meta: Metadata,
    #[serde(borrow)]
    data: &'l RawValue,
}

/// The events of the steps, once it is proven that the log holds them in this order.
fn proven(report: &Report, trusted: &[Verifier]) -> Result<Vec<erasure::Event>, String> {
    let read = |note: &str| match Checkpoint::read(note, trusted) {
        Ok(checkpoint) if checkpoint.origin == report.log.origin => Ok(checkpoint),
        Ok(_) => Err("a checkpoint is of another log".to_owned()),
        Err(note::Error::UnknownKey) => Err("a checkpoint is not signed by the given key".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let now = read(&report.log.checkpoint)?;
    let consistency = hashes(&report.log.consistency)?;
    match &report.log.checkpoint_before {
        None => ensure(consistency.is_empty(), "a proof proves nothing")?,
        Some(before) => {
            let before = read(before)?;
            let requested = report.steps.first().map_or(0, |step| step.position);
            ensure(before.size < requested, "the checkpoint before is not from before the request")?;
            let extends = merkle::extends((before.size, &before.root), (now.size, &now.root), &consistency);
            ensure(extends, "the log was changed between the two checkpoints")?;
        }
    }
    ensure(report.steps.is_sorted_by(|one, next| one.position < next.position), "the steps are not in order")?;
    (1..).zip(&report.steps).map(|(revision, step)| event(report, revision, step, &now)).collect()
}

fn hashes(encoded: &[String]) -> Result<Vec<Hash>, String> {
    decode(encoded).ok_or_else(|| "a proof is malformed".into())
}

/// The event of a step. `revision`: its place in the stream of the erasure, so that no step between two is left out.
fn event(report: &Report, revision: u64, step: &Step, now: &Checkpoint) -> Result<erasure::Event, String> {
    let hash = merkle::leaf(&[step.leaf.as_bytes()]);
    let index = step.position.checked_sub(1).ok_or("a step has no place in the log")?;
    let included = merkle::includes(&now.root, now.size, index, &hash, &hashes(&step.inclusion)?);
    ensure(included, &format!("the log does not hold {} at {}", step.event, step.position))?;
    let leaf: Leaf<'_> =
        serde_json::from_slice(step.leaf.as_bytes()).map_err(|error| format!("a leaf is malformed: {error}"))?;
    let at = DateTime::<Utc>::from_timestamp_millis(leaf.recorded_at);
    let same = (leaf.position, leaf.name, at) == (step.position, step.event.as_str(), Some(step.recorded_at))
        && leaf.stream == Stream::Erasure(report.erasure.id).to_string()
        && leaf.core.meta.app == report.erasure.app;
    ensure(same, &format!("the step {} is not what its leaf says", step.event))?;
    ensure(leaf.revision == revision, "a step is left out")?;
    match Event::decode(leaf.name, leaf.version, leaf.core.data.get().as_bytes()) {
        Ok(Event::Erasure(event)) => Ok(event),
        Ok(_) | Err(_) => Err(format!("the step {} is no step of an erasure", step.event)),
    }
}

/// Whether the report says of the erasure what its events say, and nothing else.
fn says_what_the_log_says(report: &Report, events: &[erasure::Event]) -> Result<(), String> {
    use erasure::Event as E;
    let mut method = None;
    let (mut stores, mut verification, mut further, mut last) = (vec![], None, vec![], 0);
    for (event, step) in events.iter().zip(&report.steps) {
        let (order, erasure, subject) = match event {
            E::Requested(e) => {
                let about = About {
                    id: e.erasure,
                    app: report.erasure.app.clone(),
                    subject: e.subject,
                    scope: e.scope,
                    operation: e.operation.clone(),
                    legal_basis: e.basis,
                    requester: e.requester,
                    requested_at: step.recorded_at,
                    due_at: e.due_at,
                    commitment: e.commitment.clone().map(|OwnText(commitment)| commitment),
                    // They stand in the next step.
                    further_subjects: report.erasure.further_subjects.clone(),
                };
                ensure(report.erasure == about, "the erasure is not the one that was requested")?;
                (1, e.erasure, e.subject)
            }
            E::Linked(e) => {
                ensure(
                    last == 1 && further.is_empty() && !e.further.is_empty(),
                    "a step stands where it does not belong",
                )?;
                further.clone_from(&e.further);
                (1, e.erasure, e.subject)
            }
            E::Begun(e) => (2, e.erasure, e.subject),
            E::RelationsEnded(e) => (3, e.erasure, e.subject),
            E::Scrubbed(e) => {
                let classes: Vec<_> = report.erased.iter().map(|erased| erased.class).collect();
                ensure(classes == e.classes, "the erased classes are not those whose keys were destroyed")?;
                ensure(e.generation_before <= e.generation_after, "the root key went back")?;
                method = Some((
                    e.keys.clone(),
                    e.root_cell.0.clone(),
                    (e.generation_before, e.generation_after),
                    (e.events_detached, e.values_detached),
                ));
                (4, e.erasure, e.subject)
            }
            E::ReadModelsScrubbed(e) => {
                stores.clone_from(&e.stores);
                (5, e.erasure, e.subject)
            }
            E::Verified(e) => {
                verification =
                    Some(Verification { tried: e.tried, opened: e.opened, control_opened: e.control_opened });
                (6, e.erasure, e.subject)
            }
            E::Cancelled(_) | E::ReportIssued(_) | E::Finalised(_) | E::Notified(_) => {
                return Err("a step does not belong here".into());
            }
        };
        let is_next = order == last + 1 || matches!(event, E::Linked(_));
        ensure(is_next, "a step is missing or stands twice")?;
        ensure((erasure, subject) == (report.erasure.id, report.erasure.subject), "a step is of another erasure")?;
        last = order;
    }
    let reported = report.method.as_ref().map(|method| {
        let Method { keys, root_cell, generation_before, generation_after, events_detached, values_detached, .. } =
            method.clone();
        (keys, root_cell, (generation_before, generation_after), (events_detached, values_detached))
    });
    ensure(last > 0, "there is no step")?;
    ensure(report.erasure.further_subjects == further, "the further subjects are not those that were recorded")?;
    ensure(reported == method, "the destruction is not the one that was recorded")?;
    ensure(report.stores == stores, "the read models are not as they were recorded")?;
    ensure(report.verification == verification, "the verification is not the one that was recorded")
}

/// Whether the status is what the steps allow.
fn has_its_status(report: &Report) -> Result<(), String> {
    let scrubbed = report.method.is_some();
    let verified = report.verification.as_ref().is_some_and(|v| v.opened == 0 && v.control_opened)
        && report.stores.iter().all(|store| store.values == 0);
    let finality = report.method.as_ref().map(|method| method.finality);
    let (allowed, waits) = match report.status {
        ReportStatus::Fenced => (!scrubbed, false),
        ReportStatus::Scrubbed => (scrubbed && report.verification.is_none(), false),
        ReportStatus::PendingFinality => (verified && finality == Some(Finality::Delayed), true),
        ReportStatus::Final => (verified, false),
        ReportStatus::Partial | ReportStatus::Failed => (scrubbed && !verified, false),
    };
    ensure(allowed, "its status is not what its steps show")?;
    ensure(waits == report.final_at.is_some(), "it does not say when it will be final, or says so without need")?;
    let newest = report.steps.last().map_or(report.issued_at, |step| step.recorded_at);
    ensure(newest <= report.issued_at, "it was issued before what it reports")
}
