//! What is kept about persons beside the log and the read models, and must be erased with them.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_schemas::ids::SubjectRef;

use super::{Engine, Error};

/// What is kept of a person that is the person's own, for an answer to the person (GDPR, Article 15).
#[derive(Debug, Clone, Default)]
pub struct Own {
    /// When it connected or disconnected last: milliseconds since 1970, sealed.
    pub last_seen: Option<Vec<u8>>,
    /// Whom it follows.
    pub follows: Vec<Follows>,
}

/// Somebody who is followed.
#[derive(Debug, Clone)]
pub struct Follows {
    /// Who.
    pub other: SubjectRef,
    /// What of it is followed, such as `presence`.
    pub what: &'static str,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// A store of something about persons that is no fact, such as who follows whom. It holds nothing that an erasure keeps.
#[async_trait]
pub trait KeptBeside: Send + Sync {
    /// Its name in a report.
    fn name(&self) -> &'static str;

    /// Deletes all that is about a subject; repeating it is harmless.
    ///
    /// # Errors
    /// The store is unavailable.
    async fn forget(&self, subject: SubjectRef) -> Result<(), Error>;

    /// How much there is about a subject.
    ///
    /// # Errors
    /// The store is unavailable.
    async fn remains(&self, subject: SubjectRef) -> Result<u32, Error>;

    /// What there is about a subject now that is its own.
    ///
    /// # Errors
    /// The store is unavailable.
    async fn own(&self, subject: SubjectRef, now: DateTime<Utc>) -> Result<Own, Error>;
}

impl Engine {
    /// The stores that an erasure has to reach beside the log and the read models.
    #[must_use]
    pub fn kept_beside(&self) -> &[Arc<dyn KeptBeside>] {
        &self.kept_beside
    }

    /// What these stores hold about a subject now that is its own.
    ///
    /// # Errors
    /// One of them is unavailable.
    pub async fn own_beside(&self, subject: SubjectRef) -> Result<Own, Error> {
        let mut all = Own::default();
        for store in &self.kept_beside {
            let Own { last_seen, follows } = store.own(subject, self.now()).await?;
            all.last_seen = all.last_seen.or(last_seen);
            all.follows.extend(follows);
        }
        Ok(all)
    }
}
