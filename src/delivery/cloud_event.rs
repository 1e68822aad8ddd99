//! An event of the log as its app is told of it: CloudEvents 1.0 in JSON.
//!
//! An event is thin at first: it names its personal values and tells none of them, so that what was sent once is right
//! for ever. Whoever may read the values adds them at the moment of sending ([`CloudEvent::personal_mut`]).

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use rollcall_schemas::Event;
use rollcall_schemas::envelope::Recorded;
use rollcall_schemas::ids::{AppId, EventId, SubjectRef};
use rollcall_schemas::personal::{Class, Sealed};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use super::event_type::event_type;

/// Plain fields that an app is not told of an event, as JSON pointers: what checks a credential, what tells where keys are
/// kept, an address that may hold a credential, and a document that has an endpoint of its own.
const NOT_TOLD: &[(&str, &str)] = &[
    ("app.api_key_added", "/key/digest"),
    ("app.settings_changed", "/settings/erasure_callback_url"),
    ("erasure.requested", "/commitment"),
    ("erasure.scrubbed", "/keys"),
    ("erasure.scrubbed", "/root_cell"),
    ("erasure.report_issued", "/envelope"),
    ("webhook.registered", "/endpoint/url"),
    ("webhook.changed", "/endpoint/url"),
];

/// One event, serialised as CloudEvents 1.0.
#[derive(Debug, Clone, Serialize)]
pub struct CloudEvent {
    specversion: &'static str,
    /// Identifies the event, whoever is told of it and how often.
    pub id: EventId,
    /// The app it belongs to.
    pub source: AppId,
    /// What happened, such as `rollcall.user.registered.v1`.
    pub r#type: String,
    /// Whose doing or state it is; absent where it is about the app itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectRef>,
    /// When it was recorded.
    #[serde(serialize_with = "in_milliseconds")]
    pub time: DateTime<Utc>,
    datacontenttype: &'static str,
    /// Its place in the log, written with 20 digits: in the order of the events as number and as text. Not gapless within
    /// an app, as all apps share the log.
    #[serde(rename = "sequence", serialize_with = "zero_padded")]
    pub position: u64,
    /// The request that led to it.
    pub correlation: Uuid,
    /// The event that led to it, where the service acted by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation: Option<EventId>,
    /// Who acted, such as `server:1`, `api_key:2`, `operator` or `system`.
    pub actor: String,
    /// What the event says.
    pub data: Data,
}

/// What an event says.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Data {
    /// The fields that are not personal, each as the event encodes it.
    #[serde(flatten)]
    plain: BTreeMap<&'static str, Box<RawValue>>,
    /// The personal ones by path, such as `name` or `fields.email`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub personal: BTreeMap<String, PersonalField>,
    /// The userIds of whom the event is about, where personal values are told; without who was forgotten.
    #[serde(skip_serializing_if = "UserIds::is_empty")]
    pub user_ids: UserIds,
}

/// UserIds by subject. They are personal values.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct UserIds(BTreeMap<SubjectRef, String>);

impl UserIds {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one.
    pub fn insert(&mut self, subject: SubjectRef, user_id: String) {
        self.0.insert(subject, user_id);
    }
}

impl fmt::Debug for UserIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserIds({})", self.0.len())
    }
}

/// The sealed values of an event by their paths. Their ciphertexts are moved out of it.
fn sealed(recorded: &mut Recorded<Event>) -> Vec<(String, Sealed)> {
    let mut sealed = Vec::new();
    let visited = recorded.event.each_personal::<Infallible>(&mut |path, _, _, slot| {
        if let Some(slot) = slot.sealed() {
            let ciphertext = slot.ciphertext.take();
            sealed.push((path.to_owned(), Sealed { ciphertext, ..slot.clone() }));
        }
        Ok(())
    });
    let Ok(()) = visited;
    sealed
}

/// A personal field of an event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PersonalField {
    /// Whom it is about.
    pub of: SubjectRef,
    /// What kind of data it is.
    pub class: Class,
    /// What is told of it; thin events tell nothing.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

impl PersonalField {
    fn of(sealed: &Sealed) -> Self {
        Self { of: sealed.subject, class: sealed.class, told: None }
    }
}

/// What is told of a personal value.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// The value.
    Value(Value),
    /// It was erased; serialised as `{"erased": true}`.
    Erased(True),
    /// Nobody may read it while an erasure waits that can be called off; serialised as `{"restricted": true}`.
    Restricted(True),
}

// A personal value is not for a log or a panic.
impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value(_) => "Told(a value)",
            Self::Erased(_) => "Told(erased)",
            Self::Restricted(_) => "Told(restricted)",
        })
    }
}

