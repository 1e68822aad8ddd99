//! Making a report from what the log holds.

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::envelope::Recorded;
use rollcall_schemas::ids::ErasureId;
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::{OwnText, ReportStatus, Scope};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{Event, erasure};

use super::{About, Erased, FORMAT, Log, Method, Recipient, Report, Retained, Step, Verification, dsse};
use crate::audit::merkle::Nodes as _;
use crate::audit::proof::encode;
use crate::audit::tree::{self, Keeper, leaf};
use crate::engine::journal;
use crate::eventlog::{self, RawEvent};
use crate::privacy::{Finality, Vault};

/// Most events of one erasure; it has ten or eleven, and one more per later report.
const EVENTS_MAX: usize = 1_000;

/// Why no report is made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log.
    #[error(transparent)]
    Log(#[from] eventlog::Error),
    /// An event.
    #[error(transparent)]
    Journal(#[from] journal::ReadError),
    /// The tree over the log.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// It has no JSON form.
    #[error("the report cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// An envelope that was kept.
    #[error(transparent)]
    Envelope(#[from] dsse::Error),
    /// There is no such erasure, or it was called off.
    #[error("there is nothing to report: no such erasure, or it was called off")]
    Nothing,
}

/// A report as it is kept and handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// What it says.
    pub report: Report,
    /// The envelope's bytes.
    pub envelope: String,
    /// SHA-256 of these bytes, in hexadecimal digits.
    pub sha256: String,
}

/// An erasure's events, as far as a report is about them.
struct Told {
    raw: RawEvent,
    recorded: Recorded<Event>,
}

/// Makes and signs a report of the erasure as it is now; it is not recorded. `recipients`: who else was told.
///
/// # Errors
/// There is no such erasure, or log or tree cannot be read.
pub async fn issue(
    keeper: &Keeper,
    vault: &dyn Vault,
    erasure: ErasureId,
    now: DateTime<Utc>,
    recipients: Vec<Recipient>,
) -> Result<Issued, Error> {
    let mut told = Vec::new();
    let mut earlier = None;
    for raw in keeper.log().read_stream(&Stream::Erasure(erasure).to_string(), 0, EVENTS_MAX).await? {
        let recorded = journal::decode(&raw)?;
        match &recorded.event {
            Event::Erasure(erasure::Event::Cancelled(_)) => return Err(Error::Nothing),
            Event::Erasure(erasure::Event::ReportIssued(e)) => earlier = Some((e.number, e.sha256.0.clone())),
            Event::Erasure(erasure::Event::Finalised(_) | erasure::Event::Notified(_)) => {}
            _ => told.push(Told { raw, recorded }),
        }
    }
    let mut report = report(&told, vault)?;
    report.issued_at = now.max(report.issued_at);
    report.recipients = recipients;
    if let Some((number, sha256)) = earlier {
        (report.number, report.supersedes) = (number + 1, Some(sha256));
    } else if report.verification.is_some() {
        report.number = 1;
    }
    prove(keeper, &mut report, &told).await?;
    seal(vault, report)
}

/// The newest report that is recorded; where there is none yet, one made on demand.
///
/// # Errors
/// As [`issue`].
pub async fn newest(
    keeper: &Keeper,
    vault: &dyn Vault,
    erasure: ErasureId,
    now: DateTime<Utc>,
) -> Result<Issued, Error> {
    let mut newest = None;
    for raw in keeper.log().read_stream(&Stream::Erasure(erasure).to_string(), 0, EVENTS_MAX).await? {
        if let Event::Erasure(erasure::Event::ReportIssued(issued)) = journal::decode(&raw)?.event {
            newest = Some(issued);
        }
    }
    match newest {
        Some(erasure::ReportIssued { sha256: OwnText(sha256), envelope: OwnText(envelope), .. }) => {
            let signed: dsse::Envelope = serde_json::from_slice(envelope.as_bytes())?;
            let report = serde_json::from_slice(&signed.payload()?)?;
            Ok(Issued { report, envelope, sha256 })
        }
        None => issue(keeper, vault, erasure, now, vec![]).await,
    }
}

/// Signs a report.
fn seal(vault: &dyn Vault, report: Report) -> Result<Issued, Error> {
    let envelope = serde_json::to_string(&dsse::sign(vault, &serde_json::to_vec(&report)?))?;
    Ok(Issued { sha256: dsse::sha256(envelope.as_bytes()), envelope, report })
}

/// What the events say, still without proofs.
fn report(told: &[Told], vault: &dyn Vault) -> Result<Report, Error> {
    let first = told.first().ok_or(Error::Nothing)?;
    let Event::Erasure(erasure::Event::Requested(requested)) = &first.recorded.event else {
        return Err(Error::Nothing);
    };
    let mut report = Report {
        format: FORMAT.into(),
        number: 0,
        supersedes: None,
        issued_at: told.last().map_or(first.recorded.recorded_at, |last| last.recorded.recorded_at),
        status: ReportStatus::Fenced,
        final_at: None,
        erasure: About {
            id: requested.erasure,
            app: first.recorded.metadata.app.clone(),
            subject: requested.subject,
            scope: requested.scope,
            operation: requested.operation.clone(),
            legal_basis: requested.basis,
            requester: requested.requester,
            requested_at: first.recorded.recorded_at,
            due_at: requested.due_at,
            commitment: requested.commitment.clone().map(|OwnText(commitment)| commitment),
            further_subjects: vec![],
        },
        erased: vec![],
        retained: retained(requested.scope),
        method: None,
        stores: vec![],
        recipients: vec![],
        verification: None,
        steps: vec![],
        log: Log {
            origin: tree::origin(vault),
            checkpoint_before: None,
            checkpoint: String::new(),
            consistency: vec![],
        },
        not_covered: NOT_COVERED.iter().map(|text| (*text).to_owned()).collect(),
    };
    let mut destroyed_at = report.issued_at;
    for Told { recorded, .. } in told {
        match &recorded.event {
            Event::Erasure(erasure::Event::Linked(e)) => report.erasure.further_subjects.clone_from(&e.further),
            Event::Erasure(erasure::Event::Scrubbed(e)) => {
                report.status = ReportStatus::Scrubbed;
                destroyed_at = recorded.recorded_at;
                report.erased = e.classes.iter().map(|class| erased(*class)).collect();
                report.method = Some(Method {
                    algorithm: ALGORITHM.into(),
                    keys: e.keys.clone(),
                    root_cell: e.root_cell.0.clone(),
                    finality: vault.finality().class(),
                    generation_before: e.generation_before,
                    generation_after: e.generation_after,
                    events_detached: e.events_detached,
                    values_detached: e.values_detached,
                });
            }
            Event::Erasure(erasure::Event::ReadModelsScrubbed(e)) => report.stores.clone_from(&e.stores),
            Event::Erasure(erasure::Event::Verified(e)) => {
                (report.status, report.final_at) = match vault.finality() {
                    Finality::Delayed { seconds } => {
                        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
                        let until =
                            destroyed_at.checked_add_signed(TimeDelta::try_seconds(seconds).unwrap_or_default());
                        (ReportStatus::PendingFinality, until)
                    }
                    Finality::Immediate | Finality::LocalFile => (ReportStatus::Final, None),
                };
                report.verification =
                    Some(Verification { tried: e.tried, opened: e.opened, control_opened: e.control_opened });
            }
            _ => {}
        }
    }
    Ok(report)
}

/// Adds the proofs that the log holds what the report says.
async fn prove(keeper: &Keeper, report: &mut Report, told: &[Told]) -> Result<(), Error> {
    let (Some(first), Some(last)) = (told.first(), told.last()) else { return Err(Error::Nothing) };
    let signed = keeper.covering(last.raw.position).await?;
    let size = signed.checkpoint.size;
    for Told { raw, recorded } in told {
        let inclusion = keeper.tiles().inclusion(raw.position - 1, size).map_err(tree::Error::Files)?;
        report.steps.push(Step {
            event: recorded.name.into(),
            position: raw.position,
            recorded_at: recorded.recorded_at,
            leaf: String::from_utf8_lossy(&leaf::bytes(raw)).into_owned(),
            inclusion: encode(&inclusion),
        });
    }
    report.log.checkpoint.clone_from(&signed.note);
    if let Some(before) = keeper.kept_at_most(first.raw.position - 1)? {
        let consistency = keeper.tiles().consistency(before.checkpoint.size, size).map_err(tree::Error::Files)?;
        report.log.consistency = encode(&consistency);
        report.log.checkpoint_before = Some(before.note);
    }
    Ok(())
}

/// Every field of an event that is of this class.
fn erased(class: Class) -> Erased {
    let fields = Event::declarations().flat_map(|event| {
        let of_class = event.fields.iter().filter(move |field| field.personal.is_some_and(|(of, _)| of == class));
        of_class.map(move |field| format!("{}/{}", event.name, field.name))
    });
    Erased { class, fields: fields.collect() }
}

const ALGORITHM: &str = "Every value was sealed with AES-256-GCM-SIV under a key derived by HKDF-SHA256 from a random \
                         256-bit key of its subject, epoch and class. That key was wrapped under a shard key, and the \
                         shard key under the root key. Shard key and root key were replaced, survivors were wrapped \
                         anew, and the old root key was overwritten: no copy of the wrapped key opens any more.";

const NOT_COVERED: [&str; 4] = [
    "What the app itself, its users' devices or its other suppliers hold.",
    "What somebody who was allowed to read it copied before the erasure.",
    "A copy of the root key that was taken from the machine's memory or disk before the erasure, and what the disk's \
     own firmware keeps of overwritten blocks (finality C).",
    "A search of the bytes on disk: it is not made for each erasure but by the project's own auditor's test.",
];

/// What an erasure of this scope keeps, and why.
#[must_use]
pub fn retained(scope: Scope) -> Vec<Retained> {
    let retained =
        |what: &str, why: &str, until: &str| Retained { what: what.into(), why: why.into(), until: until.into() };
    let mut kept = vec![
        retained(
            "The record that these steps happened, under a random reference",
            "To show that the erasure was done (GDPR, Article 5(2))",
            "As long as the log is kept",
        ),
        retained(
            "Entries in other users' blocklists, under a random reference",
            "The safety of those who made them",
            "They remove them",
        ),
    ];
    if scope == Scope::Deactivate {
        kept.push(retained(
            "The userId the app chose",
            "The app lists deactivated users and may reactivate the id",
            "The user is forgotten",
        ));
        kept.push(retained("Bans, without reasons and notes", "They protect other users", "The user is forgotten"));
    }
    kept
}
