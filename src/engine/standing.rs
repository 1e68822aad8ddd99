//! Whether the access tokens of a subject are good, as far as the token itself does not say.
//!
//! What is known of a subject is kept in memory and dropped when an event that may change it is applied, on whichever node it
//! was recorded (`memory.rs`). So to check a token costs no read of the database while nothing changes.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use lru::LruCache;
use rollcall_projections::store::ReadStore;
use rollcall_projections::{banned_users, invalidated_tokens, user_directory};
use rollcall_schemas::ids::{AppId, SubjectRef, TokenId};
use rollcall_schemas::stream::Stream;

use super::Error;
use crate::domain::IssuedToken;
use crate::eventlog::RawEvent;

/// Subjects that are remembered; one takes about 170 bytes, and 16 for each token of it that was revoked by itself.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 16) - 1);

/// Why an access token is refused, as the platform numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// It is not one, is of an earlier life of the user, was made invalid, or depends on a secret that was retired.
    #[error("the access token is not valid; get a new one")]
    NotValid,
    /// Its time is over.
    #[error("the access token has expired; get a new one")]
    Expired,
    /// Its user is banned.
    #[error("the user is banned {}", lasting(*until))]
    Banned {
        /// When the ban ends by itself; `None`: never.
        until: Option<DateTime<Utc>>,
    },
    /// Its user is deactivated.
    #[error("the user is deactivated")]
    Deactivated,
}

fn lasting(until: Option<DateTime<Utc>>) -> String {
    until.map_or_else(|| "permanently".to_owned(), |until| format!("until {until}"))
}

impl TokenRefusal {
    /// The platform's number: what a client is told when it connects.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::NotValid => 31_004,
            Self::Expired => 31_020,
            Self::Banned { .. } => 31_009,
            Self::Deactivated => 31_029,
        }
    }
}

/// The ban of a subject, be it running, to come or over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BanSpan {
    /// When it begins.
    pub starts_at: DateTime<Utc>,
    /// When it ends by itself; `None`: never.
    pub ends_at: Option<DateTime<Utc>>,
}

/// What the tokens of a subject depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The epoch its tokens must be of.
    pub epoch: u32,
    /// Whether it is deactivated.
    pub deactivated: bool,
    /// Its ban, whether it runs or not: the clock says that whenever it is asked.
    pub ban: Option<BanSpan>,
    /// Tokens issued before are invalid.
    pub invalid_before: Option<DateTime<Utc>>,
    /// Tokens that were revoked one by one, in order.
    pub revoked: Arc<[TokenId]>,
}

