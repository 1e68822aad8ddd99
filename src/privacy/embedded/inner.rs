//! What the vault's threads share: the two connections, the tree in memory, and what is cached of both.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SecretId, SubjectRef};
use rusqlite::Connection;

use super::apps::{self, AppKeys};
use super::ledger;
use super::pages::{self, Pages};
use super::root_cell::RootCell;
use super::signers::{self, Held};
use super::store::{self, Rotation, Taken};
use super::subject_keys::{Cache, EpochKeys, SubjectKeys};
use super::tree::Tree;
use crate::crash_point;
use crate::privacy::{Destruction, Error, Rotated, Signer, Witnessed};

/// The connection that writes, and what is certain about it.
pub(super) struct Writer {
    connection: Connection,
    /// Whether the tree in memory is the file's: not certain while a commit has failed.
    tree_known: bool,
    /// Whether the cell holds no root but the file's: not so while a rotation has failed.
    cell_settled: bool,
}

pub(super) struct Inner {
    pub(super) vault: [u8; 16],
    pub(super) cell: Box<dyn RootCell>,
    writer: Mutex<Writer>,
    reader: Mutex<Connection>,
    /// Held for reading while keys are read and cached, for writing while a rotation replaces them: what a rotation
    /// destroyed cannot come back into the cache behind it.
    tree: RwLock<Tree>,
    cache: Cache,
    apps: RwLock<HashMap<AppId, Arc<AppKeys>>>,
    signers: RwLock<Vec<Held>>,
    pub(super) pages: Pages,
}

