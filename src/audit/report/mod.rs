//! The report of an erasure: what was erased, how, and what proves it. It holds no erased value and nothing that was
//! computed from one. Its JSON Schema is `schemas/api/erasure-report.schema.json`.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, ErasureId, OperationId, SubjectRef};
use rollcall_schemas::personal::{Class, DestroyedKey};
use rollcall_schemas::plain::{Finality, LegalBasis, LinkedSubject, ReportStatus, Requester, Scope, StoreCount};
use serde::{Deserialize, Serialize};

pub mod dsse;
pub mod issue;
pub mod pages;
pub mod verify;

/// The format of the report, in its first member.
pub const FORMAT: &str = "rollcall.erasure-report/1";

/// What is reported of one erasure. Members are written in this order, without white space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`FORMAT`].
    pub format: String,
    /// Number of the report of this erasure, from 1; 0: it was made on demand and is not recorded.
    pub number: u32,
    /// SHA-256 of the envelope whose place it takes, 64 hexadecimal digits.
    pub supersedes: Option<String>,
    /// When it was made.
    pub issued_at: DateTime<Utc>,
    /// What it says.
    pub status: ReportStatus,
    /// Until when the destruction could be called back, where it still can.
    pub final_at: Option<DateTime<Utc>>,
    /// Which erasure.
    pub erasure: About,
    /// What is erased.
    pub erased: Vec<Erased>,
    /// What is kept, and why.
    pub retained: Vec<Retained>,
    /// How it was erased; nothing before the keys are destroyed.
    pub method: Option<Method>,
    /// What the read models still hold of it.
    pub stores: Vec<StoreCount>,
    /// Who else was told to erase (GDPR, Article 19).
    pub recipients: Vec<Recipient>,
    /// How it was tried to read what is erased.
    pub verification: Option<Verification>,
    /// The steps as the log holds them.
    pub steps: Vec<Step>,
    /// The log.
    pub log: Log,
    /// What the report says nothing about; never empty.
    pub not_covered: Vec<String>,
}

/// Which erasure a report is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Which.
    pub id: ErasureId,
    /// Of which app.
    pub app: AppId,
    /// Whose data: a random reference.
    pub subject: SubjectRef,
    /// How far it goes.
    pub scope: Scope,
    /// What the app was told.
    pub operation: OperationId,
    /// On what ground.
    pub legal_basis: LegalBasis,
    /// In whose name.
    pub requester: Requester,
    /// When it was requested.
    pub requested_at: DateTime<Utc>,
    /// By when it has to be done.
    pub due_at: DateTime<Utc>,
    /// SHA-256 of a random salt that only the requester was given, the app's key and the userId.
    pub commitment: Option<String>,
    /// Further subjects of the same userId, where the log has several: each is erased by an erasure of its own, which has a
    /// report of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_subjects: Vec<LinkedSubject>,
}

/// One class of personal data that is erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erased {
    /// Which.
    pub class: Class,
    /// Every field of an event that is of this class, as `event/field`.
    pub fields: Vec<String>,
}

/// Something that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retained {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
    /// Until when.
    pub until: String,
}

/// How it was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// How the data was sealed.
    pub algorithm: String,
    /// The keys that were destroyed.
    pub keys: Vec<DestroyedKey>,
    /// What the root key lives in.
    pub root_cell: String,
    /// How final its destruction is.
    pub finality: Finality,
    /// Generation of the root key before.
    pub generation_before: u64,
    /// Generation of the root key after.
    pub generation_after: u64,
    /// Events from which ciphertexts were taken.
    pub events_detached: u32,
    /// Ciphertexts that were taken.
    pub values_detached: u32,
}

/// Somebody else who was told to erase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// Who.
    pub name: String,
    /// When the recipient acknowledged it; nothing: not yet.
    pub acknowledged_at: Option<DateTime<Utc>>,
}

/// How it was tried to read what is erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// How many sealed values of the log were tried.
    pub tried: u32,
    /// How many opened.
    pub opened: u32,
    /// Whether a value opened that is not erased.
    pub control_opened: bool,
}

/// A step as the log holds it, with the proof that it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Name of the event.
    pub event: String,
    /// Its place in the log.
    pub position: u64,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// The bytes of its leaf.
    pub leaf: String,
    /// The proof that the leaf is in the tree of the checkpoint, from the bottom up (RFC 6962), in base64.
    pub inclusion: Vec<String>,
}

/// The log at the time of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Its name.
    pub origin: String,
    /// A signed checkpoint from before the request, where one was kept.
    pub checkpoint_before: Option<String>,
    /// A signed checkpoint that covers every step.
    pub checkpoint: String,
    /// The proof that the log was only added to between the two (RFC 6962), in base64.
    pub consistency: Vec<String>,
}

impl Report {
    /// The step of that name.
    #[must_use]
    pub fn step(&self, event: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.event == event)
    }
}
