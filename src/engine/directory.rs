//! Which subject a userId is: the read model's answer, corrected by what it has not applied yet.
//!
//! A userId that is used for the first time is reserved here before its first event is decided, so that two commands
//! in flight agree on its subject. A reservation lasts while a command holds it, until the read models have applied what
//! was recorded, and, where an append ended without saying whether it was kept, until the read models hold all that may
//! have come of it: meanwhile every command uses the same subject, and the log refuses the second first event of its
//! stream (docs/decisions/0017-in-doubt.md). Where other nodes introduce users too, its tag is claimed among all of them
//! first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use known_tags::KnownTags;
use lru::LruCache;
use rollcall_projections::store::{ClaimVersion, Claimed, Claims, ReadStore, UnusedClaim};
use rollcall_schemas::ids::{AppId, SubjectRef};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::domain::values::UserId;
use crate::privacy::{Tag, Vault};
use crate::tasks::{self, BrokeOff};

mod known_tags;

/// How long an append whose outcome is unknown may still reach the log: far longer than a server lets a statement run,
/// and as long as other nodes keep a claim.
const IN_DOUBT_FOR: Duration = Duration::from_secs(3_600);
/// Most reservations that are in doubt at once; while there are as many, no further userId is introduced.
const IN_DOUBT_MAX: usize = 100_000;
/// Most allocated subjects kept for the next userId because nothing was recorded about them.
const SPARE_MAX: usize = 1_024;
/// Most answers of the read model that are remembered; one takes about 150 bytes.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 17) - 1);
/// Tags of the read model that are learned together: commands wait meanwhile.
const LEARNED_TOGETHER: u32 = 2_000;
/// How long nothing is learned after the read model could not be read.
const LEARN_AGAIN_AFTER: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
struct Pending {
    subject: SubjectRef,
    holders: u32,
    /// Position by which the read model knows; `None`: no event was recorded yet.
    recorded: Option<u64>,
    /// Until when an append about the subject may still reach the log.
    in_doubt: Option<Instant>,
    /// Position by which the read model holds all that may have come of the appends in doubt.
    decided_by: Option<u64>,
    /// What else the subject may be used for once nobody needs it for this userId.
    unused: Unused,
}

/// What becomes of a reserved subject about which nothing was sent to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unused {
    /// Nothing: something may have been sent, or another node counts on it.
    Nothing,
    /// Another userId gets it.
    Spare,
    /// Another userId gets it once the claim is given back.
    Claimed(ClaimVersion),
}

impl Pending {
    fn is_in_doubt(&self) -> bool {
        self.in_doubt.is_some() || self.decided_by.is_some()
    }
}

/// What the read model said of userIds: that they are subjects. That nobody has a userId is not remembered.
struct Remembered {
    subjects: LruCache<Tag, SubjectRef>,
    tags: HashMap<SubjectRef, Tag>,
}

impl Default for Remembered {
    fn default() -> Self {
        Self { subjects: LruCache::new(REMEMBERED_MAX), tags: HashMap::new() }
    }
}

impl Remembered {
    fn add(&mut self, tag: Tag, subject: SubjectRef) {
        if let Some((_, before)) = self.subjects.push(tag, subject) {
            self.tags.remove(&before);
        }
        self.tags.insert(subject, tag);
    }

    fn remove(&mut self, subject: SubjectRef) {
        if let Some(tag) = self.tags.remove(&subject) {
            self.subjects.pop(&tag);
        }
    }
}

#[derive(Default)]
struct Waiting {
    pending: HashMap<Tag, Pending>,
    tags: HashMap<SubjectRef, Tag>,
    /// Tags whose subject was forgotten at a position the read model has not applied yet.
    forgotten: HashMap<Tag, u64>,
    /// What to drop once the read model has applied a position.
    settled: BinaryHeap<Reverse<(u64, Tag)>>,
    /// When to look whether a reservation is still in doubt.
    doubts: BinaryHeap<Reverse<(Instant, Tag)>>,
    /// How many reservations are in doubt.
    in_doubt: usize,
    /// Subjects that were allocated and about which nothing was recorded.
    spare: Vec<SubjectRef>,
    /// Claims of such subjects that are to be given back first.
    unused_claims: Vec<UnusedClaim>,
    remembered: Remembered,
    /// Which userIds may have a subject; `None`: the read model has to be asked.
    known: Option<KnownTags>,
    /// What `known` becomes once it holds all of the read model.
    learning: Option<KnownTags>,
    /// Grows whenever an entry settles, its claim is to be given back or a subject is forgotten: tells that an answer of the read
    /// model may be older than this table.
    generation: u64,
}

