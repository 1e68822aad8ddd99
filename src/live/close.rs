//! Why a connection is closed: the code and the reason that its client is told.
//!
//! Up to 4499 a client comes back, after a random wait; from 4500 on it does not by itself. Where the platform has a number for
//! it, the reason begins with that.

use crate::engine::standing::TokenRefusal;

/// A close code with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Close {
    /// The code of the close frame.
    pub code: u16,
    /// Its reason; at most 123 bytes.
    pub reason: &'static str,
}

macro_rules! closes {
    ($($(#[$doc:meta])* $name:ident = $code:literal $reason:literal;)*) => {
        impl Close {
            $( $(#[$doc])* pub const $name: Self = Self { code: $code, reason: $reason }; )*
            /// All of them, by code.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

closes! {
    /// The node stops.
    NODE_STOPS = 4001 "the node stops; connect again";
    /// The client does not take what it is sent.
    TOO_SLOW = 4002 "too slow to take what is sent";
    /// No sign of life came in time.
    NO_PONG = 4003 "no pong in time";
    /// The node cannot tell the others that it lives.
    NODE_CUT_OFF = 4004 "the node is cut off; connect again";
    /// Too many are connected: to this node, of this app or from this address.
    TOO_MANY = 4005 "too many connections";
    /// It cannot be told at the moment whether the token is good.
    UNAVAILABLE = 4006 "the service cannot answer at the moment";
    /// Too many wrong tokens came from the address.
    GUESSING = 4007 "too many wrong tokens from this address; wait a moment";
    /// The token is not one, or not good any more.
    TOKEN_NOT_VALID = 4501 "31004 the access token is not valid";
    /// The token's time is over.
    TOKEN_EXPIRED = 4502 "31020 the access token has expired";
    /// The user is banned and may not connect.
    BANNED = 4503 "31009 the user is banned";
    /// The user was banned now.
    BANNED_NOW = 4504 "31011 the user was banned";
    /// The user is deactivated.
    DEACTIVATED = 4505 "31029 the user is deactivated";
    /// The user has connected with another device of the same class.
    SIGNED_IN_ELSEWHERE = 4506 "31010 signed in elsewhere";
    /// The user is connected with as many devices as it may.
    TOO_MANY_DEVICES = 4507 "31024 too many connections of the user";
    /// The first frame is not a `connect` that can be read.
    MALFORMED_CONNECT = 4508 "31002 the first frame must be connect";
    /// The first frame did not come in time.
    SILENT = 4509 "31000 no connect in time";
    /// A frame is binary, broken, or none of JSON-RPC.
    PROTOCOL = 4510 "33003 text frames of JSON-RPC 2.0 only";
    /// A frame is too large.
    TOO_LARGE = 4511 "33003 the frame is too large";
    /// The client went on asking too often.
    TOO_OFTEN = 4512 "20607 too many requests";
    /// The token has scopes, and none of them is for sockets.
    SCOPE_MISSING = 4513 "31004 the access token needs the scope connect";
}

impl Close {
    /// Why a client is not let in that shows a token.
    #[must_use]
    pub const fn refused(refusal: TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::NotValid => Self::TOKEN_NOT_VALID,
            TokenRefusal::Expired => Self::TOKEN_EXPIRED,
            TokenRefusal::Banned { .. } => Self::BANNED,
            TokenRefusal::Deactivated => Self::DEACTIVATED,
        }
    }

    /// Why a client is cut that was let in.
    #[must_use]
    pub const fn cut(refusal: TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::Banned { .. } => Self::BANNED_NOW,
            other => Self::refused(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_closes_have_a_code_and_every_reason_fits_into_a_close_frame() {
        assert!(Close::ALL.is_sorted_by(|a, b| a.code < b.code));
        for close in Close::ALL {
            assert!((4000..5000).contains(&close.code) && close.reason.len() <= 123, "{close:?}");
            let is_final = close.reason.starts_with(|c: char| c.is_ascii_digit());
            assert_eq!(is_final, close.code >= 4500, "{close:?}");
        }
    }
}