impl Standing {
    /// Whether a token of the subject is good.
    ///
    /// # Errors
    /// It is not, and why.
    pub fn admits(&self, token: &IssuedToken, now: DateTime<Utc>) -> Result<(), TokenRefusal> {
        if self.deactivated {
            return Err(TokenRefusal::Deactivated);
        }
        let is_invalid = self.invalid_before.is_some_and(|before| token.issued_at < before);
        let is_revoked = self.revoked.binary_search(&token.token).is_ok();
        if token.epoch != self.epoch || is_invalid || is_revoked {
            return Err(TokenRefusal::NotValid);
        }
        if token.expires_at.is_some_and(|at| at <= now) {
            return Err(TokenRefusal::Expired);
        }
        match self.ban {
            Some(BanSpan { starts_at, ends_at }) if starts_at <= now && ends_at.is_none_or(|at| at > now) => {
                Err(TokenRefusal::Banned { until: ends_at })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What the read models say; `None`: they do not know a registered user of this app, or it was forgotten.
    pub(super) async fn read(read: &ReadStore, app: &AppId, subject: SubjectRef) -> Result<Option<Self>, Error> {
        let Some(user) = user_directory::by_subject(read, app, subject).await? else { return Ok(None) };
        let ban = banned_users::of(read, subject).await?;
        let invalid_before = invalidated_tokens::before(read, subject).await?;
        let mut revoked = invalidated_tokens::revoked_of(read, subject).await?;
        revoked.sort_unstable();
        Ok(user.registered_at.map(|_| Self {
            epoch: user.epoch,
            deactivated: user.deactivated,
            ban: ban.map(|ban| BanSpan { starts_at: ban.starts_at, ends_at: ban.ends_at }),
            invalid_before,
            revoked: revoked.into(),
        }))
    }
}

/// What is remembered of subjects.
pub(super) struct Standings(Mutex<Known>);

struct Known {
    standings: LruCache<SubjectRef, Standing>,
    /// How many events have changed a standing: what was read before the last of them may be older than it.
    changes: u64,
}

impl Default for Standings {
    fn default() -> Self {
        Self(Mutex::new(Known { standings: LruCache::new(KNOWN_MAX), changes: 0 }))
    }
}

impl Standings {
    fn known(&self) -> MutexGuard<'_, Known> {
        // It is whole after every statement: a panic elsewhere does not make it wrong.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, subject: SubjectRef) -> Option<Standing> {
        self.known().standings.get(&subject).cloned()
    }

    /// To be asked before a standing is read, and given to [`Standings::remember`].
    pub(super) fn changes(&self) -> u64 {
        self.known().changes
    }

    /// Remembers what was read, unless a standing has changed since.
    pub(super) fn remember(&self, subject: SubjectRef, standing: Standing, changes: u64) {
        let mut known = self.known();
        if known.changes == changes {
            known.standings.put(subject, standing);
        }
    }

    /// Drops what an event that the read models have applied may change.
    pub(super) fn follow(&self, raw: &RawEvent) {
        let changes = raw.name.starts_with("ban.")
            || matches!(
                &*raw.name,
                "token.invalidated_before"
                    | "token.revoked"
                    | "user.deactivated"
                    | "user.restricted"
                    | "user.restored"
                    | "user.reactivated"
                    | "user.forgotten"
            );
        if changes && let Ok(Stream::Ban(subject) | Stream::Token(subject) | Stream::User(subject)) = raw.stream.parse()
        {
            let mut known = self.known();
            known.changes += 1;
            known.standings.pop(&subject);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use chrono::Duration;
    use rollcall_schemas::ids::{SecretId, TokenId};
    use uuid::Uuid;

    use super::*;

    fn standing() -> Standing {
        Standing { epoch: 1, deactivated: false, ban: None, invalid_before: None, revoked: [].into() }
    }

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::minutes(minutes)
    }

    fn token() -> IssuedToken {
        let (subject, token) = (SubjectRef(Uuid::from_u128(1)), TokenId(Uuid::from_u128(2)));
        IssuedToken {
            subject,
            token,
            secret: SecretId(1),
            epoch: 1,
            issued_at: at(10),
            expires_at: Some(at(20)),
            scopes: None,
        }
    }

    fn raw(name: &str, stream: &str) -> RawEvent {
        RawEvent {
            position: 1,
            stream: stream.into(),
            revision: 1,
            id: Uuid::nil(),
            name: name.to_owned().into(),
            version: 1,
            recorded_at: at(0),
            core: bytes::Bytes::new(),
            blobs: None,
        }
    }

    #[test]
    fn a_token_is_refused_for_the_gravest_reason_and_a_ban_ends_by_itself() {
        let until = at(15);
        let banned = Standing { ban: Some(BanSpan { starts_at: at(11), ends_at: Some(until) }), ..standing() };
        let forever = Standing { ban: Some(BanSpan { starts_at: at(11), ends_at: None }), ..standing() };
        assert_eq!(banned.admits(&token(), at(10)), Ok(()), "it is to begin later");
        assert_eq!(forever.admits(&token(), at(19)), Err(TokenRefusal::Banned { until: None }));
        assert_eq!(standing().admits(&token(), at(11)), Ok(()));
        assert_eq!(banned.admits(&token(), at(11)), Err(TokenRefusal::Banned { until: Some(until) }));
        assert_eq!(banned.admits(&token(), until), Ok(()));
        assert_eq!(standing().admits(&token(), at(20)), Err(TokenRefusal::Expired));
        let invalid = |before| Standing { invalid_before: Some(before), ..standing() };
        assert_eq!(invalid(at(10)).admits(&token(), at(11)), Ok(()), "issued at that moment, not before");
        assert_eq!(invalid(at(11)).admits(&token(), at(11)), Err(TokenRefusal::NotValid));
        let revoked = |number| Standing { revoked: [TokenId(Uuid::from_u128(number))].into(), ..standing() };
        assert_eq!(revoked(2).admits(&token(), at(11)), Err(TokenRefusal::NotValid));
        assert_eq!(revoked(3).admits(&token(), at(11)), Ok(()), "another token");
        let next_life = Standing { epoch: 2, ..banned.clone() };
        assert_eq!(next_life.admits(&token(), at(11)), Err(TokenRefusal::NotValid));
        let deactivated = Standing { deactivated: true, ..next_life };
        assert_eq!(deactivated.admits(&token(), at(21)), Err(TokenRefusal::Deactivated));
    }

    #[test]
    fn what_was_read_before_a_standing_changed_is_not_remembered() {
        let (standings, subject) = (Standings::default(), SubjectRef(Uuid::from_u128(1)));
        let before = standings.changes();
        standings.follow(&raw("ban.imposed", &Stream::Ban(subject).to_string()));
        standings.remember(subject, standing(), before);
        assert_eq!(standings.get(subject), None);
        standings.remember(subject, standing(), standings.changes());
        assert_eq!(standings.get(subject), Some(standing()));
        standings.follow(&raw("token.issued", &Stream::Token(subject).to_string()));
        assert_eq!(standings.get(subject), Some(standing()), "a login changes nothing");
        for (name, stream) in [
            ("ban.lifted", Stream::Ban(subject)),
            ("token.invalidated_before", Stream::Token(subject)),
            ("token.revoked", Stream::Token(subject)),
            ("user.deactivated", Stream::User(subject)),
            ("user.reactivated", Stream::User(subject)),
            ("user.forgotten", Stream::User(subject)),
        ] {
            standings.remember(subject, standing(), standings.changes());
            standings.follow(&raw(name, &stream.to_string()));
            assert_eq!(standings.get(subject), None, "{name}");
        }
    }
}