impl Waiting {
    fn remove(&mut self, tag: Tag) -> Option<Pending> {
        let pending = self.pending.remove(&tag)?;
        self.tags.remove(&pending.subject);
        self.in_doubt -= usize::from(pending.is_in_doubt());
        Some(pending)
    }

    fn reserve(&mut self, tag: Tag, subject: SubjectRef, unused: Unused) {
        self.remove(tag);
        self.known.iter_mut().chain(&mut self.learning).for_each(|known| known.add(&tag));
        let (recorded, in_doubt, decided_by) = (None, None, None);
        self.pending.insert(tag, Pending { subject, holders: 1, recorded, in_doubt, decided_by, unused });
        self.tags.insert(subject, tag);
    }

    fn give_back(&mut self, subject: SubjectRef) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(subject);
        }
    }
}

/// The directory of one service.
pub(super) struct Directory {
    vault: Arc<dyn Vault>,
    waiting: Arc<Mutex<Waiting>>,
    /// That it is to be learned anew which userIds there are.
    to_learn: Notify,
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
        let Some(pending) = waiting.pending.get_mut(&self.tag) else { return };
        if pending.subject != self.subject {
            return;
        }
        pending.holders = pending.holders.saturating_sub(1);
        if pending.holders == 0 && pending.recorded.is_none() && !pending.is_in_doubt() {
            let unused = pending.unused;
            waiting.remove(self.tag);
            match unused {
                Unused::Nothing => {}
                Unused::Spare => waiting.give_back(self.subject),
                Unused::Claimed(version) if waiting.unused_claims.len() < SPARE_MAX => {
                    // Whoever was answered the same claim, and has not reserved its subject yet, has to claim again.
                    waiting.generation += 1;
                    waiting.unused_claims.push(UnusedClaim { tag: self.tag, subject: self.subject, version });
                }
                Unused::Claimed(_) => {}
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
            let was_in_doubt = pending.is_in_doubt();
            (pending.in_doubt, pending.decided_by) = (None, None);
            waiting.in_doubt -= usize::from(was_in_doubt);
            waiting.settled.push(Reverse((position, self.tag)));
        }
    }

    /// Tells that an append about the subject ended without having been kept for certain. `is_ambiguous`: it may even
    /// reach the log later; otherwise the log said that it kept nothing.
    pub(super) fn not_recorded(&self, is_ambiguous: bool) {
        let until = Instant::now() + if is_ambiguous { IN_DOUBT_FOR } else { Duration::ZERO };
        let mut waiting = lock(&self.waiting);
        if let Some(pending) = waiting.pending.get_mut(&self.tag)
            && pending.subject == self.subject
            && pending.recorded.is_none()
        {
            let was_in_doubt = pending.is_in_doubt();
            let was = pending.in_doubt.replace(pending.in_doubt.map_or(until, |was| was.max(until)));
            pending.decided_by = None;
            pending.unused = Unused::Nothing;
            if was.is_none() {
                waiting.doubts.push(Reverse((until, self.tag)));
            }
            waiting.in_doubt += usize::from(!was_in_doubt);
        }
    }
}

/// A subject that was allocated and is given back unless it is used.
struct Allocated<'d> {
    directory: &'d Directory,
    subject: Option<SubjectRef>,
}

impl Allocated<'_> {
    async fn get(&mut self) -> Result<SubjectRef, Error> {
        if let Some(subject) = self.subject {
            return Ok(subject);
        }
        let spare = lock(&self.directory.waiting).spare.pop();
        let subject = match spare {
            Some(subject) => subject,
            None => self.directory.vault.allocate().await?,
        };
        Ok(*self.subject.insert(subject))
    }
}

impl Drop for Allocated<'_> {
    fn drop(&mut self) {
        if let Some(subject) = self.subject {
            lock(&self.directory.waiting).give_back(subject);
        }
    }
}