/// The JSON `true`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct True;

impl Serialize for True {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

fn in_milliseconds<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[allow(clippy::trivially_copy_pass_by_ref)] // As serde calls it.
fn zero_padded<S: Serializer>(position: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{position:020}"))
}

/// The fields of an event that an app is told as they are.
fn plain(recorded: &Recorded<Event>) -> Result<BTreeMap<&'static str, Box<RawValue>>, serde_json::Error> {
    let encoded = recorded.event.encode()?;
    let fields: HashMap<&str, &RawValue> = serde_json::from_slice(&encoded)?;
    let declared = recorded.event.declaration().fields.iter().filter(|field| field.personal.is_none());
    let mut plain = declared
        .filter_map(|field| Some((field.name, (*fields.get(field.name)?).to_owned())))
        .collect::<BTreeMap<_, _>>();
    for (_, pointer) in NOT_TOLD.iter().filter(|(event, _)| *event == recorded.name) {
        let (name, inner) = pointer[1..].split_once('/').unwrap_or((&pointer[1..], ""));
        let Some(field) = plain.get_mut(name) else { continue };
        if inner.is_empty() {
            plain.remove(name);
        } else {
            let mut value: Value = serde_json::from_str(field.get())?;
            remove(&mut value, inner);
            *field = to_raw_value(&value)?;
        }
    }
    Ok(plain)
}

/// Removes what a path names, such as `settings/url`.
fn remove(value: &mut Value, path: &str) {
    let Some(map) = value.as_object_mut() else { return };
    match path.split_once('/') {
        None => drop(map.remove(path)),
        Some((name, inner)) => map.get_mut(name).into_iter().for_each(|value| remove(value, inner)),
    }
}

impl CloudEvent {
    /// The thin form of a recorded event: its personal values are named and not told.
    ///
    /// # Errors
    /// The event has no JSON form: a personal value in it is not sealed.
    pub fn thin(mut recorded: Recorded<Event>) -> Result<Self, serde_json::Error> {
        let personal = sealed(&mut recorded).into_iter().map(|(path, sealed)| (path, PersonalField::of(&sealed)));
        let personal = personal.collect();
        Self::with_personal(recorded, personal)
    }

    /// The thin form, and the sealed values by the path under which [`CloudEvent::personal_mut`] finds their fields, each as
    /// a read model stores it. A value whose ciphertext was detached is stored without one.
    ///
    /// # Errors
    /// As [`CloudEvent::thin`].
    pub fn with_values(mut recorded: Recorded<Event>) -> Result<(Self, Vec<SealedValue>), serde_json::Error> {
        let (taken, mut personal) = (sealed(&mut recorded), BTreeMap::new());
        let value = |(path, sealed): (String, Sealed)| {
            personal.insert(path.clone(), PersonalField::of(&sealed));
            let Sealed { class, subject, epoch, ciphertext, .. } = sealed;
            let header = recorded.header(&path, class, subject, epoch);
            let stored = header.store(ciphertext.as_deref().unwrap_or_default());
            SealedValue { path, of: subject, class, is_detached: ciphertext.is_none(), stored }
        };
        let values = taken.into_iter().map(value).collect();
        Ok((Self::with_personal(recorded, personal)?, values))
    }

    fn with_personal(
        recorded: Recorded<Event>,
        personal: BTreeMap<String, PersonalField>,
    ) -> Result<Self, serde_json::Error> {
        let plain = plain(&recorded)?;
        Ok(Self {
            specversion: "1.0",
            id: recorded.id,
            r#type: event_type(recorded.name, recorded.version),
            subject: recorded.event.about().0,
            time: recorded.recorded_at,
            datacontenttype: "application/json",
            position: recorded.position,
            correlation: recorded.metadata.correlation,
            causation: recorded.metadata.causation,
            actor: recorded.metadata.actor.to_string(),
            source: recorded.metadata.app,
            data: Data { plain, personal, user_ids: UserIds::default() },
        })
    }

    /// The personal field at a path.
    pub fn personal_mut(&mut self, path: &str) -> Option<&mut PersonalField> {
        self.data.personal.get_mut(path)
    }
}

/// A personal value of an event, as it is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedValue {
    /// Its path in the event.
    pub path: String,
    /// Whom it is about.
    pub of: SubjectRef,
    /// What kind of data it is.
    pub class: Class,
    /// Whether its ciphertext was taken out of the log, because it is erased.
    pub is_detached: bool,
    /// As a read model stores it.
    pub stored: Vec<u8>,
}

#[cfg(test)]
mod tests;
