//! What a caller may say: parsed once, bounded, then trusted. Bounds are the platform's.

use std::collections::BTreeMap;

use chrono::NaiveTime;
use rollcall_schemas::ids::FieldName;
use serde_json::Value;

/// What is wrong with an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct Invalid {
    /// The parameter, in the words of the domain.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
    /// The key inside the parameter, where it is an object.
    pub key: Option<String>,
}

/// What is wrong with an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is absent or empty.
    #[error("is required")]
    Missing,
    /// It is longer than it may be.
    #[error("is longer than {max} {unit}")]
    TooLong {
        /// The bound.
        max: usize,
        /// What the bound counts.
        unit: &'static str,
    },
    /// There are more of them than may be.
    #[error("has more than {max} entries")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// It is a number out of its range.
    #[error("must be from {min} to {max}")]
    OutOfRange {
        /// The lowest.
        min: i64,
        /// The highest.
        max: i64,
    },
    /// It has another form.
    #[error("must be {expected}")]
    Malformed {
        /// What it should look like.
        expected: &'static str,
    },
}

impl Invalid {
    /// `field` has this problem.
    #[must_use]
    pub const fn new(field: &'static str, problem: Problem) -> Self {
        Self { field, problem, key: None }
    }

    /// `field` is required.
    #[must_use]
    pub const fn missing(field: &'static str) -> Self {
        Self::new(field, Problem::Missing)
    }

    /// `field` must be of another form.
    #[must_use]
    pub const fn malformed(field: &'static str, expected: &'static str) -> Self {
        Self::new(field, Problem::Malformed { expected })
    }

    /// The same, naming the key inside the parameter.
    #[must_use]
    pub fn at(mut self, key: &str) -> Self {
        self.key = Some(key.chars().take(64).collect());
        self
    }
}

fn at_most_chars(field: &'static str, text: &str, max: usize) -> Result<(), Invalid> {
    if text.chars().count() > max {
        return Err(Invalid::new(field, Problem::TooLong { max, unit: "characters" }));
    }
    printable(field, text)
}

fn at_most_bytes(field: &'static str, text: &str, max: usize) -> Result<(), Invalid> {
    if text.len() > max {
        return Err(Invalid::new(field, Problem::TooLong { max, unit: "bytes" }));
    }
    printable(field, text)
}

/// Refuses NUL and U+FFFD, the trace of input that was not UTF-8: stored, it could never be told from what was meant.
fn printable(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.contains(['\0', '\u{fffd}']) {
        return Err(Invalid::malformed(field, "UTF-8 text without NUL"));
    }
    Ok(())
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $field:literal, $check:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// Parses it.
            ///
            /// # Errors
            /// It is empty or too long.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                if text.is_empty() {
                    return Err(Invalid::missing($field));
                }
                $check($field, text, $max)?;
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        // Personal data: a debug print must not show it.
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}

text! {
    /// A user's name: 1 to 64 characters of any script.
    Name, "name", at_most_chars, 64
}
text! {
    /// Address of a portrait: 1 to 1,024 bytes.
    Portrait, "portraitUri", at_most_bytes, 1024
}
text! {
    /// A tag: 1 to 40 bytes.
    Tag, "tags", at_most_bytes, 40
}
text! {
    /// A remark about somebody: 1 to 64 characters.
    Remark, "remark", at_most_chars, 64
}
text! {
    /// What a person calls an access token or a group of friends: 1 to 64 characters.
    Label, "label", at_most_chars, 64
}
text! {
    /// The text of a friend request: 1 to 128 characters.
    RequestText, "extra", at_most_chars, 128
}
text! {
    /// A moderator's reason: 1 to 512 characters.
    Reason, "reason", at_most_chars, 512
}
text! {
    /// What moderators tell each other about a ban: 1 to 2,000 characters.
    Note, "note", at_most_chars, 2000
}
text! {
    /// A value of an extension field: 1 to 256 characters.
    ExtensionValue, "friendExtProfile", at_most_chars, 256
}

/// The app's own id of a user: 1 to 64 of `A-Z a-z 0-9 + = - _`, case-sensitive.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct UserId(String);

impl UserId {
    /// Parses it; `field` is what the caller calls it.
    ///
    /// # Errors
    /// It is empty, too long or has other characters.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::missing(field));
        }
        if text.len() > 64 {
            return Err(Invalid::new(field, Problem::TooLong { max: 64, unit: "bytes" }));
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=-_".contains(&b)) {
            return Err(Invalid::malformed(field, "letters, digits and + = - _ only"));
        }
        Ok(Self(text.into()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for UserId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UserId(…)")
    }
}

/// How long something lasts that a moderator orders: 1 to 43,200 minutes (30 days).
fn ordered_minutes(field: &'static str, minutes: i64) -> Result<u16, Invalid> {
    let ordered = u16::try_from(minutes).ok().filter(|minutes| (1..=43_200).contains(minutes));
    ordered.ok_or(Invalid::new(field, Problem::OutOfRange { min: 1, max: 43_200 }))
}

/// Length of a ban: 1 to 43,200 minutes (30 days).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BanMinutes(u16);

