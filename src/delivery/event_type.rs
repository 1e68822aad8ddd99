//! The types under which apps are told of events, and the patterns that choose among them.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use rollcall_schemas::Event;

/// What every type begins with.
const PREFIX: &str = "rollcall.";
/// The type under which webhooks in the platform's shapes are told that a client of a user connected or disconnected. That is
/// no event of the log, so neither the feed nor a webhook of the format `standard` is told of it.
pub const PRESENCE_CHANGED: &str = "rollcall.presence.changed.v1";
/// Longest pattern, in bytes.
const PATTERN_LENGTH_MAX: usize = 128;

/// The type of a recorded event: `rollcall.<name>.v<version>`, such as `rollcall.user.registered.v1`. Bans are told as what
/// happens to a user: `ban.imposed` is `rollcall.user.banned.v1`.
#[must_use]
pub fn event_type(name: &str, version: u16) -> String {
    let told = match name {
        "ban.imposed" => "user.banned",
        "ban.replaced" => "user.ban_replaced",
        "ban.scheduled" => "user.ban_scheduled",
        "ban.started" => "user.ban_started",
        "ban.cancelled" => "user.ban_cancelled",
        "ban.lifted" => "user.unbanned",
        "ban.expired" => "user.ban_expired",
        same => same,
    };
    format!("{PREFIX}{told}.v{version}")
}

/// Every type that there is, in the order of the alphabet.
pub fn all() -> &'static [String] {
    static ALL: LazyLock<Vec<String>> = LazyLock::new(|| {
        let mut all: Vec<_> = Event::declarations().map(|event| event_type(event.name, event.version)).collect();
        all.sort();
        all
    });
    &ALL
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not {}", self.expected())]
pub enum Malformed {
    /// It is no type and does not end with the only `*` it has.
    Shape,
    /// No event of this version of the service has such a type.
    Nothing,
}

impl Malformed {
    /// What would have been accepted.
    #[must_use]
    pub fn expected(self) -> &'static str {
        match self {
            Self::Shape => {
                "a type such as `rollcall.user.registered.v1`, or the beginning of one with a `*` behind it, such as \
                 `rollcall.user.*`"
            }
            Self::Nothing => "a pattern that some event's type has; docs/feed.md lists the types",
        }
    }
}

/// A type, or the beginning of some with a `*` at its end; `*` alone is all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TypePattern {
    beginning: String,
    is_open: bool,
}

impl TypePattern {
    /// Whether a type is one of these.
    #[must_use]
    pub fn matches(&self, r#type: &str) -> bool {
        match r#type.strip_prefix(&*self.beginning) {
            Some(rest) => self.is_open || rest.is_empty(),
            None => false,
        }
    }

    /// Reads a pattern of a webhook: it may choose [`PRESENCE_CHANGED`] as well as types of events.
    ///
    /// # Errors
    /// It is not one.
    pub fn of_webhook(text: &str) -> Result<Self, Malformed> {
        let pattern = Self::read(text)?;
        if pattern.matches(PRESENCE_CHANGED) || pattern.has_event() { Ok(pattern) } else { Err(Malformed::Nothing) }
    }

    /// Whether some event has such a type.
    fn has_event(&self) -> bool {
        all().iter().any(|known| self.matches(known))
    }

    fn read(text: &str) -> Result<Self, Malformed> {
        let (beginning, is_open) = text.strip_suffix('*').map_or((text, false), |beginning| (beginning, true));
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'.';
        let is_legal = !text.is_empty() && text.len() <= PATTERN_LENGTH_MAX && beginning.bytes().all(legal);
        if !is_legal {
            return Err(Malformed::Shape);
        }
        Ok(Self { beginning: beginning.into(), is_open })
    }
}

impl FromStr for TypePattern {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let pattern = Self::read(text)?;
        if pattern.has_event() { Ok(pattern) } else { Err(Malformed::Nothing) }
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.beginning, if self.is_open { "*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_type_is_the_recorded_name_with_its_version_and_no_two_events_share_one() {
        assert_eq!(event_type("user.registered", 1), "rollcall.user.registered.v1");
        assert_eq!(event_type("ban.imposed", 1), "rollcall.user.banned.v1");
        let mut distinct = all().to_vec();
        distinct.dedup();
        assert_eq!(distinct.len(), Event::declarations().count());
    }

    #[test]
    fn a_pattern_is_a_type_or_the_beginning_of_one() {
        let users: TypePattern = "rollcall.user.*".parse().unwrap();
        assert!(users.matches("rollcall.user.banned.v1") && !users.matches("rollcall.app.registered.v1"));
        let one: TypePattern = "rollcall.user.banned.v1".parse().unwrap();
        assert!(one.matches("rollcall.user.banned.v1") && !one.matches("rollcall.user.banned.v10"));
        assert!("*".parse::<TypePattern>().unwrap().matches("rollcall.app.registered.v1"));
        for bad in ["", "a*b", "**", "*.banned", "Rollcall.*", "rollcall user", "rollcall.user.\u{e9}*"] {
            assert_eq!(bad.parse::<TypePattern>(), Err(Malformed::Shape), "{bad}");
        }
        assert_eq!("rollcall.users.*".parse::<TypePattern>(), Err(Malformed::Nothing));
    }

    #[test]
    fn only_a_webhook_may_choose_changes_of_presence() {
        for text in [PRESENCE_CHANGED, "rollcall.presence.*"] {
            assert!(TypePattern::of_webhook(text).unwrap().matches(PRESENCE_CHANGED));
            assert_eq!(text.parse::<TypePattern>(), Err(Malformed::Nothing), "the feed has none");
        }
        assert_eq!(TypePattern::of_webhook("rollcall.user.*"), "rollcall.user.*".parse());
        assert_eq!(TypePattern::of_webhook("rollcall.users.*"), Err(Malformed::Nothing));
        assert_eq!(TypePattern::of_webhook("*.changed"), Err(Malformed::Shape));
    }

    proptest! {
        #[test]
        fn a_pattern_is_written_as_it_is_read(index in 0..all().len(), cut in 0_usize..40, is_open: bool) {
            let known = &all()[index];
            let text = if is_open { format!("{}*", &known[..cut.min(known.len())]) } else { known.clone() };
            let pattern: TypePattern = text.parse().unwrap();
            prop_assert_eq!(pattern.to_string(), text);
            prop_assert!(pattern.matches(known));
        }

        #[test]
        fn a_pattern_chooses_what_begins_so(text in "[a-z.*]{0,12}", index in 0..all().len()) {
            let known = &all()[index];
            if let Ok(pattern) = text.parse::<TypePattern>() {
                let expected = text.strip_suffix('*').map_or(*known == text, |beginning| known.starts_with(beginning));
                prop_assert_eq!(pattern.matches(known), expected);
            }
        }
    }
}
