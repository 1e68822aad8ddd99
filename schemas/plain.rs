//! Values that are plainly not personal. A field of an event is one of these or [`crate::personal::Personal`]:
//! there is deliberately no `String` here, so an unclassified text does not compile.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ids::{AppId, ErasureId, FieldName, OperationId, Pair, SecretId, SubjectRef, TokenId};
use crate::personal::{Class, Personal};

/// The JSON Schema of a type as events write it.
pub trait Shape {
    /// Its JSON Schema.
    fn shape() -> Value;
    /// Whether a member of this type may be absent.
    const OPTIONAL: bool = false;
}

/// A value that says nothing about a person.
pub trait Plain: Shape {}

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
    SubjectRef => {"type": "string", "format": "uuid"},
    TokenId => {"type": "string", "format": "uuid"},
    ErasureId => {"type": "string", "format": "uuid"},
    SecretId => {"type": "integer", "minimum": 1},
    OperationId => {"type": "string"},
    FieldName => {"type": "string", "pattern": "^[A-Za-z0-9_]{1,32}$"},
    Pair => {"type": "array", "items": {"type": "string", "format": "uuid"}, "minItems": 2, "maxItems": 2},
    Class => {"enum": ["profile", "identity", "moderation"]},
    Environment => {"enum": ["development", "production"]},
    Plan => {"enum": ["starter", "pro"]},
    FriendPermission => {"enum": ["anyone", "approval", "nobody"]},
    Scope => {"enum": ["deactivate", "forget"]},
    EndCause => {"enum": ["removed", "cleared", "deactivated"]},
    Settings => {"type": "object", "properties": {
        "reactivation_wait_seconds": {"type": "integer", "minimum": 0},
        "token_lifetime_seconds": {"type": ["integer", "null"], "minimum": 1},
        "friend_permission": {"enum": ["anyone", "approval", "nobody"]}
    }, "required": ["reactivation_wait_seconds", "token_lifetime_seconds", "friend_permission"]},
}

impl<T: Plain> Plain for Option<T> {}
impl<T: Plain> Plain for Vec<T> {}
impl<T: Plain> Plain for BTreeSet<T> {}

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

/// What an app is for; a development app registers at most 100 users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// At most 100 registered users; users can be listed and deleted.
    Development,
    /// Unlimited.
    Production,
}

/// What an app's owner subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    /// The smaller plan.
    Starter,
    /// The larger plan.
    Pro,
}

/// Who may become a user's friend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FriendPermission {
    /// At once, without asking.
    Anyone,
    /// After the user accepted.
    Approval,
    /// No one.
    Nobody,
}

/// How far an erasure goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Classes profile and moderation; the userId stays listed as deactivated.
    Deactivate,
    /// Class identity too: the userId is unlinked and free again.
    Forget,
}

/// Why a friendship or a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndCause {
    /// One of the two removed the other.
    Removed,
    /// One of the two cleared the whole list.
    Cleared,
    /// One of the two was deactivated.
    Deactivated,
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
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            reactivation_wait_seconds: 3_600,
            token_lifetime_seconds: None,
            friend_permission: FriendPermission::Approval,
        }
    }
}
