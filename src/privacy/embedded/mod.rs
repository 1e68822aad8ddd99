//! The vault in two files of the data directory: `vault.db` holds wrapped keys, `root.cell` the root they hang from.
//! Neither is worth anything without the other, and a copy of either is worth nothing once the root has moved on.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;

use aws_lc_rs::hmac;
use rollcall_schemas::ids::{AppId, SecretId, SubjectRef};
use rollcall_schemas::personal::{Header, Sealed, Stored};
use rollcall_schemas::plain::Finality;
use rusqlite::Connection;
use zeroize::Zeroizing;

use super::{Destruction, Doomed, Error, Rotated, Secret, Signer, Tag, Vault, Witnessed};

mod apps;
mod ledger;
mod pages;
mod root_cell;
mod sealing;
mod signers;
mod store;
mod subject_keys;
#[cfg(test)]
mod tests;
mod tree;
mod wrapping;

use apps::AppKeys;
use pages::Pages;
use root_cell::LocalCell;
use store::{Rotation, StopAfter};
use subject_keys::{Cache, EpochKeys, SubjectKeys};
use tree::Tree;

struct Inner {
    vault: [u8; 16],
    cell: LocalCell,
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    /// Held for reading while keys are read and cached, for writing while a rotation replaces them: what a rotation
    /// destroyed cannot come back into the cache behind it.
    tree: RwLock<Tree>,
    cache: Cache,
    apps: RwLock<HashMap<AppId, Arc<AppKeys>>>,
    signers: RwLock<Vec<signers::Held>>,
    pages: Pages,
}

/// A vault on this machine.
pub struct Embedded {
    inner: Arc<Inner>,
    provisioner: Option<JoinHandle<()>>,
}

// What these locks guard is whole between statements: a panic elsewhere does not make it wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Embedded {
    /// Opens the vault of this directory, making it if it does not exist. The caller holds the directory's lock.
    ///
    /// # Errors
    /// The files do not belong together, or cannot be read or written.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let mut opened = Self::open_over(&dir.join("vault.db"), LocalCell::open(&dir.join("root.cell"))?)?;
        let provisioner = std::thread::Builder::new()
            .name("vault-pages".into())
            .spawn({
                let inner = opened.inner.clone();
                move || inner.pages.provision(|shards| inner.make_pages(shards))
            })
            .map_err(|error| Error::Unavailable(format!("the vault's thread cannot be started: {error}")))?;
        opened.provisioner = Some(provisioner);
        Ok(opened)
    }

    /// Opens a copy of the keys beside the root cell they hang from, which is only read: a root is never copied. It
    /// opens values; it has no new subjects to hand out.
    ///
    /// # Errors
    /// The two do not belong together, or cannot be read.
    pub fn open_copy(vault: &Path, root_cell: &Path) -> Result<Self, Error> {
        Self::open_over(vault, LocalCell::open_to_read(root_cell)?)
    }

    fn open_over(path: &Path, cell: LocalCell) -> Result<Self, Error> {
        let writer = store::connect(path)?;
        let (vault, tree) = store::unlock(&writer, &cell)?;
        let reader = store::connect(path)?;
        let signers = RwLock::new(signers::load(&writer, tree.apps())?);
        let inner = Arc::new(Inner {
            vault,
            cell,
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            tree: RwLock::new(tree),
            cache: Cache::new(),
            apps: RwLock::default(),
            signers,
            pages: Pages::default(),
        });
        Ok(Self { inner, provisioner: None })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.inner.pages.stop();
        if let Some(provisioner) = self.provisioner.take() {
            let _ = provisioner.join();
        }
    }
}

impl Inner {
    fn tree(&self) -> RwLockReadGuard<'_, Tree> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_pages(&self, shards: &[usize]) -> Result<Vec<SubjectRef>, Error> {
        let mut writer = lock(&self.writer);
        let transaction = writer.transaction()?;
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

    fn keys(&self, subject: SubjectRef) -> Result<Option<Arc<SubjectKeys>>, Error> {
        if let Some(keys) = self.cache.get(subject) {
            return Ok(Some(keys));
        }
        let tree = self.tree();
        let Some(keys) = store::keys_of(&lock(&self.reader), &tree, subject)? else { return Ok(None) };
        let keys = Arc::new(keys);
        self.cache.put(subject, keys.clone());
        Ok(Some(keys))
    }

    fn app(&self, app: &AppId) -> Result<Arc<AppKeys>, Error> {
        if let Some(keys) = self.apps.read().unwrap_or_else(PoisonError::into_inner).get(app) {
            return Ok(keys.clone());
        }
        let writer = lock(&self.writer);
        let keys = Arc::new(apps::load(&writer, self.tree().apps(), app)?);
        self.apps.write().unwrap_or_else(PoisonError::into_inner).insert(app.clone(), keys.clone());
        Ok(keys)
    }

