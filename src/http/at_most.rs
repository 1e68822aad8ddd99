//! Numbers that the clients of every language can hold.

use serde::Deserialize;

/// The largest number of a signed integer of 32 bits: what the documents call `int32`.
pub(crate) const INT32_MAX: u64 = 2_147_483_647;
/// The largest number of a signed integer of 64 bits: what the documents call `int64`.
pub(crate) const INT64_MAX: u64 = 9_223_372_036_854_775_807;

/// A number from 0 to `MAX`: a larger one is refused as malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
pub(super) struct AtMost<const MAX: u64>(u64);

/// Why a number is refused.
#[derive(Debug, thiserror::Error)]
#[error("{number} is more than {max}")]
pub(super) struct TooLarge {
    number: u64,
    max: u64,
}

impl<const MAX: u64> TryFrom<u64> for AtMost<MAX> {
    type Error = TooLarge;

    fn try_from(number: u64) -> Result<Self, TooLarge> {
        if number > MAX { Err(TooLarge { number, max: MAX }) } else { Ok(Self(number)) }
    }
}

impl<const MAX: u64> From<AtMost<MAX>> for u64 {
    fn from(number: AtMost<MAX>) -> Self {
        number.0
    }
}

impl From<AtMost<INT32_MAX>> for u32 {
    fn from(number: AtMost<INT32_MAX>) -> Self {
        Self::try_from(number.0).unwrap_or(Self::MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_number_that_a_client_cannot_hold_is_refused_and_the_largest_it_can_is_not() {
        let read = serde_json::from_str::<AtMost<INT32_MAX>>;
        assert_eq!(u32::from(read("2147483647").unwrap()), 2_147_483_647);
        assert!(read("2147483648").unwrap_err().to_string().starts_with("2147483648 is more than 2147483647"));
        assert!(read("-1").is_err() && read("1.5").is_err());
    }
}
