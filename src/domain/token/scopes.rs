//! What an access token may do, where that is not everything.

use std::collections::BTreeSet;

use rollcall_schemas::plain::TokenScope;
use serde::{Deserialize, Serialize};

/// The scopes of an access token: at least one. It may do nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenScopes(BTreeSet<TokenScope>);

impl TokenScopes {
    /// The scopes that are asked for, and `read` with `write` and `connect`: what these are answered and told is what may be
    /// read. `None`: none is asked for.
    pub fn of(asked: impl IntoIterator<Item = TokenScope>) -> Option<Self> {
        let mut scopes: BTreeSet<_> = asked.into_iter().collect();
        if scopes.contains(&TokenScope::Write) || scopes.contains(&TokenScope::Connect) {
            scopes.insert(TokenScope::Read);
        }
        (!scopes.is_empty()).then_some(Self(scopes))
    }

    /// Whether it is among them.
    #[must_use]
    pub fn contains(&self, scope: TokenScope) -> bool {
        self.0.contains(&scope)
    }

    /// Each of them, in the order in which they are declared.
    pub fn iter(&self) -> impl Iterator<Item = TokenScope> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn whoever_may_write_or_connect_may_read_and_no_scope_at_all_is_none() {
        let of = |asked: &[TokenScope]| TokenScopes::of(asked.iter().copied()).map(|it| it.iter().collect::<Vec<_>>());
        use TokenScope::{Account, Connect, Read, Write};
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[Read, Read]).unwrap(), [Read]);
        assert_eq!(of(&[Write]).unwrap(), [Read, Write]);
        assert_eq!(of(&[Connect]).unwrap(), [Read, Connect]);
        assert_eq!(of(&[Account]).unwrap(), [Account]);
    }
}