    fn forget_app(&self, app: &AppId) {
        self.apps.write().unwrap_or_else(PoisonError::into_inner).remove(app);
    }

    fn rotate(&self, rotation: &Rotation<'_>) -> Result<(Vec<Destruction>, Rotated), Error> {
        let mut writer = lock(&self.writer);
        let mut tree = self.tree.write().unwrap_or_else(PoisonError::into_inner);
        let forget = || rotation.destroy.iter().for_each(|doomed| self.cache.remove(doomed.subject));
        let (next, done, rotated) = match store::rotate(&mut writer, &self.cell, self.vault, &tree, rotation) {
            Ok(done) => done,
            Err(error) => {
                // It may have failed before or behind its commit: what is true is what the files say.
                let (_, now) = store::unlock(&writer, &self.cell)?;
                if now.generation != tree.generation {
                    *tree = now;
                    forget();
                }
                return Err(error);
            }
        };
        if let Some(next) = next {
            *tree = next;
        }
        forget();
        Ok((done, rotated))
    }
}

const EVERYTHING: Rotation<'static> =
    Rotation { destroy: &[], all: true, apps: true, drop_secret: None, retire_signer: None, stop_after: None };

impl Embedded {
    fn destroy_until(&self, destroy: &[Doomed], stop_after: StopAfter) -> Result<Vec<Destruction>, Error> {
        let rotation = Rotation { destroy, all: false, apps: false, stop_after, ..EVERYTHING };
        self.inner.rotate(&rotation).map(|(done, _)| done)
    }

    fn drop_secret_until(&self, app: &AppId, id: SecretId, stop_after: StopAfter) -> Result<(), Error> {
        let known = self.inner.app(app)?.secrets.iter().any(|(of, ..)| *of == id);
        if !known {
            return Ok(());
        }
        let rotation = Rotation { all: false, drop_secret: Some((app, id)), stop_after, ..EVERYTHING };
        let dropped = self.inner.rotate(&rotation);
        // Also after a failure: it may have come behind the commit.
        self.inner.forget_app(app);
        dropped.map(|_| ())
    }

    fn signing(&self) -> RwLockReadGuard<'_, Vec<signers::Held>> {
        self.inner.signers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn reload_signers(&self) -> Result<(), Error> {
        let writer = lock(&self.inner.writer);
        let held = signers::load(&writer, self.inner.tree().apps())?;
        *self.inner.signers.write().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(())
    }
}

impl Vault for Embedded {
    fn allocate(&self) -> Result<SubjectRef, Error> {
        self.inner.pages.take()
    }

    fn epoch(&self, subject: SubjectRef) -> Result<Option<u32>, Error> {
        Ok(self.inner.keys(subject)?.map(|keys| keys.newest))
    }

    fn renew(&self, subject: SubjectRef, epoch: u32) -> Result<(), Error> {
        let mut writer = lock(&self.inner.writer);
        let tree = self.inner.tree.write().unwrap_or_else(PoisonError::into_inner);
        let keys = store::keys_of(&writer, &tree, subject)?;
        if let Some(keys) = keys.filter(|keys| keys.newest >= epoch) {
            return if keys.epochs.iter().any(|(of, _)| *of == epoch) { Ok(()) } else { Err(Error::Erased) };
        }
        let transaction = writer.transaction()?;
        store::insert_keys(&transaction, &tree, subject, epoch, &EpochKeys::fresh()?)?;
        transaction.commit()?;
        self.inner.cache.remove(subject);
        Ok(())
    }

    fn seal(&self, header: &Header, plaintext: &[u8]) -> Result<Sealed, Error> {
        let keys = self.inner.keys(header.subject)?.ok_or(Error::Erased)?;
        sealing::seal(keys.key(header.epoch, header.class).ok_or(Error::Erased)?, header, plaintext)
    }

