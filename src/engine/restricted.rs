//! Who is restricted: fenced, with data that is still there because an erasure waits. Nothing about these people but
//! their userId is opened for anybody.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use rollcall_projections::deactivated_users;
use rollcall_projections::store::{self, ReadStore};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::{Class, Stored};
use rollcall_schemas::{Event, user};

const PAGE: u32 = 500;

/// The restricted subjects, as far as the read models know them.
#[derive(Default)]
pub(super) struct Restricted(RwLock<HashSet<SubjectRef>>);

impl Restricted {
    /// Reads all of them.
    pub(super) async fn load(&self, read: &ReadStore) -> Result<(), store::Error> {
        let mut all = HashSet::new();
        let mut cursor = None;
        loop {
            let page = deactivated_users::restricted(read, cursor, PAGE).await?;
            let Some(last) = page.last() else { break };
            cursor = Some(*last);
            all.extend(page);
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(())
    }

    /// Whether an event of that name may be about somebody who is restricted.
    pub(super) fn follows(name: &str) -> bool {
        matches!(name, "user.restricted" | "user.restored" | "user.deactivated")
    }

    /// Follows an event that the read models applied.
    pub(super) fn follow(&self, event: &Event) {
        let set = || self.0.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::User(user::Event::Restricted(e)) => {
                set().insert(e.subject);
            }
            Event::User(user::Event::Restored(user::Restored { subject, .. }))
            | Event::User(user::Event::Deactivated(user::Deactivated { subject, .. })) => {
                set().remove(subject);
            }
            _ => {}
        }
    }

    /// Whether a stored value must not be shown.
    pub(super) fn hides(&self, subject: SubjectRef, stored: &[u8]) -> bool {
        let is_restricted = {
            let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
            // Nearly always there is nobody to be looked for.
            !all.is_empty() && all.contains(&subject)
        };
        is_restricted && Stored::from_bytes(stored).is_ok_and(|stored| stored.class != Class::Identity)
    }
}
