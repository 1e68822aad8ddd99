//! Merge patches (RFC 7396): a member that is absent stays, one that is null goes.

use serde::{Deserialize, Deserializer};

/// A member of a merge patch. It needs `#[serde(default)]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Patch<T> {
    /// Absent.
    #[default]
    Keep,
    /// Null.
    Clear,
    /// A value.
    Set(T),
}

impl<T> Patch<T> {
    /// The same patch of another type.
    pub(super) fn map<U>(self, convert: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            Self::Set(value) => Patch::Set(convert(value)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        name: Patch<String>,
    }

    #[test]
    fn a_member_that_is_absent_is_another_one_than_one_that_is_null() {
        let name = |json: &str| serde_json::from_str::<Body>(json).unwrap().name;
        assert_eq!(name("{}"), Patch::Keep);
        assert_eq!(name(r#"{"name":null}"#), Patch::Clear);
        assert_eq!(name(r#"{"name":"Ada"}"#), Patch::Set("Ada".into()));
    }
}