impl BanMinutes {
    /// Parses it.
    ///
    /// # Errors
    /// It is out of range.
    pub fn new(minutes: i64) -> Result<Self, Invalid> {
        ordered_minutes("minute", minutes).map(Self)
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> chrono::Duration {
        chrono::Duration::minutes(i64::from(self.0))
    }
}

/// Length of a mute: 1 to 43,200 minutes (30 days).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MuteMinutes(u16);

impl MuteMinutes {
    /// Parses it.
    ///
    /// # Errors
    /// It is out of range.
    pub fn new(minutes: i64) -> Result<Self, Invalid> {
        ordered_minutes("minutes", minutes).map(Self)
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> chrono::Duration {
        chrono::Duration::minutes(i64::from(self.0))
    }
}

/// Friend groups a user may have: their numbers are from 1 to this.
pub const GROUPS_MAX: u32 = 100;

/// The number of a friend group: 1 to [`GROUPS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupNumber(u32);

impl GroupNumber {
    /// Checks it.
    ///
    /// # Errors
    /// It is out of range.
    pub fn new(number: u32) -> Result<Self, Invalid> {
        if (1..=GROUPS_MAX).contains(&number) { Ok(Self(number)) } else { Err(Self::out_of_range()) }
    }

    /// Parses it.
    ///
    /// # Errors
    /// It is no number, or out of range.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        // Each group has one name: no sign, no leading zero.
        let number = text.parse().ok().filter(|number: &u32| number.to_string() == text);
        number.ok_or_else(Self::out_of_range).and_then(Self::new)
    }

    fn out_of_range() -> Invalid {
        Invalid::new("group_id", Problem::OutOfRange { min: 1, max: GROUPS_MAX.into() })
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

/// Quiet hours of pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// When they begin.
    pub start: NaiveTime,
    /// How long they last: 1 to 1,439 minutes.
    pub minutes: u16,
    /// Which pushes are held back: 1 or 5, as the platform numbers it.
    pub level: u8,
}

impl QuietHours {
    /// Parses them.
    ///
    /// # Errors
    /// The time is not `HH:MM:SS`, the period or the level is out of range.
    pub fn parse(start: &str, minutes: i64, level: i64) -> Result<Self, Invalid> {
        let well_formed = start.len() == 8;
        let start = NaiveTime::parse_from_str(start, "%H:%M:%S")
            .ok()
            .filter(|_| well_formed)
            .ok_or(Invalid::malformed("startTime", "a time HH:MM:SS"))?;
        let minutes = u16::try_from(minutes)
            .ok()
            .filter(|m| (1..1_440).contains(m))
            .ok_or(Invalid::new("period", Problem::OutOfRange { min: 1, max: 1_439 }))?;
        let level =
            u8::try_from(level).ok().filter(|l| [1, 5].contains(l)).ok_or(Invalid::malformed("level", "1 or 5"))?;
        Ok(Self { start, minutes, level })
    }
}

/// Changes to a hosted profile: a value to set, or `None` to clear the field.
pub type ProfileChanges = BTreeMap<FieldName, Option<Value>>;

/// Parses the fixed fields of a hosted profile from a JSON object; a `null` clears a field.
///
/// # Errors
/// A key is unknown, or a value of another type or too long; the error names the key.
pub fn profile_fields(object: &serde_json::Map<String, Value>) -> Result<ProfileChanges, Invalid> {
    const FIELD: &str = "userProfile";
    let text = |value: &Value, max| match value.as_str() {
        Some(text) => at_most_chars(FIELD, text, max),
        None => Err(Invalid::malformed(FIELD, "an object whose texts are strings")),
    };
    let number = |value: &Value, max: u64| match value.as_u64() {
        Some(n) if n <= max => Ok(()),
        _ => Err(Invalid::malformed(FIELD, "an object whose numbers are in range")),
    };
    let mut changes = ProfileChanges::new();
    for (key, value) in object {
        let checked = match (key.as_str(), value) {
            (
                "uniqueId" | "name" | "portraitUri" | "email" | "birthday" | "gender" | "location" | "role" | "level",
                Value::Null,
            ) => Ok(()),
            ("uniqueId" | "birthday" | "location", _) => text(value, 32),
            ("name", _) => text(value, 64),
            ("portraitUri", Value::String(uri)) => at_most_bytes(FIELD, uri, 1024),
            ("email", _) => text(value, 128),
            ("gender", _) => number(value, 2),
            ("role" | "level", _) => number(value, 100),
            _ => Err(Invalid::malformed(FIELD, "an object of known profile fields")),
        };
        checked.map_err(|invalid| invalid.at(key))?;
        changes.insert(FieldName(key.clone()), Some(value.clone()).filter(|v| !v.is_null()));
    }
    Ok(changes)
}

/// Parses extension fields from a JSON object: keys `ext_…` of at most 32 letters, digits or `_`, texts of at most
/// 256 characters; a `null` clears a field.
///
/// # Errors
/// A key or value is not of that form, or there are more than `max`; the error names the key.
pub fn extension_fields(
    field: &'static str,
    object: &serde_json::Map<String, Value>,
    max: usize,
) -> Result<ProfileChanges, Invalid> {
    if object.len() > max {
        return Err(Invalid::new(field, Problem::TooMany { max }));
    }
    let mut changes = ProfileChanges::new();
    for (key, value) in object {
        let name = extension_name(field, key)?;
        match value {
            Value::Null => {}
            Value::String(text) => at_most_chars(field, text, 256).map_err(|i| i.at(key))?,
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                return Err(Invalid::malformed(field, "an object whose values are strings").at(key));
            }
        }
        changes.insert(name, Some(value.clone()).filter(|v| !v.is_null()));
    }
    Ok(changes)
}

/// Parses the name of an extension field.
///
/// # Errors
/// It does not begin with `ext_`, or is longer than 32 letters, digits or `_`.
pub fn extension_name(field: &'static str, key: &str) -> Result<FieldName, Invalid> {
    let legal = key.len() <= 32
        && key.strip_prefix("ext_").is_some_and(|rest| !rest.is_empty())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if legal {
        Ok(FieldName(key.into()))
    } else {
        Err(Invalid::malformed(field, "an object whose keys begin with ext_, at most 32 letters, digits or _").at(key))
    }
}
