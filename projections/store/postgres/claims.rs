//! Which subject a new userId gets, where several nodes may introduce it at the same time: the first one to claim its
//! tag decides. A claim is needed until the directory holds the user, and goes in the transaction that puts the user
//! there.

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::{Event, user};
use uuid::Uuid;

use super::Postgres;
use super::lifecycle::qualified;
use crate::store::Error;
use crate::store::shares::Share;
use crate::{Arrival, Projection as _};

const claim: &str = "INSERT INTO store_claim AS c (tag, subject) VALUES ($1, $2)
    ON CONFLICT (tag) DO UPDATE SET tag = excluded.tag RETURNING c.subject";
const settle: &str = "DELETE FROM store_claim WHERE subject = ANY ($1)";
const forget_old: &str = "DELETE FROM store_claim WHERE claimed_at < now() - interval '1 hour'";

/// The claims of a store.
pub struct Claims<'s>(&'s Postgres);

impl Postgres {
    pub(in crate::store) fn claims(&self) -> Claims<'_> {
        Claims(self)
    }
}

impl Claims<'_> {
    /// Claims a tag for a subject; answers whose it is, which may be another one. Who was given it must look into the
    /// directory once more: the user may have come there meanwhile, and the claim with it gone.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn claim(&self, tag: [u8; 16], subject: SubjectRef) -> Result<SubjectRef, Error> {
        let client = self.0.pool.get().await?;
        let statement = client.prepare_cached(&qualified(claim, self.0.schema)).await?;
        let (tag, subject) = (&tag[..], &subject.0.as_bytes()[..]);
        let row = client.query_one(&statement, &[&tag, &subject]).await?;
        Uuid::from_slice(row.try_get(0)?).map(SubjectRef).map_err(|_| Error::Column(0))
    }

    /// Forgets claims of users that never came: to be called only when everything the log holds was applied a moment
    /// ago. Returns how many.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn forget_old(&self) -> Result<u64, Error> {
        let client = self.0.pool.get().await?;
        Ok(client.execute(&qualified(forget_old, self.0.schema), &[]).await?)
    }
}

/// The statement that ends claims, and whose claims end with these events.
pub(super) fn settled(shares: &[Share<'_, '_>]) -> Option<(&'static str, Vec<Vec<u8>>)> {
    let directory = shares.iter().find(|share| share.model.name() == crate::user_directory::UserDirectory.name())?;
    let introduced = |arrival: &Arrival<'_>| {
        let Arrival::Decoded(entry) = arrival else { return None };
        match &entry.recorded.event {
            Event::User(user::Event::Named(e)) => Some(e.subject),
            Event::User(user::Event::Registered(e)) if e.user_id.is_some() => Some(e.subject),
            _ => None,
        }
    };
    let subjects: Vec<_> =
        directory.arrivals.iter().filter_map(introduced).map(|subject| subject.0.as_bytes().to_vec()).collect();
    (!subjects.is_empty()).then_some((settle, subjects))
}
