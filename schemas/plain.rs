//! Values that are plainly not personal. A field of an event is one of these or [`crate::personal::Personal`]:
//! there is deliberately no `String` here, so an unclassified text does not compile.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ids::{self, AppId, FieldName, OperationId, Pair, SecretId, SubjectRef};
use crate::personal::{Class, DestroyedKey, Personal};

pub use crate::friendship::{EndCause, RequestState};
pub use crate::rate_limit::RateLimit;
pub use crate::words::{
    ApiScope, DataRequestKind, DeviceRule, Environment, FriendPermission, LegalBasis, Plan, ReportStatus, Requester,
    Scope, TokenScope, Visibility,
};

/// The JSON Schema of a type as events write it.
pub trait Shape {
    /// Its JSON Schema.
    fn shape() -> Value;
    /// Whether a member of this type may be absent.
    const OPTIONAL: bool = false;
}

/// A value that says nothing about a person.
pub trait Plain: Shape {
    /// Whether it may name subjects.
    const NAMES_SUBJECTS: bool = false;

    /// The one subject it names; `None`: it names none, or many.
    fn subject(&self) -> Option<SubjectRef> {
        None
    }
}

macro_rules! plain {
    ($($type:ty => $shape:tt),* $(,)?) => {$(
        impl Shape for $type {
            fn shape() -> Value { json!($shape) }
        }
        impl Plain for $type {}
    )*};
}

plain! {
    bool => {"type": "boolean"},
    u8 => {"type": "integer", "minimum": 0, "maximum": 255},
    u16 => {"type": "integer", "minimum": 0, "maximum": 65535},
    u32 => {"type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32},
    u64 => {"type": "integer", "minimum": 0},
    DateTime<Utc> => {"type": "string", "format": "date-time"},
    NaiveTime => {"type": "string", "pattern": "^[0-9]{2}:[0-9]{2}:[0-9]{2}$"},
    AppId => {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
    SecretId => {"type": "integer", "minimum": 1},
    OperationId => {"type": "string"},
    FieldName => {"type": "string", "pattern": "^[A-Za-z0-9_]{1,32}$"},
    Pair => {"type": "array", "items": {"type": "string", "format": "uuid"}, "minItems": 2, "maxItems": 2},
    DestroyedKey => {"type": "object",
        "properties": {
            "epoch": u32::shape(), "class": Class::shape(),
            "commitment": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
        "required": ["epoch", "class", "commitment"], "additionalProperties": false},
    Finality => {"enum": ["A", "B", "C"]},
    OwnText => {"type": "string"},
    ApiKey => {"type": "object", "properties": {
        "id": {"type": "integer", "minimum": 1},
        "scopes": {"type": "array", "items": ApiScope::shape(),
            "uniqueItems": true},
        "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"}},
        "required": ["id", "scopes", "digest"], "additionalProperties": false},
    StoreCount => {"type": "object", "properties": {"store": {"type": "string"}, "values": u32::shape()},
        "required": ["store", "values"], "additionalProperties": false},
    ClientRules => {"type": "object", "properties": {
        "devices": DeviceRule::shape(),
        "invalidation_cuts": {"type": "boolean"},
        "erasure": {"type": "boolean"},
        "without_last_seen": {"type": "boolean"}},
        "required": ["devices", "invalidation_cuts", "erasure", "without_last_seen"], "additionalProperties": false},
    // Subjects of the userId whose event it is, not of anybody else.
    LinkedSubject => {"type": "object", "properties": {
        "subject": SubjectRef::shape(), "erasure": Option::<ids::ErasureId>::shape()},
        "required": ["subject", "erasure"], "additionalProperties": false},
    Settings => {"type": "object", "properties": {
        "reactivation_wait_seconds": {"type": "integer", "minimum": 0},
        "token_lifetime_seconds": {"type": ["integer", "null"], "minimum": 1},
        "friend_permission": FriendPermission::shape(),
        "erasure_grace_seconds": {"type": "integer", "minimum": 0},
        "erasures_per_minute_max": {"type": "integer", "minimum": 0},
        "record_reads": {"type": "boolean"},
        "erasure_callback_url": {"type": ["string", "null"]}
    }, "required": ["reactivation_wait_seconds", "token_lifetime_seconds", "friend_permission",
        "erasure_grace_seconds", "erasures_per_minute_max"]},
}

macro_rules! plain_ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        plain! { $(ids::$name => {"type": "string", "format": "uuid"}),* }
    };
}

crate::random_ids!(plain_ids);

impl Shape for SubjectRef {
    fn shape() -> Value {
        json!({"type": "string", "format": "uuid"})
    }
}

impl Plain for SubjectRef {
    const NAMES_SUBJECTS: bool = true;

    fn subject(&self) -> Option<SubjectRef> {
        Some(*self)
    }
}

