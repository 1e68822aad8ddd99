//! Which subject a userId is: the read model's answer, corrected by what it has not applied yet.
//!
//! A userId that is used for the first time is reserved here before its first event is decided, so that two commands
//! in flight agree on its subject. The reservation lives as long as a command holds it or an event was recorded. Where
//! other nodes introduce users too, its tag is claimed among all of them first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rollcall_projections::store::{Claimed, ReadStore};
use rollcall_schemas::ids::{AppId, SubjectRef};

use super::Error;
use crate::domain::values::UserId;
use crate::privacy::{Tag, Vault};

#[derive(Debug, Clone, Copy)]
struct Pending {
    subject: SubjectRef,
    holders: u32,
    /// Position by which the read model knows; `None`: no event was recorded yet.
    recorded: Option<u64>,
}

#[derive(Default)]
struct Waiting {
    pending: HashMap<Tag, Pending>,
    tags: HashMap<SubjectRef, Tag>,
    /// Tags whose subject was forgotten at a position the read model has not applied yet.
    forgotten: HashMap<Tag, u64>,
    /// What to drop once the read model has applied a position.
    settled: std::collections::BinaryHeap<std::cmp::Reverse<(u64, Tag)>>,
    /// Grows whenever an entry settles: tells that an answer of the read model may be older than this table.
    generation: u64,
}

/// The directory of one service.
pub(super) struct Directory {
    vault: Arc<dyn Vault>,
    waiting: Arc<Mutex<Waiting>>,
}

/// Keeps a reservation while a command that needs it is in flight.
pub(super) struct Hold {
    waiting: Arc<Mutex<Waiting>>,
    tag: Tag,
    /// The subject it reserves: once that is forgotten, the tag may be reserved for another.
    subject: SubjectRef,
}

/// A userId found.
pub(super) struct Found {
    /// Its subject.
    pub subject: SubjectRef,
    /// Present while no event about it was recorded.
    pub hold: Option<Hold>,
    /// Whether the subject was allocated right now: none of its streams exists.
    pub fresh: bool,
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    // The maps are whole after every statement: a panic elsewhere does not make them wrong.
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut waiting = lock(&self.waiting);
        if let Some(pending) = waiting.pending.get_mut(&self.tag)
            && pending.subject == self.subject
        {
            pending.holders = pending.holders.saturating_sub(1);
            if pending.holders == 0 && pending.recorded.is_none() {
                let subject = pending.subject;
                waiting.pending.remove(&self.tag);
                waiting.tags.remove(&subject);
            }
        }
    }
}

impl Hold {
    /// Tells that an event about the subject was recorded.
    pub(super) fn recorded(&self, position: u64) {
        let mut waiting = lock(&self.waiting);
        if let Some(pending) = waiting.pending.get_mut(&self.tag)
            && pending.subject == self.subject
            && pending.recorded.is_none()
        {
            pending.recorded = Some(position);
            waiting.settled.push(std::cmp::Reverse((position, self.tag)));
        }
    }
}

impl Directory {
    /// A directory over a vault.
    #[must_use]
    pub(super) fn new(vault: Arc<dyn Vault>) -> Self {
        Self { vault, waiting: Arc::default() }
    }

    /// Finds a userId; with `introduce`, allocates a subject for one that was never used.
    ///
    /// # Errors
    /// The vault or the read model is unavailable.
    pub(super) async fn find(
        &self,
        read: &ReadStore,
        app: &AppId,
        user_id: &UserId,
        introduce: bool,
    ) -> Result<Option<Found>, Error> {
        let tag = self.vault.tag(app, user_id.as_str())?;
        let hold = |subject| Hold { waiting: self.waiting.clone(), tag, subject };
        let known = |subject| Found { subject, hold: None, fresh: false };
        let mut allocated = None;
        loop {
            let (generation, forgotten) = {
                let mut waiting = lock(&self.waiting);
                if let Some(pending) = waiting.pending.get_mut(&tag) {
                    if pending.recorded.is_some() {
                        return Ok(Some(known(pending.subject)));
                    }
                    if introduce {
                        pending.holders += 1;
                        let subject = pending.subject;
                        return Ok(Some(Found { subject, hold: Some(hold(subject)), fresh: false }));
                    }
                    // A reservation nobody recorded is not known to those who only look; another node may have.
                    if !self.vault.is_shared() {
                        return Ok(None);
                    }
                }
                (waiting.generation, waiting.forgotten.contains_key(&tag))
            };
            if !forgotten
                && let Some(subject) = rollcall_projections::user_directory::subject_of(read, app, tag).await?
            {
                return Ok(Some(known(subject)));
            }
            if !introduce {
                return Ok(None);
            }
            let ours = match allocated {
                Some(subject) => subject,
                None => *allocated.insert(self.vault.allocate().await?),
            };
            let claims = read.claims().filter(|_| self.vault.is_shared());
            let subject = match claims {
                Some(claims) => match claims.claim(tag, ours).await? {
                    Claimed::By(subject) => subject,
                    Claimed::Known(subject) => return Ok(Some(known(subject))),
                },
                None => ours,
            };
            let mut waiting = lock(&self.waiting);
            // What the read model said may be old by now: somebody reserved, or a reservation was recorded and settled.
            if waiting.pending.contains_key(&tag) || waiting.generation != generation {
                continue;
            }
            waiting.pending.insert(tag, Pending { subject, holders: 1, recorded: None });
            waiting.tags.insert(subject, tag);
            return Ok(Some(Found { subject, hold: Some(hold(subject)), fresh: subject == ours }));
        }
    }

