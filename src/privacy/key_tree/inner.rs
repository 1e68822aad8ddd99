//! What the vault's threads share: the connections, the tree in memory, and what is cached of both.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SecretId, SubjectRef};
use rollcall_schemas::personal::Class;

use super::apps::{self, AppKeys};
use super::db::{Db, Hold};
use super::held_keys::{Cache, HeldKeys};
use super::ledger;
use super::page_key::{PageKey, PageRef};
use super::pages::Pages;
use super::revocation_watch::{RevocationWatch, Seen};
use super::root_cell::RootCell;
use super::signers::{self, Held};
use super::store::{self, Rotation, StopAfter, Taken};
use super::subject_keys::EpochKeys;
use super::tree::{SHARDS, Tree, shard_of};
use crate::crash_point;
use crate::privacy::{Destruction, Error, KeysToDestroy, Rotated, Signer, Witnessed};

/// Subjects whose keys are read in one round trip.
const FETCHED_TOGETHER: usize = 1_000;
/// Most destructions of others read at once.
const PAGE: u32 = 1_000;
/// About how many keys a rotation wraps anew before it lets others write; one shard's at least.
const SLICE_KEYS: u64 = 10_000;
/// How long a rotation leaves the writer to others who wait for it, at most.
const OTHERS_MAX: Duration = Duration::from_millis(100);
const OTHERS_PAUSE: Duration = Duration::from_millis(1);

/// A rotation that changes nothing, to name only what one does.
pub(super) const NO_ROTATION: Rotation<'static> = Rotation {
    destroy: &[],
    renew: 0..0,
    completes: false,
    apps: false,
    drop_secret: None,
    retire_signer: None,
    stop_after: None,
};

/// The connection that writes, and what is certain about it.
struct Writer {
    db: Box<dyn Db>,
    /// Whether the cell holds no root but the tables': not so while a rotation has failed.
    cell_settled: bool,
}

/// How a vault's tables are reached.
pub(super) struct Connections {
    pub(super) writer: Box<dyn Db>,
    pub(super) readers: Vec<Box<dyn Db>>,
    /// Where other nodes write as well.
    pub(super) looker: Option<Box<dyn Db>>,
}

pub(super) struct Inner {
    pub(super) vault: [u8; 16],
    pub(super) cell: Box<dyn RootCell>,
    writer: Mutex<Writer>,
    /// How many threads wait for the writer: a rotation lets them in between its slices.
    waiting: AtomicUsize,
    /// About how many keys a rotation wraps anew before it lets others write.
    pub(super) slice_keys: u64,
    readers: Vec<Mutex<Box<dyn Db>>>,
    /// Held for reading while keys are read and cached, for writing while a rotation replaces them: what a rotation
    /// destroyed cannot come back into the cache behind it.
    tree: RwLock<Tree>,
    cache: Cache,
    apps: RwLock<HashMap<AppId, Arc<AppKeys>>>,
    signers: RwLock<Vec<Held>>,
    /// The number of the last destruction that nothing cached is older than.
    followed: Mutex<u64>,
    /// Held while the tree of other nodes is fetched.
    catching_up: Mutex<()>,
    pub(super) revocation_watch: Option<RevocationWatch>,
    pub(super) pages: Pages,
}

fn not_started(why: &dyn std::fmt::Display) -> Error {
    Error::Unavailable(format!("the keys of other nodes cannot be fetched: {why}"))
}