    fn open(&self, header: &Header, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, Error> {
        if (header.subject, header.class, header.epoch) != (sealed.subject, sealed.class, sealed.epoch) {
            return Err(Error::Tampered("it says it is another's"));
        }
        let keys = self.inner.keys(header.subject)?.ok_or(Error::Erased)?;
        let key = keys.key(header.epoch, header.class).ok_or(Error::Erased)?;
        let ciphertext = sealed.ciphertext.as_deref().ok_or(Error::Erased)?;
        if !sealing::is_recorded(sealed, ciphertext) {
            return Err(Error::Tampered("its ciphertext is not the one that was recorded"));
        }
        sealing::open(key, (header.event, &header.path), &header.to_bytes(), &sealed.commitment, ciphertext)
    }

    fn open_stored(&self, app: &AppId, subject: SubjectRef, stored: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let stored = Stored::from_bytes(stored).map_err(|_| Error::Tampered("it is not a sealed value"))?;
        if stored.app != app.as_str() || stored.subject != subject {
            return Err(Error::Tampered("it is about somebody else"));
        }
        let keys = self.inner.keys(subject)?.ok_or(Error::Erased)?;
        let key = keys.key(stored.epoch, stored.class).ok_or(Error::Erased)?;
        sealing::open(key, (stored.event, stored.path), stored.associated, &stored.commitment, stored.ciphertext)
    }

    fn destroy(&self, doomed: &[Doomed]) -> Result<Vec<Destruction>, Error> {
        self.destroy_until(doomed, None)
    }

    fn destructions(&self, skip: u32, limit: u32) -> Result<Vec<Destruction>, Error> {
        ledger::after(&lock(&self.inner.reader), skip, limit)
    }

    fn rotate(&self) -> Result<Rotated, Error> {
        self.inner.rotate(&EVERYTHING).map(|(_, rotated)| rotated)
    }

    fn id(&self) -> [u8; 16] {
        self.inner.vault
    }

    fn generation(&self) -> u64 {
        self.inner.tree().generation
    }

    fn finality(&self) -> Finality {
        Finality::LocalFile
    }

    fn cell(&self) -> String {
        "local file, two slots overwritten in place".into()
    }

    fn signers(&self) -> Vec<Signer> {
        self.signing().iter().map(|held| held.signer).collect()
    }

    fn sign(&self, message: &[u8]) -> Vec<(Signer, [u8; 64])> {
        let sign = |held: &signers::Held| {
            let signature = held.pair.as_ref()?.sign(message);
            Some((held.signer, *signature.as_ref().first_chunk()?))
        };
        self.signing().iter().filter_map(sign).collect()
    }

    fn add_signer(&self) -> Result<Signer, Error> {
        let id = self.signing().iter().map(|held| held.signer.id).max().unwrap_or(0) + 1;
        let added = signers::add(&lock(&self.inner.writer), self.inner.tree().apps(), id)?.signer;
        self.reload_signers()?;
        Ok(added)
    }

    fn retire_signer(&self, id: u32) -> Result<bool, Error> {
        let signers = self.signers();
        let signs = |signer: &&Signer| !signer.retired;
        if !signers.iter().filter(signs).any(|signer| signer.id == id) || signers.iter().filter(signs).count() < 2 {
            return Ok(signers.iter().any(|signer| signer.id == id && signer.retired));
        }
        let retired = self.inner.rotate(&Rotation { all: false, retire_signer: Some(id), ..EVERYTHING });
        // Also after a failure: it may have come behind the commit.
        self.reload_signers()?;
        retired.map(|_| true)
    }

    fn witness(&self, seen: Witnessed) -> Result<(), Error> {
        ledger::witness(&lock(&self.inner.writer), seen)
    }

    fn witnessed(&self) -> Result<Option<Witnessed>, Error> {
        ledger::witnessed(&lock(&self.inner.reader))
    }

    fn tag(&self, app: &AppId, user_id: &str) -> Result<Tag, Error> {
        let mac = hmac::sign(&self.inner.app(app)?.directory, user_id.as_bytes());
        mac.as_ref().first_chunk().copied().ok_or_else(|| Error::Damaged("a keyed hash is too short".into()))
    }

    fn fingerprint(&self, app: &AppId, content: &[&[u8]]) -> Result<[u8; 32], Error> {
        let keys = self.inner.app(app)?;
        let mut context = hmac::Context::with_key(&keys.fingerprint);
        for part in content {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mac = context.sign();
        mac.as_ref().first_chunk().copied().ok_or_else(|| Error::Damaged("a keyed hash is too short".into()))
    }

    fn put_secret(&self, app: &AppId, id: SecretId, secret: &str) -> Result<(), Error> {
        // Makes the app's own keys first, if it has none.
        self.inner.app(app)?;
        let writer = lock(&self.inner.writer);
        apps::put_secret(&writer, self.inner.tree().apps(), app, id, secret)?;
        drop(writer);
        self.inner.forget_app(app);
        Ok(())
    }

    fn drop_secret(&self, app: &AppId, id: SecretId) -> Result<(), Error> {
        self.drop_secret_until(app, id, None)
    }

    fn secrets(&self, app: &AppId) -> Result<Vec<(SecretId, Secret)>, Error> {
        Ok(self.inner.app(app)?.secrets.iter().map(|(id, secret, _)| (*id, secret.clone())).collect())
    }

    fn token_mac(&self, app: &AppId, secret: SecretId, token: &[u8]) -> Result<[u8; 32], Error> {
        let keys = self.inner.app(app)?;
        let (.., key) = keys.secrets.iter().find(|(id, ..)| *id == secret).ok_or(Error::Erased)?;
        let mac = hmac::sign(key, token);
        mac.as_ref().first_chunk().copied().ok_or_else(|| Error::Damaged("a keyed hash is too short".into()))
    }
}