    /// Tells that the subject of a tag was forgotten at a position.
    pub(super) fn forgotten(&self, tag: Tag, position: u64) {
        let mut waiting = lock(&self.waiting);
        if let Some(pending) = waiting.pending.remove(&tag) {
            waiting.tags.remove(&pending.subject);
        }
        // Where other nodes may have introduced the userId anew meanwhile, only what the read model says counts: who finds
        // the one who was forgotten there is refused, and looks again when the read model knows.
        if self.vault.is_shared() {
            return;
        }
        waiting.forgotten.insert(tag, position);
        waiting.settled.push(std::cmp::Reverse((position, tag)));
    }

    /// The tag of a subject that was introduced a moment ago.
    pub(super) fn tag_of(&self, subject: SubjectRef) -> Option<Tag> {
        lock(&self.waiting).tags.get(&subject).copied()
    }

    /// Drops what the read model knows by itself now.
    pub(super) fn settle(&self, applied: u64) {
        let mut waiting = lock(&self.waiting);
        while let Some(&std::cmp::Reverse((position, tag))) = waiting.settled.peek() {
            if position > applied {
                break;
            }
            waiting.settled.pop();
            if waiting.forgotten.get(&tag).is_some_and(|at| *at <= applied) {
                waiting.forgotten.remove(&tag);
            }
            if let Some(pending) = waiting.pending.get(&tag).copied()
                && pending.recorded.is_some_and(|at| at <= applied)
            {
                waiting.pending.remove(&tag);
                waiting.tags.remove(&pending.subject);
                waiting.generation += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use rollcall_projections::store::ReadStore;

    use super::{AppId, Directory, Found, UserId};
    use crate::privacy::{Vault as _, key_tree::KeyTree};

    struct Given {
        _dir: tempfile::TempDir,
        vault: std::sync::Arc<KeyTree>,
        read: ReadStore,
        directory: Directory,
    }

    impl Given {
        fn nothing() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let vault = std::sync::Arc::new(KeyTree::open(dir.path(), &Default::default()).unwrap());
            let read = ReadStore::open(&dir.path().join("read.db")).unwrap();
            let directory = Directory::new(vault.clone());
            Self { _dir: dir, vault, read, directory }
        }

        fn app() -> AppId {
            "chat".parse().unwrap()
        }

        async fn find(&self, introduce: bool) -> Option<Found> {
            let user_id = UserId::parse("userId", "ada").unwrap();
            self.directory.find(&self.read, &Self::app(), &user_id, introduce).await.unwrap()
        }

        fn forget(&self, position: u64) {
            self.directory.forgotten(self.vault.tag(&Self::app(), "ada").unwrap(), position);
        }
    }

    #[tokio::test]
    async fn two_who_introduce_a_user_id_agree_and_leave_nothing_when_both_give_up() {
        let given = Given::nothing();
        let (first, second) = (given.find(true).await.unwrap(), given.find(true).await.unwrap());
        assert_eq!((first.subject, first.fresh, second.fresh), (second.subject, true, false));
        assert!(given.find(false).await.is_none(), "a reservation is not known to those who only look");
        drop(first);
        assert_eq!(given.find(true).await.unwrap().subject, second.subject, "one still holds it");
        let before = second.subject;
        drop(second);
        assert_ne!(given.find(true).await.unwrap().subject, before);
    }

    #[tokio::test]
    async fn what_was_recorded_is_found_until_the_read_model_knows() {
        let given = Given::nothing();
        let found = given.find(true).await.unwrap();
        found.hold.as_ref().unwrap().recorded(5);
        let subject = found.subject;
        drop(found);
        given.directory.settle(4);
        assert_eq!(given.find(false).await.unwrap().subject, subject);
        assert!(given.directory.tag_of(subject).is_some());
        given.directory.settle(5);
        assert!(given.directory.tag_of(subject).is_none(), "from here on the read model is asked");
    }

    #[tokio::test]
    async fn a_late_command_about_a_forgotten_subject_does_not_end_the_next_reservation() {
        let given = Given::nothing();
        let (first, late) = (given.find(true).await.unwrap(), given.find(true).await.unwrap());
        first.hold.as_ref().unwrap().recorded(5);
        given.forget(6);
        let next = given.find(true).await.unwrap();
        assert_ne!(next.subject, first.subject);
        late.hold.as_ref().unwrap().recorded(7);
        assert!(given.find(false).await.is_none(), "nothing was recorded about the next subject");
        drop((first, late));
        assert_eq!(given.find(true).await.unwrap().subject, next.subject);
    }
}