/// What this table says about a userId by itself.
enum Known {
    Found(Found),
    Nobody,
    /// The read model has to be asked.
    Ask {
        generation: u64,
        /// It need not be asked: the userId was forgotten a moment ago, which the read model may not know yet, or nobody ever
        /// had it.
        nobody: bool,
        /// The subject that was reserved, where other nodes have to agree to it again.
        in_doubt: Option<SubjectRef>,
    },
}

impl Directory {
    /// A directory over a vault.
    #[must_use]
    pub(super) fn new(vault: Arc<dyn Vault>) -> Self {
        let to_learn = Notify::new();
        to_learn.notify_one();
        Self { vault, waiting: Arc::default(), to_learn }
    }

    fn hold(&self, tag: Tag, subject: SubjectRef) -> Hold {
        Hold { waiting: self.waiting.clone(), tag, subject }
    }

    fn look(&self, tag: Tag, introduce: bool) -> Result<Known, Error> {
        let shared = self.vault.is_shared();
        let mut waiting = lock(&self.waiting);
        let known = |subject| Known::Found(Found { subject, hold: None, fresh: false });
        let mut in_doubt = None;
        if let Some(pending) = waiting.pending.get_mut(&tag) {
            let subject = pending.subject;
            if pending.recorded.is_some() {
                return Ok(known(subject));
            }
            if introduce && !(shared && pending.is_in_doubt()) {
                pending.holders += 1;
                return Ok(Known::Found(Found { subject, hold: Some(self.hold(tag, subject)), fresh: false }));
            }
            if !introduce && !shared {
                // A reservation nobody recorded is not known to those who only look; of one that is in doubt the log
                // has to be asked.
                return Ok(if pending.is_in_doubt() { known(subject) } else { Known::Nobody });
            }
            // Another node may have introduced the userId; where an append is in doubt, its claim may have ended.
            in_doubt = Some(subject).filter(|_| introduce);
        } else if introduce && waiting.in_doubt >= IN_DOUBT_MAX {
            return Err(Error::Unavailable(
                "it is not known yet what the log kept of many earlier calls; no new userId is taken meanwhile".into(),
            ));
        }
        let (generation, forgotten) = (waiting.generation, waiting.forgotten.contains_key(&tag));
        if !forgotten
            && in_doubt.is_none()
            && let Some(subject) = waiting.remembered.subjects.get(&tag)
        {
            return Ok(known(*subject));
        }
        let nobody = forgotten || waiting.known.as_ref().is_some_and(|known| !known.may_hold(&tag));
        Ok(Known::Ask { generation, nobody, in_doubt })
    }

    /// Finds a userId; with `introduce`, allocates a subject for one that was never used.
    ///
    /// # Errors
    /// The vault or the read model is unavailable, or too many earlier introductions are in doubt.
    pub(super) async fn find(
        &self,
        read: &ReadStore,
        app: &AppId,
        user_id: &UserId,
        introduce: bool,
    ) -> Result<Option<Found>, Error> {
        let tag = self.vault.tag(app, user_id.as_str())?;
        match self.look(tag, introduce)? {
            Known::Found(found) => Ok(Some(found)),
            Known::Nobody => Ok(None),
            // On the heap: most are found in memory, and what a reading holds need not be moved along with every request.
            known => Box::pin(self.ask(read, app, tag, introduce, known)).await,
        }
    }