impl<T: Plain> Plain for Option<T> {
    const NAMES_SUBJECTS: bool = T::NAMES_SUBJECTS;

    fn subject(&self) -> Option<SubjectRef> {
        self.as_ref().and_then(T::subject)
    }
}

impl<T: Plain> Plain for Vec<T> {
    const NAMES_SUBJECTS: bool = T::NAMES_SUBJECTS;

    fn subject(&self) -> Option<SubjectRef> {
        if let [one] = self.as_slice() { one.subject() } else { None }
    }
}

impl<T: Plain> Plain for BTreeSet<T> {
    const NAMES_SUBJECTS: bool = T::NAMES_SUBJECTS;
}

impl<T: Shape> Shape for Option<T> {
    fn shape() -> Value {
        json!({"anyOf": [T::shape(), {"type": "null"}]})
    }
    const OPTIONAL: bool = true;
}

impl<T: Shape> Shape for Vec<T> {
    fn shape() -> Value {
        json!({"type": "array", "items": T::shape()})
    }
}

impl<T: Shape> Shape for BTreeSet<T> {
    fn shape() -> Value {
        json!({"type": "array", "items": T::shape(), "uniqueItems": true})
    }
}

impl<V: Shape> Shape for BTreeMap<FieldName, V> {
    fn shape() -> Value {
        json!({"type": "object", "propertyNames": FieldName::shape(), "additionalProperties": V::shape()})
    }
}

impl<T> Shape for Personal<T> {
    fn shape() -> Value {
        let digest = json!({"type": "string", "pattern": "^[0-9a-f]{64}$"});
        json!({"type": "object",
            "description": "A sealed value: the commitment to its key and the SHA-256 of its detachable ciphertext.",
            "properties": {
                "class": Class::shape(), "subject": SubjectRef::shape(), "epoch": u32::shape(),
                "commitment": digest, "sha256": digest},
            "required": ["class", "subject", "epoch", "commitment", "sha256"],
            "additionalProperties": false})
    }
}

/// How final it is that a key is destroyed: the finality class of what the root key lives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Finality {
    /// At once: hardware or a service that forgets.
    #[serde(rename = "A")]
    Immediate,
    /// After a waiting period.
    #[serde(rename = "B")]
    Delayed,
    /// As final as a disk forgets what was overwritten in place.
    #[serde(rename = "C")]
    LocalFile,
}

impl Finality {
    /// Its letter.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Self::Immediate => "A",
            Self::Delayed => "B",
            Self::LocalFile => "C",
        }
    }
}

/// Text the service itself writes; it says nothing about a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OwnText(pub String);

/// An API key as events and read models know it: never the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its number, from 1.
    pub id: u32,
    /// What it may do.
    pub scopes: BTreeSet<ApiScope>,
    /// A keyed hash of it.
    pub digest: String,
}

/// What a store holds about a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreCount {
    /// Name of the read model.
    pub store: String,
    /// Values of the erased classes that are still there.
    pub values: u32,
}

/// Another subject of the same userId.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkedSubject {
    /// Which.
    pub subject: SubjectRef,
    /// The erasure of it that was requested together with this one; `None`: nothing of it was left to erase then.
    pub erasure: Option<ids::ErasureId>,
}

/// What the users of an app may do by themselves, and how they are connected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRules {
    /// How many devices of one class a user may be connected with.
    pub devices: DeviceRule,
    /// Whether connections end with the access token they were made with, once it is made invalid; otherwise only the next
    /// connect is refused, as on the platform.
    pub invalidation_cuts: bool,
    /// Whether users may erase themselves.
    pub erasure: bool,
    /// Whether it is not kept when users were last seen.
    pub without_last_seen: bool,
}

/// What an operator can set per app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How long after its deactivation a user cannot be reactivated, in seconds; the platform's rule is one hour.
    pub reactivation_wait_seconds: u32,
    /// How long an access token lives, in seconds; `None`: until it is invalidated.
    pub token_lifetime_seconds: Option<u64>,
    /// Who may befriend a user that has no setting of its own.
    pub friend_permission: FriendPermission,
    /// How long a requested erasure can be called off, in seconds; 0: it begins at once.
    pub erasure_grace_seconds: u32,
    /// Most erasures within a minute before they need an explicit override; 0: no limit.
    pub erasures_per_minute_max: u32,
    /// Whether it is recorded who reads what of whom.
    #[serde(default)]
    pub record_reads: bool,
    /// Where the app is told that an erasure is done, as the platform tells it.
    #[serde(default)]
    pub erasure_callback_url: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reactivation_wait_seconds: 3_600,
            token_lifetime_seconds: None,
            friend_permission: FriendPermission::Approval,
            erasure_grace_seconds: 0,
            erasures_per_minute_max: 1_000,
            record_reads: false,
            erasure_callback_url: None,
        }
    }
}