// What these locks guard is whole between statements: a panic elsewhere does not make it wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// Unlocks the vault of this file with the root in this cell.
    pub(super) fn open(path: &Path, cell: Box<dyn RootCell>, taken: Taken) -> Result<Self, Error> {
        let connection = store::connect(path)?;
        let (vault, tree) = store::unlock(&connection, cell.as_ref(), taken)?;
        let signers = RwLock::new(signers::load(&connection, tree.apps())?);
        Ok(Self {
            signers,
            vault,
            cell,
            writer: Mutex::new(Writer { connection, tree_known: true, cell_settled: true }),
            reader: Mutex::new(store::connect(path)?),
            tree: RwLock::new(tree),
            cache: Cache::new(),
            apps: RwLock::default(),
            pages: Pages::default(),
        })
    }

    pub(super) fn tree(&self) -> RwLockReadGuard<'_, Tree> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer, behind certainty which tree its file has: a key wrapped under another one would be lost.
    fn writer(&self) -> Result<MutexGuard<'_, Writer>, Error> {
        let mut writer = lock(&self.writer);
        if !writer.tree_known {
            let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
            self.know(&mut writer, &mut tree)?;
        }
        Ok(writer)
    }

    fn know(&self, writer: &mut Writer, tree: &mut Tree) -> Result<(), Error> {
        if !writer.tree_known {
            if store::generation(&writer.connection)? != tree.generation {
                *tree = store::tree(&writer.connection, self.cell.as_ref())?;
            }
            writer.tree_known = true;
        }
        Ok(())
    }

    /// Ends what a failed rotation left behind: its new root if it was undone, the old one if it was done.
    fn settle(&self, writer: &mut Writer, tree: &mut Tree) -> Result<(), Error> {
        self.know(writer, tree)?;
        if !writer.cell_settled {
            self.cell.keep_only(self.vault, tree.generation)?;
            writer.cell_settled = true;
        }
        Ok(())
    }

    pub(super) fn make_pages(&self, shards: &[usize]) -> Result<Vec<SubjectRef>, Error> {
        let mut writer = self.writer()?;
        let transaction = writer.connection.transaction()?;
        let tree = self.tree();
        let (mut subjects, mut made) = (vec![], vec![]);
        for shard in shards {
            for subject in pages::references(*shard)? {
                let keys = EpochKeys::fresh()?;
                store::insert_keys(&transaction, &tree, subject, 0, &keys)?;
                subjects.push(subject);
                made.push(SubjectKeys { newest: 0, epochs: vec![(0, keys)] });
            }
        }
        transaction.commit()?;
        for (subject, keys) in subjects.iter().zip(made) {
            self.cache.put(*subject, Arc::new(keys));
        }
        Ok(subjects)
    }

    pub(super) fn keys(&self, subject: SubjectRef) -> Result<Option<Arc<SubjectKeys>>, Error> {
        if let Some(keys) = self.cache.get(subject) {
            return Ok(Some(keys));
        }
        let tree = self.tree();
        let Some(keys) = store::keys_of(&lock(&self.reader), &tree, subject)? else { return Ok(None) };
        let keys = Arc::new(keys);
        self.cache.put(subject, keys.clone());
        Ok(Some(keys))
    }

    pub(super) fn app(&self, app: &AppId) -> Result<Arc<AppKeys>, Error> {
        if let Some(keys) = self.apps.read().unwrap_or_else(PoisonError::into_inner).get(app) {
            return Ok(keys.clone());
        }
        let writer = self.writer()?;
        let keys = Arc::new(apps::load(&writer.connection, self.tree().apps(), app)?);
        self.apps.write().unwrap_or_else(PoisonError::into_inner).insert(app.clone(), keys.clone());
        Ok(keys)
    }

    pub(super) fn forget_app(&self, app: &AppId) {
        self.apps.write().unwrap_or_else(PoisonError::into_inner).remove(app);
    }

    pub(super) fn rotate(&self, rotation: &Rotation<'_>) -> Result<(Vec<Destruction>, Rotated), Error> {
        let mut writer = lock(&self.writer);
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        // Keys whose destruction failed at its end are not in the file any more, but their root may still be in the
        // cell: nothing is called destroyed before it is gone.
        crash_point::reach("rotate.asked");
        self.settle(&mut writer, &mut tree)?;
        (writer.tree_known, writer.cell_settled) = (false, false);
        let done = store::rotate(&mut writer.connection, self.cell.as_ref(), self.vault, &mut tree, rotation);
        rotation.destroy.iter().for_each(|doomed| self.cache.remove(doomed.subject));
        crash_point::reach("rotate.forgotten");
        if done.is_ok() {
            (writer.tree_known, writer.cell_settled) = (true, true);
        } else if let Err(error) = self.settle(&mut writer, &mut tree) {
            tracing::warn!(%error, "a rotation of the keys failed and cannot be ended for now; the next one ends it");
        }
        done
    }

    pub(super) fn renew(&self, subject: SubjectRef, epoch: u32) -> Result<(), Error> {
        let mut writer = self.writer()?;
        let tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        let keys = store::keys_of(&writer.connection, &tree, subject)?;
        if let Some(keys) = keys.filter(|keys| keys.newest >= epoch) {
            return if keys.epochs.iter().any(|(of, _)| *of == epoch) { Ok(()) } else { Err(Error::Erased) };
        }
        let transaction = writer.connection.transaction()?;
        store::insert_keys(&transaction, &tree, subject, epoch, &EpochKeys::fresh()?)?;
        transaction.commit()?;
        self.cache.remove(subject);
        Ok(())
    }

    pub(super) fn put_secret(&self, app: &AppId, id: SecretId, secret: &str) -> Result<(), Error> {
        // Makes the app's own keys first, if it has none.
        self.app(app)?;
        let writer = self.writer()?;
        apps::put_secret(&writer.connection, self.tree().apps(), app, id, secret)?;
        drop(writer);
        self.forget_app(app);
        Ok(())
    }

    pub(super) fn destructions(&self, skip: u32, limit: u32) -> Result<Vec<Destruction>, Error> {
        ledger::after(&lock(&self.reader), skip, limit)
    }

    pub(super) fn last_rotation(&self) -> Result<DateTime<Utc>, Error> {
        let seconds = store::rotated(&lock(&self.reader))?;
        DateTime::from_timestamp(seconds, 0).ok_or_else(|| Error::Damaged("its last rotation is at no time".into()))
    }

    pub(super) fn witness(&self, seen: Witnessed) -> Result<(), Error> {
        ledger::witness(&lock(&self.writer).connection, seen)
    }

    pub(super) fn witnessed(&self) -> Result<Option<Witnessed>, Error> {
        ledger::witnessed(&lock(&self.reader))
    }

    pub(super) fn signing(&self) -> RwLockReadGuard<'_, Vec<Held>> {
        self.signers.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_signer(&self) -> Result<Signer, Error> {
        let id = self.signing().iter().map(|held| held.signer.id).max().unwrap_or(0) + 1;
        let added = signers::add(&self.writer()?.connection, self.tree().apps(), id)?.signer;
        self.reload_signers()?;
        Ok(added)
    }

    pub(super) fn reload_signers(&self) -> Result<(), Error> {
        let held = signers::load(&self.writer()?.connection, self.tree().apps())?;
        *self.signers.write().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(())
    }
}
