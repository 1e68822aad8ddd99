//! What can be asked about access tokens.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{SecretId, SubjectRef, TokenId};

use crate::queries;
use crate::store::{Error, ReadStore, Row};

queries! {
    of_subject: coalesced = "SELECT issued, last_token, last_issued_at, last_expires_at, last_secret, last_epoch, invalid_before
        FROM access_tokens_v1 WHERE subject = $1";
}

/// The access tokens of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// How many were issued ever.
    pub issued: u64,
    /// The last one.
    pub last: Option<Issued>,
    /// Tokens issued before are invalid.
    pub invalid_before: Option<DateTime<Utc>>,
}

/// The token that was issued last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Which.
    pub token: TokenId,
    /// When.
    pub issued_at: DateTime<Utc>,
    /// When it ends by itself; `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// The app's secret it depends on.
    pub secret: SecretId,
    /// The user's epoch it depends on.
    pub epoch: u32,
}

impl Tokens {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        let last = match row.optional_id(1)? {
            None => None,
            Some(token) => Some(Issued {
                token: TokenId(token),
                issued_at: row.instant(2)?,
                expires_at: row.optional_instant(3)?,
                secret: SecretId(row.number(4)?),
                epoch: row.number(5)?,
            }),
        };
        Ok(Self { issued: row.number(0)?, last, invalid_before: row.optional_instant(6)? })
    }
}

/// The tokens of a user; `None`: none was ever issued or made invalid.
///
/// # Errors
/// The store is unavailable.
pub async fn of(store: &ReadStore, subject: SubjectRef) -> Result<Option<Tokens>, Error> {
    store.row(of_subject, &[subject.into()], Tokens::read).await
}
