//! What a projector emits: statements with their parameters, executed by the store.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{self, AppId, FieldName, SecretId};
use uuid::Uuid;

use crate::Inconsistent;

/// A parameter of a statement, or a column of a row.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// No value.
    Null,
    /// A number, a flag (0 or 1), or an instant in milliseconds since 1970.
    Int(i64),
    /// A text that is not personal.
    Text(String),
    /// A reference or a sealed value.
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        // A log would have to record for 292,000 years at a million events a second to get there.
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}
impl From<&AppId> for Value {
    fn from(app: &AppId) -> Self {
        Self::Text(app.as_str().into())
    }
}
impl From<&FieldName> for Value {
    fn from(field: &FieldName) -> Self {
        Self::Text(field.0.clone())
    }
}
impl From<DateTime<Utc>> for Value {
    fn from(at: DateTime<Utc>) -> Self {
        Self::Int(at.timestamp_millis())
    }
}
impl From<Uuid> for Value {
    fn from(id: Uuid) -> Self {
        Self::Bytes(id.as_bytes().to_vec())
    }
}
impl From<[u8; 16]> for Value {
    fn from(bytes: [u8; 16]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}
impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}
impl From<SecretId> for Value {
    fn from(secret: SecretId) -> Self {
        Self::Int(secret.0.into())
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

macro_rules! from_id {
    ($($(#[$doc:meta])* $id:ident),* $(,)?) => {$(
        impl From<ids::$id> for Value {
            fn from(id: ids::$id) -> Self {
                id.0.into()
            }
        }
    )*};
}
from_id!(SubjectRef);
rollcall_schemas::random_ids!(from_id);

/// One statement with its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'c> {
    /// The SQL text: a constant of the projector.
    pub sql: &'static str,
    /// The parameters `$1`, `$2` and so on.
    pub params: &'c [Value],
    /// Whether it is inconsistent that no row is changed.
    pub must_change: bool,
    /// Whether its last parameter is a number that adds up with that of the same statement for the same key.
    pub adds: bool,
}

#[derive(Debug, Clone, Copy)]
struct Op {
    sql: &'static str,
    end: usize,
    must_change: bool,
    adds: bool,
}

/// What one event changes, in order.
///
/// These are statements and not generic row changes (upsert, patch, delete, increment by key) because some changes
/// are not about one key: a blocklist is emptied by its owner alone, both directions of a friendship end at once,
/// and a counter moves only when the row it counts did. As statements they are written once, are seen whole in
/// the file that owns them, and are prepared against both databases by a test; a projector is still a pure function
/// that is tested without a database, since it only names them.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    ops: Vec<Op>,
    values: Vec<Value>,
}

impl Changes {
    /// Adds a statement. Its parameters appear in the text in the order of their numbers.
    pub fn push<const N: usize>(&mut self, sql: &'static str, params: [Value; N]) {
        self.values.extend(params);
        self.ops.push(Op { sql, end: self.values.len(), must_change: false, adds: false });
    }

    /// Adds a statement that must change at least one row; otherwise the event is inconsistent and is parked.
    pub fn push_must_change<const N: usize>(&mut self, sql: &'static str, params: [Value; N]) {
        self.values.extend(params);
        self.ops.push(Op { sql, end: self.values.len(), must_change: true, adds: false });
    }

    /// Adds a statement that counts: its last parameter is added to what the row of its key has. A store may add up several
    /// before it writes.
    pub fn push_sum<const N: usize>(&mut self, sql: &'static str, params: [Value; N]) {
        self.values.extend(params);
        self.ops.push(Op { sql, end: self.values.len(), must_change: false, adds: true });
    }

    /// The statements in order.
    pub fn iter(&self) -> impl Iterator<Item = Change<'_>> {
        self.ops.iter().scan(0, |start, op| {
            let params = self.values.get(*start..op.end).unwrap_or_default();
            *start = op.end;
            Some(Change { sql: op.sql, params, must_change: op.must_change, adds: op.adds })
        })
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Forgets every statement and keeps the memory for the next event.
    pub fn clear(&mut self) {
        self.ops.clear();
        self.values.clear();
    }
}

/// The most entries one event may add to a list.
const ENTRIES_MAX: usize = 4_096;

/// Place of an entry in a list: by the position of its event, then by its place in it.
pub(crate) fn sequence(position: u64, index: usize) -> Result<Value, Inconsistent> {
    if index >= ENTRIES_MAX {
        return Err(Inconsistent("it adds more than 4096 entries at once"));
    }
    Ok(position.saturating_mul(ENTRIES_MAX as u64).saturating_add(index as u64).into())
}

/// Position of the event that made the entry with that place in its list.
pub(crate) fn position_of(sequence: u64) -> u64 {
    sequence / ENTRIES_MAX as u64
}