    /// Finds a userId about which this table says so much.
    async fn ask(
        &self,
        read: &ReadStore,
        app: &AppId,
        tag: Tag,
        introduce: bool,
        told: Known,
    ) -> Result<Option<Found>, Error> {
        let known = |subject| Found { subject, hold: None, fresh: false };
        let (mut allocated, mut told) = (Allocated { directory: self, subject: None }, Some(told));
        loop {
            let (generation, nobody, in_doubt) = match told.take().map_or_else(|| self.look(tag, introduce), Ok)? {
                Known::Found(found) => return Ok(Some(found)),
                Known::Nobody => return Ok(None),
                Known::Ask { generation, nobody, in_doubt } => (generation, nobody, in_doubt),
            };
            if !nobody && let Some(subject) = rollcall_projections::user_directory::subject_of(read, app, tag).await? {
                let mut waiting = lock(&self.waiting);
                if waiting.generation == generation {
                    waiting.remembered.add(tag, subject);
                }
                return Ok(Some(known(subject)));
            }
            if !introduce {
                return Ok(None);
            }
            let claims = read.claims().filter(|_| self.vault.is_shared());
            let ours = match in_doubt {
                Some(subject) => subject,
                None => {
                    if let Some(claims) = &claims {
                        self.give_claims_back(claims).await;
                    }
                    allocated.get().await?
                }
            };
            let (subject, unused) = match claims {
                Some(claims) => match claims.claim(tag, ours).await? {
                    Claimed::By(subject, version) if subject == ours && in_doubt.is_none() => {
                        // The claim outlives the command: no other userId may get the subject before it is given back.
                        allocated.subject = None;
                        (subject, Unused::Claimed(version))
                    }
                    Claimed::By(subject, _) => (subject, Unused::Nothing),
                    Claimed::Known(subject) => return Ok(Some(known(subject))),
                },
                None => (ours, Unused::Spare),
            };
            let mut waiting = lock(&self.waiting);
            // What the read model said may be old by now: somebody reserved, or a reservation was recorded and settled.
            if waiting.generation != generation {
                continue;
            }
            match waiting.pending.get_mut(&tag) {
                Some(pending) if pending.subject == subject && pending.recorded.is_none() => pending.holders += 1,
                // Other nodes decided otherwise once nothing could come of the append in doubt any more.
                Some(pending) if in_doubt.is_some() && pending.recorded.is_none() && pending.is_in_doubt() => {
                    waiting.reserve(tag, subject, Unused::Nothing);
                }
                Some(_) => continue,
                None => waiting.reserve(tag, subject, unused),
            }
            let fresh = in_doubt.is_none() && subject == ours;
            if subject == ours {
                allocated.subject = None;
            }
            if waiting.known.as_ref().is_some_and(KnownTags::is_full) {
                waiting.known = None;
                self.to_learn.notify_one();
            }
            drop(waiting);
            return Ok(Some(Found { subject, hold: Some(self.hold(tag, subject)), fresh }));
        }
    }

    /// Gives back the claims of commands that came to nothing, so that refused introductions do not fill the vault.
    async fn give_claims_back(&self, claims: &Claims<'_>) {
        let unused = std::mem::take(&mut lock(&self.waiting).unused_claims);
        match claims.give_back(&unused).await {
            Ok(subjects) => {
                let mut waiting = lock(&self.waiting);
                subjects.into_iter().for_each(|subject| waiting.give_back(subject));
            }
            // Then nobody gets their subjects: the claims end by themselves.
            Err(error) => tracing::debug!(%error, "claims of new userIds are not given back"),
        }
    }

    /// Tells that the subject of a tag was forgotten at a position.
    pub(super) fn forgotten(&self, tag: Tag, position: u64) {
        let mut waiting = lock(&self.waiting);
        waiting.remove(tag);
        // Where other nodes may have introduced the userId anew meanwhile, only what the read model says counts: who finds
        // the one who was forgotten there is refused, and looks again when the read model knows.
        if self.vault.is_shared() {
            return;
        }
        waiting.forgotten.insert(tag, position);
        waiting.settled.push(Reverse((position, tag)));
    }

    /// Tells that the read models hold that a subject was forgotten, by whichever node: its userId must not get it again.
    pub(super) fn gone(&self, subject: SubjectRef) {
        let mut waiting = lock(&self.waiting);
        waiting.remembered.remove(subject);
        waiting.generation += 1;
        if let Some(tag) = waiting.tags.get(&subject).copied() {
            waiting.remove(tag);
        }
    }

    /// Asks the read model again for every userId: it may answer otherwise once an operator has settled what was parked, or has
    /// had it built anew.
    pub(super) fn ask_again(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.remembered = Remembered::default();
        (waiting.known, waiting.learning) = (None, None);
        waiting.generation += 1;
        self.to_learn.notify_one();
    }