// What these locks guard is whole between statements: a panic elsewhere does not make it wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// Unlocks the vault in these tables with the root in this cell.
    pub(super) fn open(connections: Connections, cell: Box<dyn RootCell>, taken: Taken) -> Result<Self, Error> {
        let Connections { writer: mut db, readers, looker } = connections;
        let followed = ledger::last(db.as_mut())?;
        let (vault, tree) = store::unlock(db.as_mut(), cell.as_ref(), taken)?;
        let inner = Self {
            signers: RwLock::default(),
            vault,
            cell,
            writer: Mutex::new(Writer { db, cell_settled: true }),
            waiting: AtomicUsize::new(0),
            slice_keys: SLICE_KEYS,
            readers: readers.into_iter().map(Mutex::new).collect(),
            tree: RwLock::new(tree),
            cache: Cache::new(),
            apps: RwLock::default(),
            followed: Mutex::new(followed),
            catching_up: Mutex::new(()),
            revocation_watch: looker.map(RevocationWatch::new),
            pages: Pages::default(),
        };
        inner.load_signers()?;
        if inner.signing().is_empty() {
            inner.write(Hold::Alone, |db, tree| match signers::count(db)? {
                0 => signers::add(db, tree.apps()).map(|_| ()),
                _ => Ok(()),
            })?;
            inner.load_signers()?;
        }
        Ok(inner)
    }

    pub(super) fn tree(&self) -> RwLockReadGuard<'_, Tree> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let writer = lock(&self.writer);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        writer
    }

    /// Leaves the writer to those who wait for it: whoever unlocks it and locks it again at once is faster than they are.
    fn let_others_write(&self) {
        let since = Instant::now();
        while self.waiting.load(Ordering::SeqCst) > 0 && since.elapsed() < OTHERS_MAX {
            std::thread::sleep(OTHERS_PAUSE);
        }
    }

    fn reader(&self, number: u8) -> MutexGuard<'_, Box<dyn Db>> {
        lock(&self.readers[usize::from(number) % self.readers.len()])
    }

    fn fresh(&self) -> Result<(), Error> {
        self.revocation_watch.as_ref().map_or(Ok(()), RevocationWatch::fresh)
    }

    /// Looks at what other nodes did to the tree, and takes their tree where it has changed.
    fn look(&self) -> Result<(), Error> {
        if self.look_for_destroyed()? { self.catch_up() } else { Ok(()) }
    }

    /// Looks at what other nodes did to the tree, and drops from memory what they destroyed. Answers whether they have
    /// another tree than this node. Asks the database alone.
    fn look_for_destroyed(&self) -> Result<bool, Error> {
        let Some(revocation_watch) = &self.revocation_watch else { return Ok(false) };
        let mut db = lock(&revocation_watch.looker);
        let started = Instant::now();
        let seen = Seen::by(db.as_mut())?;
        let changed = !seen.is_of(self.tree().generation, &self.signing());
        if changed {
            self.forget_destroyed(db.as_mut())?;
        }
        // From here on nothing in memory was destroyed before this look began, whether the new tree can be had or not.
        revocation_watch.saw(started);
        Ok(changed)
    }

    /// Keeps looking until it is stopped. The root of another tree is fetched on a thread of its own: a cell on a server
    /// that does not answer must not keep this node from seeing what is destroyed.
    pub(super) fn watch(self: &Arc<Self>) {
        let Some(revocation_watch) = &self.revocation_watch else { return };
        let mut catching_up: Option<JoinHandle<Result<(), Error>>> = None;
        revocation_watch.keep_looking(|| {
            let ended = catching_up.take_if(|catching_up| catching_up.is_finished());
            let done = ended.map_or(Ok(()), |ended| ended.join().unwrap_or_else(|_| Err(not_started(&"it panicked"))));
            if self.look_for_destroyed()? && catching_up.is_none() {
                let inner = self.clone();
                let started = std::thread::Builder::new().name("vault-catch-up".into()).spawn(move || inner.catch_up());
                catching_up = Some(started.map_err(|error| not_started(&error))?);
            }
            done
        });
    }

    /// Drops from memory what was destroyed, by whichever node.
    fn forget_destroyed(&self, db: &mut dyn Db) -> Result<(), Error> {
        let mut followed = lock(&self.followed);
        loop {
            let destroyed = ledger::after(db, *followed, PAGE)?;
            let Some((last, _)) = destroyed.last() else { return Ok(()) };
            let last = *last;
            // One at a time: keys may be read in between.
            for (_, done) in &destroyed {
                self.forgetting(|| self.cache.remove(done.keys_to_destroy.subject));
            }
            *followed = last;
        }
    }

    /// Takes the tree that other nodes made. No connection is held while the cell is asked for its root.
    fn catch_up(&self) -> Result<(), Error> {
        let _one_at_a_time = lock(&self.catching_up);
        let seen = Seen::by(self.reader(0).as_mut())?;
        if seen.is_of(self.tree().generation, &self.signing()) {
            return Ok(());
        }
        self.take(store::tree(|| store::needed(self.reader(0).as_mut()), self.cell.as_ref())?);
        let held = {
            // In this order: whoever reads keys holds the tree while it waits for the connection.
            let tree = self.tree();
            signers::load(self.reader(0).as_mut(), tree.apps())?
        };
        *self.signers.write().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(())
    }

    /// Takes the tree that the tables have by now, with what hangs from its apps' key.
    fn reload(&self, db: &mut dyn Db) -> Result<(), Error> {
        self.take(store::tree(|| store::needed(db), self.cell.as_ref())?);
        let held = signers::load(db, self.tree().apps())?;
        *self.signers.write().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(())
    }

    /// Uses this tree from now on, unless there is a newer one.
    fn take(&self, newest: Tree) {
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        if newest.generation > tree.generation {
            *tree = newest;
        }
        self.apps.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Reads under the tree; once more where another node has replaced it meanwhile.
    fn read<T>(&self, read: impl Fn(&Tree) -> Result<T, Error>) -> Result<T, Error> {
        loop {
            let tree = self.tree();
            let generation = tree.generation;
            match read(&tree) {
                Err(Error::Damaged(reason)) if self.revocation_watch.is_some() => {
                    drop(tree);
                    self.look()?;
                    if self.tree().generation == generation {
                        return Err(Error::Damaged(reason));
                    }
                }
                done => return done,
            }
        }
    }

    /// Writes under the tree that the tables have for certain: a key wrapped under another one would be lost.
    pub(super) fn write<T>(
        &self,
        hold: Hold,
        mut work: impl FnMut(&mut dyn Db, &Tree) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut writer = self.writer();
        loop {
            let done = writer.db.transaction(hold, |db| {
                let generation = store::generation(db)?;
                let tree = self.tree();
                if generation == tree.generation { work(db, &tree).map(Some) } else { Ok(None) }
            })?;
            match done {
                Some(done) => return Ok(done),
                None => self.take_over(writer.db.as_mut())?,
            }
        }
    }

    /// Takes a tree that came about elsewhere, or by a rotation whose end was not seen.
    fn take_over(&self, db: &mut dyn Db) -> Result<(), Error> {
        self.forget_destroyed(db)?;
        self.reload(db)
    }

    pub(super) fn make_pages(&self, shards: &[usize]) -> Result<Vec<SubjectRef>, Error> {
        let page = |shard: &usize| Ok((PageRef::fresh(*shard)?, Arc::new(PageKey::fresh()?)));
        let made = shards.iter().map(page).collect::<Result<Vec<_>, Error>>()?;
        let mut subjects = Vec::new();
        for (page, key) in &made {
            subjects.extend(key.subjects(*page)?);
        }
        self.write(Hold::Shared, |db, tree| store::insert_pages(db, tree, &made))?;
        made.into_iter().for_each(|(page, key)| self.cache.put_page(page, key));
        Ok(subjects)
    }

    /// A subject's keys, the key of this epoch and class among them.
    pub(super) fn keys_with(&self, subject: SubjectRef, epoch: u32, class: Class) -> Result<Option<HeldKeys>, Error> {
        let found = self.keys(subject, |keys| keys.has(epoch, class))?;
        Ok(found.filter(|keys| keys.has(epoch, class)))
    }

    /// A subject's keys; those in memory where they are `enough`: what is missing there another node may have made.
    pub(super) fn keys(
        &self,
        subject: SubjectRef,
        enough: impl Fn(&HeldKeys) -> bool,
    ) -> Result<Option<HeldKeys>, Error> {
        self.fresh()?;
        if let Some(keys) = self.cache.get(subject).filter(|keys| self.revocation_watch.is_none() || enough(keys)) {
            return Ok(Some(keys));
        }
        self.read(|tree| {
            let mut reader = self.reader(subject.0.as_bytes()[15]);
            let Some(keys) = store::keys_of(reader.as_mut(), tree, subject)? else { return Ok(None) };
            if matches!(keys, HeldKeys::Own(_)) {
                // Another node has written out its page's since that was kept here.
                self.cache.remove(subject);
            }
            self.cache.put(subject, keys.clone());
            Ok(Some(keys))
        })
    }

    /// Has the keys of many subjects in memory, where it costs a round trip to get those of one.
    pub(super) fn fetch(&self, subjects: &[SubjectRef]) -> Result<(), Error> {
        if self.revocation_watch.is_none() {
            return Ok(());
        }
        self.fresh()?;
        self.load(&self.missing(subjects))
    }

    /// Waits until keys in memory may be used, without blocking the thread.
    pub(super) async fn current(&self) -> Result<(), Error> {
        match &self.revocation_watch {
            Some(revocation_watch) => revocation_watch.current().await,
            None => Ok(()),
        }
    }

    /// Which of these subjects' keys are not in memory.
    pub(super) fn missing(&self, subjects: &[SubjectRef]) -> Vec<SubjectRef> {
        subjects.iter().copied().filter(|of| !self.cache.holds(*of)).collect()
    }

    /// Reads the keys of these subjects into memory: those of their pages, and their own where a page has none.
    pub(super) fn load(&self, subjects: &[SubjectRef]) -> Result<(), Error> {
        self.read(|tree| {
            let mut reader = self.reader(0);
            for some in subjects.chunks(FETCHED_TOGETHER) {
                let pages: HashSet<_> = some.iter().map(|subject| PageRef::of(*subject)).collect();
                let pages: Vec<_> = pages.into_iter().collect();
                let found = store::pages_of_each(reader.as_mut(), tree, &pages)?;
                for (page, key) in pages.iter().zip(found) {
                    key.into_iter().for_each(|key| self.cache.put_page(*page, Arc::new(key)));
                }
                let some = self.missing(some);
                let found = store::own_keys_of_each(reader.as_mut(), tree, &some)?;
                for (subject, keys) in some.iter().zip(found) {
                    keys.into_iter().for_each(|keys| self.cache.put(*subject, HeldKeys::Own(Arc::new(keys))));
                }
            }
            Ok(())
        })
    }

    /// Whether the keys of an app are in memory.
    pub(super) fn has_app(&self, app: &AppId) -> bool {
        self.apps.read().unwrap_or_else(PoisonError::into_inner).contains_key(app)
    }

    /// The keys of an app, made where it has none.
    pub(super) fn app(&self, app: &AppId) -> Result<Arc<AppKeys>, Error> {
        self.fresh()?;
        if let Some(keys) = self.apps.read().unwrap_or_else(PoisonError::into_inner).get(app) {
            return Ok(keys.clone());
        }
        self.app_as_stored(app)
    }

    /// The keys of an app as the tables have them now, where another node may have changed them.
    pub(super) fn app_as_stored(&self, app: &AppId) -> Result<Arc<AppKeys>, Error> {
        loop {
            let found = self.read(|tree| {
                let Some(keys) = apps::load(self.reader(0).as_mut(), tree.apps(), app)? else { return Ok(None) };
                let keys = Arc::new(keys);
                self.apps.write().unwrap_or_else(PoisonError::into_inner).insert(app.clone(), keys.clone());
                Ok(Some(keys))
            })?;
            match found {
                Some(keys) => return Ok(keys),
                None => self.write(Hold::Shared, |db, tree| apps::make(db, tree.apps(), app))?,
            }
        }
    }

    /// Forgets something that was read before it changed, also where it is being read right now.
    fn forgetting(&self, forget: impl Fn()) {
        let _nobody_reads = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        forget();
    }

    fn forget_app(&self, app: &AppId) {
        self.apps.write().unwrap_or_else(PoisonError::into_inner).remove(app);
    }

    /// These shards, in their order, cut into what a rotation may give a new key before it lets others write. By the
    /// keys that each really has, its own among them: subjects are made a page at a time, so that a small vault has many
    /// of them in few shards.
    fn slices(&self, shards: impl IntoIterator<Item = usize>) -> Result<Vec<Vec<usize>>, Error> {
        let mut reader = self.reader(0);
        let mut slices: Vec<Vec<usize>> = Vec::new();
        let mut room = 0;
        for shard in shards {
            let keys = 1 + store::keys_of_shard(reader.as_mut(), shard)?;
            match slices.last_mut() {
                Some(slice) if keys <= room => slice.push(shard),
                _ => {
                    room = self.slice_keys;
                    slices.push(vec![shard]);
                }
            }
            room = room.saturating_sub(keys);
        }
        Ok(slices)
    }

    /// Gives the root, every shard and the apps' keys a new key, some shards at a time. Each slice is a rotation of its
    /// own, whole wherever it is cut short.
    pub(super) fn rotate_everything(&self) -> Result<Rotated, Error> {
        let mut rotated: Option<Rotated> = None;
        for slice in self.slices(0..SHARDS)? {
            let (Some(from), Some(last)) = (slice.first().copied(), slice.last()) else { continue };
            let to = last + 1;
            let completes = to == SHARDS;
            let rotation = Rotation { renew: from..to, completes, apps: completes, ..NO_ROTATION };
            let (_, done) = self.rotate(&rotation)?;
            let before = rotated.map_or(done.generation_before, |rotated| rotated.generation_before);
            rotated = Some(Rotated { generation_before: before, ..done });
            self.let_others_write();
        }
        rotated.ok_or_else(|| Error::Damaged("its tree has no shards".into()))
    }

    /// Destroys keys, those of some shards at a time; answers in the order in which it was asked.
    pub(super) fn destroy(
        &self,
        keys_to_destroy: &[KeysToDestroy],
        stop_after: StopAfter,
    ) -> Result<Vec<Destruction>, Error> {
        let mut by_shard: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, one) in keys_to_destroy.iter().enumerate() {
            by_shard.entry(shard_of(one.subject)).or_default().push(index);
        }
        let mut done: Vec<Option<Destruction>> = vec![None; keys_to_destroy.len()];
        for slice in self.slices(by_shard.keys().copied())? {
            let mut indexes: Vec<_> = slice.iter().filter_map(|shard| by_shard.get(shard)).flatten().copied().collect();
            indexes.sort_unstable();
            let destroy: Vec<_> = indexes.iter().filter_map(|index| keys_to_destroy.get(*index)).cloned().collect();
            let (destroyed, _) = self.rotate(&Rotation { destroy: &destroy, stop_after, ..NO_ROTATION })?;
            for (index, one) in indexes.into_iter().zip(destroyed) {
                if let Some(place) = done.get_mut(index) {
                    *place = Some(one);
                }
            }
            self.let_others_write();
        }
        let missing = || Error::Damaged("a destruction was not answered".into());
        done.into_iter().collect::<Option<_>>().ok_or_else(missing)
    }

    /// Rotates in one slice.
    pub(super) fn rotate(&self, rotation: &Rotation<'_>) -> Result<(Vec<Destruction>, Rotated), Error> {
        self.cell.reach()?;
        let mut writer = self.writer();
        // Keys whose destruction failed at its end are not in the tables any more, but their root may still be in the
        // cell: nothing is called destroyed before it is gone.
        crash_point::reach("rotate.asked");
        self.settle(&mut writer)?;
        writer.cell_settled = false;
        let forget = || {
            rotation.destroy.iter().for_each(|keys_to_destroy| self.cache.remove(keys_to_destroy.subject));
            rotation.drop_secret.iter().for_each(|(app, _)| self.forget_app(app));
        };
        let done = loop {
            let cell = self.cell.as_ref();
            match store::rotate(writer.db.as_mut(), cell, self.vault, &self.tree, rotation, &forget) {
                Ok(Some(done)) => break Ok(done),
                Ok(None) => self.take_over(writer.db.as_mut())?,
                Err(error) => break Err(error),
            }
        };
        crash_point::reach("rotate.forgotten");
        let done = match (done, rotation.stop_after) {
            (Ok(_), Some(2)) => Err(store::cut()),
            (done, _) => done,
        };
        match done {
            Ok(done) => {
                self.settle(&mut writer)?;
                crash_point::reach("rotate.old_root_gone");
                writer.db.tidy();
                crash_point::reach("rotate.log_emptied");
                Ok(done)
            }
            Err(error) => {
                if let Err(error) = self.settle(&mut writer) {
                    tracing::warn!(%error, "a rotation of the keys failed and cannot be ended for now; the next one ends it");
                }
                Err(error)
            }
        }
    }

    /// Ends what a failed rotation left behind: its new root if it was undone, the old one if it was done.
    fn settle(&self, writer: &mut Writer) -> Result<(), Error> {
        store::settle(writer.db.as_mut(), self.cell.as_ref(), !writer.cell_settled && !self.cell.is_shared())?;
        writer.cell_settled = true;
        Ok(())
    }

    pub(super) fn renew(&self, subject: SubjectRef, epoch: u32) -> Result<(), Error> {
        let fresh = EpochKeys::fresh()?;
        self.write(Hold::Alone, |db, tree| {
            let keys = store::keys_of(db, tree, subject)?;
            if let Some(keys) = keys.filter(|keys| keys.newest() >= epoch) {
                return if Class::ALL.into_iter().any(|class| keys.has(epoch, class)) {
                    Ok(())
                } else {
                    Err(Error::Erased)
                };
            }
            // Of a subject whose keys are derived there is one epoch.
            store::write_out(db, tree, subject)?;
            store::insert_keys(db, tree, &[(subject, epoch, &fresh)])
        })?;
        self.forgetting(|| self.cache.remove(subject));
        Ok(())
    }

    pub(super) fn put_secret(&self, app: &AppId, id: SecretId, secret: &str) -> Result<(), Error> {
        // Makes the app's own keys first, if it has none.
        self.app(app)?;
        self.write(Hold::Shared, |db, tree| apps::put_secret(db, tree.apps(), app, id, secret))?;
        self.forgetting(|| self.forget_app(app));
        Ok(())
    }

    pub(super) fn destructions(&self, after: u64, limit: u32) -> Result<Vec<(u64, Destruction)>, Error> {
        ledger::after(self.reader(0).as_mut(), after, limit)
    }

    pub(super) fn last_rotation(&self) -> Result<DateTime<Utc>, Error> {
        let seconds = store::rotated(self.reader(0).as_mut())?;
        DateTime::from_timestamp(seconds, 0).ok_or_else(|| Error::Damaged("its last rotation is at no time".into()))
    }

    pub(super) fn witness(&self, seen: Witnessed) -> Result<(), Error> {
        ledger::witness(self.writer().db.as_mut(), seen)
    }

    pub(super) fn witnessed(&self) -> Result<Option<Witnessed>, Error> {
        ledger::witnessed(self.reader(0).as_mut())
    }

    pub(super) fn signing(&self) -> RwLockReadGuard<'_, Vec<Held>> {
        self.signers.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_signer(&self) -> Result<Signer, Error> {
        let added = self.write(Hold::Alone, |db, tree| signers::add(db, tree.apps()))?;
        self.load_signers()?;
        Ok(added)
    }

    pub(super) fn load_signers(&self) -> Result<(), Error> {
        let held = self.read(|tree| signers::load(self.reader(0).as_mut(), tree.apps()))?;
        *self.signers.write().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(())
    }
}
