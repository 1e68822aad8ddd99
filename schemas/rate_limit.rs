//! How often an app's callers may call.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::plain::{Plain, Shape};

/// How often each endpoint may be called for an app within a second. Written `off`, `platform` or a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RateLimit {
    /// As often as anybody likes.
    #[default]
    Off,
    /// As often as the platform allows.
    Platform,
    /// So many calls.
    Own(NonZeroU32),
}

impl RateLimit {
    /// Most calls that can be set.
    pub const MAX: u32 = 1_000_000;
}

/// A text is no rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected off, platform or a number of calls from 1 to 1000000")]
pub struct Malformed;

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Platform => f.write_str("platform"),
            Self::Own(calls) => calls.fmt(f),
        }
    }
}

impl FromStr for RateLimit {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "off" => Ok(Self::Off),
            "platform" => Ok(Self::Platform),
            number if number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0') => {
                let calls = number.parse::<NonZeroU32>().map_err(|_| Malformed)?;
                if calls.get() <= Self::MAX { Ok(Self::Own(calls)) } else { Err(Malformed) }
            }
            _ => Err(Malformed),
        }
    }
}

impl serde::Serialize for RateLimit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for RateLimit {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Shape for RateLimit {
    fn shape() -> Value {
        json!({"type": "string", "pattern": "^(off|platform|[1-9][0-9]{0,6})$"})
    }
}

impl Plain for RateLimit {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_rate_limit_is_written_as_it_is_read_and_nothing_else_is_one() {
        for text in ["off", "platform", "1", "250", "1000000"] {
            assert_eq!(text.parse::<RateLimit>().unwrap().to_string(), text);
        }
        for bad in ["", "0", "007", "-1", "+5", "1000001", "99999999999", "Off", "5/s"] {
            assert_eq!(bad.parse::<RateLimit>(), Err(Malformed), "{bad}");
        }
    }
}