    /// Keeps knowing which userIds there are, until `stop`. Where other nodes introduce userIds too, the read model is asked
    /// for each.
    pub(super) async fn keep_learning(self: Arc<Self>, read: Arc<ReadStore>, stop: CancellationToken) {
        if self.vault.is_shared() {
            return;
        }
        while stop.run_until_cancelled(self.to_learn.notified()).await.is_some() {
            let (directory, read, handle) = (self.clone(), read.clone(), Handle::current());
            let learned = tasks::spawn_blocking(move || tasks::block_on(&handle, directory.learn(&read))).await;
            let error = match learned {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                // The process ends.
                Err(BrokeOff::Ended(error)) if error.is_cancelled() => return,
                Err(error) => error.to_string(),
            };
            tracing::warn!(error, "which userIds there are is not known; the read model is asked for each new one");
            self.to_learn.notify_one();
            if stop.run_until_cancelled(tokio::time::sleep(LEARN_AGAIN_AFTER)).await.is_none() {
                return;
            }
        }
    }

    /// Learns which userIds there are. The read models must hold all that was recorded before this process.
    async fn learn(&self, read: &ReadStore) -> Result<(), Error> {
        let count = rollcall_projections::user_directory::tag_count(read).await?;
        {
            let mut waiting = lock(&self.waiting);
            // What is reserved from here on is added by whoever reserves it.
            let mut learning = KnownTags::with_room_for(usize::try_from(count).unwrap_or(usize::MAX));
            waiting.pending.keys().for_each(|tag| learning.add(tag));
            waiting.learning = Some(learning);
        }
        let mut after = Tag::default();
        loop {
            let tags = rollcall_projections::user_directory::tags(read, after, LEARNED_TOGETHER).await?;
            let mut waiting = lock(&self.waiting);
            // Asked anew meanwhile: it is learned again.
            let Some(learning) = &mut waiting.learning else { return Ok(()) };
            tags.iter().for_each(|tag| learning.add(tag));
            match tags.last() {
                Some(last) => after = *last,
                None => {
                    waiting.known = waiting.learning.take();
                    return Ok(());
                }
            }
        }
    }

    /// The tag of a subject that was introduced a moment ago.
    pub(super) fn tag_of(&self, subject: SubjectRef) -> Option<Tag> {
        lock(&self.waiting).tags.get(&subject).copied()
    }

    /// Tells that an append was kept up to a position. Whatever may come of appends whose time is over stands before it.
    pub(super) fn acknowledged(&self, position: u64) {
        let mut waiting = lock(&self.waiting);
        let Some(&Reverse((mut until, mut tag))) = waiting.doubts.peek() else { return };
        let now = Instant::now();
        while until <= now {
            waiting.doubts.pop();
            let again = match waiting.pending.get_mut(&tag) {
                // It was in doubt once more meanwhile.
                Some(pending) if pending.in_doubt.is_some_and(|later| later > now) => pending.in_doubt,
                Some(pending) if pending.in_doubt.is_some() => {
                    (pending.in_doubt, pending.decided_by) = (None, Some(position));
                    waiting.settled.push(Reverse((position, tag)));
                    None
                }
                Some(_) | None => None,
            };
            waiting.doubts.extend(again.map(|later| Reverse((later, tag))));
            let Some(&Reverse(next)) = waiting.doubts.peek() else { return };
            (until, tag) = next;
        }
    }

    /// Drops what the read model knows by itself now.
    pub(super) fn settle(&self, applied: u64) {
        let mut waiting = lock(&self.waiting);
        while let Some(&Reverse((position, tag))) = waiting.settled.peek() {
            if position > applied {
                break;
            }
            waiting.settled.pop();
            if waiting.forgotten.get(&tag).is_some_and(|at| *at <= applied) {
                waiting.forgotten.remove(&tag);
            }
            let Some(pending) = waiting.pending.get_mut(&tag) else { continue };
            let is_known = pending.recorded.is_some_and(|at| at <= applied);
            let is_decided = pending.decided_by.is_some_and(|at| at <= applied);
            if is_known || is_decided && pending.holders == 0 {
                waiting.remove(tag);
                waiting.generation += 1;
            } else if is_decided {
                // Whoever still holds it ends the reservation.
                pending.decided_by = None;
                waiting.in_doubt -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
