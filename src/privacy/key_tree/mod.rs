//! The vault as a tree of keys: wrapped keys in tables, and the root they hang from in a cell. Neither is worth anything
//! without the other, and a copy of either is worth nothing once the root has moved on.
//!
//! The tables are a file of the data directory, for one node, or a database, for as many as like.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SecretId, SubjectRef};
use rollcall_schemas::personal::{Header, Sealed, Stored};
use zeroize::Zeroizing;

use super::{Destruction, Error, Finality, KeysToDestroy, Rotated, Secret, Signer, Tag, Vault, Witnessed};
use crate::database::Database;
use crate::tasks;

mod apps;
mod db;
mod held_keys;
mod inner;
mod ledger;
mod moving;
mod page_key;
mod pages;
mod revocation_watch;
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
pub use db::prepare;
use db::{READS_MAX, Reach, WRITES_MAX};
use held_keys::HeldKeys;
use inner::{Connections, Inner, NO_ROTATION};
use root_cell::Accepted;
pub use root_cell::{CellSpec, Doubt, Root, RootCell};
use store::{Rotation, StopAfter, Taken};

/// The file of the data directory that holds the tables.
const FILE: &str = "vault.db";
/// Connections to a database that read keys.
const READERS: usize = 4;

/// How a vault is opened.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// The database its tables are in, for many nodes; without one they are in the data directory.
    pub database: Option<Database>,
    /// Where its root lives.
    pub cell: CellSpec,
    /// Use a file system on which an overwritten root may survive.
    pub allow_unsuitable_mount: bool,
    /// Use a HashiCorp Vault to which the connection is not protected: without TLS, or with TLS that is not verified.
    pub allow_insecure_vault: bool,
}

impl Options {
    fn accepted(&self) -> Accepted {
        Accepted { unsuitable_mount: self.allow_unsuitable_mount, insecure_vault: self.allow_insecure_vault }
    }

    /// What somebody on the way to the keys could read or change, one sentence each.
    #[must_use]
    pub fn weaknesses(&self) -> Vec<String> {
        let database = self.database.iter().flat_map(Database::weaknesses);
        database.chain(self.cell.weakness()).collect()
    }
}

/// A vault.
pub struct KeyTree {
    inner: Arc<Inner>,
    threads: Vec<JoinHandle<()>>,
}

/// The tables in a file.
fn here(vault: &Path) -> Result<Connections, Error> {
    Ok(Connections { writer: db::file(vault)?, readers: vec![db::file(vault)?], looker: None })
}

/// The tables in a database.
fn shared(database: &Database) -> Result<Connections, Error> {
    let reach = Reach::new(database.clone())?;
    let reader = || reach.connection(READS_MAX);
    let readers = (0..READERS).map(|_| reader()).collect();
    Ok(Connections { writer: reach.connection(WRITES_MAX), readers, looker: Some(reader()) })
}

/// Where these options say that a vault is: its tables and its cell.
fn place(dir: &Path, options: &Options) -> Result<(Connections, Box<dyn RootCell>), Error> {
    Ok(match &options.database {
        Some(database) => {
            let cell = options.cell.open_shared(options.accepted())?;
            (shared(database)?, cell)
        }
        None => {
            let cell = options.cell.open(dir, options.accepted())?;
            (here(&dir.join(FILE))?, cell)
        }
    })
}

impl KeyTree {
    /// Opens the vault, making it if it does not exist; `dir` is the data directory of this node, whose lock the caller
    /// holds. Blocks while a database is asked.
    ///
    /// # Errors
    /// What belongs together is not together, or cannot be read or written; the root cell cannot be used, or is a file
    /// of one machine where other nodes need it.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, Error> {
        let (connections, cell) = place(dir, options)?;
        // A root that lies about in the directory is nobody else's; anywhere else it may be that of another vault.
        let own = options.database.is_none() && options.cell == CellSpec::Local;
        let taken = if own { Taken::Replace } else { Taken::Refuse };
        Self::serving(Inner::open(connections, cell, taken)?)
    }

    /// Opens a vault for reading alone: it opens values; it has no new subjects to hand out. In a directory it is a copy
    /// of the keys, `vault`, beside the root cell of `dir`: a root is never copied.
    ///
    /// # Errors
    /// As [`KeyTree::open`].
    pub fn open_to_read(vault: &Path, dir: &Path, options: &Options) -> Result<Self, Error> {
        let inner = match &options.database {
            Some(database) => {
                Inner::open(shared(database)?, options.cell.open_shared(options.accepted())?, Taken::Refuse)?
            }
            None => Inner::open(here(vault)?, options.cell.open_to_read(dir, options.accepted())?, Taken::Refuse)?,
        };
        Self::watching(Arc::new(inner))
    }

    fn serving(inner: Inner) -> Result<Self, Error> {
        let inner = Arc::new(inner);
        let mut vault = Self::watching(inner.clone())?;
        let provision = move || inner.pages.provision(|shards| inner.make_pages(shards));
        vault.threads.push(thread("vault-pages", provision)?);
        Ok(vault)
    }

    fn watching(inner: Arc<Inner>) -> Result<Self, Error> {
        let mut vault = Self { inner: inner.clone(), threads: vec![] };
        if inner.revocation_watch.is_some() {
            vault.threads.push(thread("vault-revocation-watch", move || inner.watch())?);
        }
        Ok(vault)
    }
}

fn thread(name: &'static str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let run = move || {
        run();
        Ok(())
    };
    let started = crate::supervision::spawn(name, run);
    started.map_err(|error| Error::Unavailable(format!("its thread {name} cannot be started: {error}")))
}

/// A new subject, for tests that run on a thread of their own.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) fn allocated(vault: &KeyTree) -> SubjectRef {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(vault.allocate()).unwrap()
}

impl Drop for KeyTree {
    fn drop(&mut self) {
        self.inner.pages.stop();
        self.inner.revocation_watch.iter().for_each(revocation_watch::RevocationWatch::stop);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl KeyTree {
    fn destroy_until(&self, destroy: &[KeysToDestroy], stop_after: StopAfter) -> Result<Vec<Destruction>, Error> {
        self.inner.destroy(destroy, stop_after)
    }

    /// Does something that may wait for a disk or a network, without blocking this thread.
    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let inner = self.inner.clone();
        let done = tasks::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|error| Err(Error::Unavailable(format!("it did not come to its end: {error}"))))
    }

    fn drop_secret_until(&self, app: &AppId, id: SecretId, stop_after: StopAfter) -> Result<(), Error> {
        let known = self.inner.app_as_stored(app)?.secrets.iter().any(|(of, ..)| *of == id);
        if !known {
            return Ok(());
        }
        let rotation = Rotation { apps: true, drop_secret: Some((app, id)), stop_after, ..NO_ROTATION };
        self.inner.rotate(&rotation).map(|_| ())
    }
}

#[async_trait]
impl Vault for KeyTree {
    async fn allocate(&self) -> Result<SubjectRef, Error> {
        self.inner.pages.take().await
    }

    async fn ready(&self, app: &AppId) -> Result<(), Error> {
        self.inner.current().await?;
        if self.inner.has_app(app) {
            return Ok(());
        }
        let app = app.clone();
        self.off_thread(move |inner| inner.app(&app).map(drop)).await
    }

    async fn load(&self, subjects: &[SubjectRef]) -> Result<(), Error> {
        self.inner.current().await?;
        let missing = self.inner.missing(subjects);
        if missing.is_empty() {
            return Ok(());
        }
        self.off_thread(move |inner| inner.load(&missing)).await
    }

    fn epoch(&self, subject: SubjectRef) -> Result<Option<u32>, Error> {
        Ok(self.inner.keys(subject, HeldKeys::is_whole)?.map(|keys| keys.newest()))
    }

    fn fetch(&self, subjects: &[SubjectRef]) -> Result<(), Error> {
        self.inner.fetch(subjects)
    }

    fn renew(&self, subject: SubjectRef, epoch: u32) -> Result<(), Error> {
        self.inner.renew(subject, epoch)
    }

    fn seal(&self, header: &Header, plaintext: &[u8]) -> Result<Sealed, Error> {
        let keys = self.inner.keys_with(header.subject, header.epoch, header.class)?.ok_or(Error::Erased)?;
        keys.with_key(header.epoch, header.class, |key| sealing::seal(key, header, plaintext))
    }

    fn open(&self, header: &Header, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, Error> {
        if (header.subject, header.class, header.epoch) != (sealed.subject, sealed.class, sealed.epoch) {
            return Err(Error::Tampered("it says it is another's"));
        }
        let keys = self.inner.keys_with(header.subject, header.epoch, header.class)?.ok_or(Error::Erased)?;
        let ciphertext = sealed.ciphertext.as_deref().ok_or(Error::Erased)?;
        if !sealing::is_recorded(sealed, ciphertext) {
            return Err(Error::Tampered("its ciphertext is not the one that was recorded"));
        }
        keys.with_key(header.epoch, header.class, |key| {
            sealing::open(key, (header.event, &header.path), &header.to_bytes(), &sealed.commitment, ciphertext)
        })
    }

    fn open_stored(&self, app: &AppId, subject: SubjectRef, stored: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let stored = Stored::from_bytes(stored).map_err(|_| Error::Tampered("it is not a sealed value"))?;
        let keys = self.inner.keys_with(subject, stored.epoch, stored.class)?.ok_or(Error::Erased)?;
        keys.with_key(stored.epoch, stored.class, |key| {
            sealing::open_stored(key, (stored.event, stored.path), &stored.associated(app, subject), stored.ciphertext)
        })
    }

    fn destroy(&self, keys_to_destroy: &[KeysToDestroy]) -> Result<Vec<Destruction>, Error> {
        self.destroy_until(keys_to_destroy, None)
    }

    fn destructions(&self, after: u64, limit: u32) -> Result<Vec<(u64, Destruction)>, Error> {
        self.inner.destructions(after, limit)
    }

    fn rotate(&self) -> Result<Rotated, Error> {
        self.inner.rotate_everything()
    }

    fn last_rotation(&self) -> Result<DateTime<Utc>, Error> {
        self.inner.last_rotation()
    }

    fn id(&self) -> [u8; 16] {
        self.inner.vault
    }

    fn is_shared(&self) -> bool {
        self.inner.revocation_watch.is_some()
    }

    fn finality(&self) -> Finality {
        self.inner.cell.class()
    }

    fn cell(&self) -> String {
        self.inner.cell.kind()
    }

    fn generation(&self) -> u64 {
        self.inner.tree().generation
    }

    fn signers(&self) -> Vec<Signer> {
        self.inner.signing().iter().map(|held| held.signer).collect()
    }

    fn sign(&self, message: &[u8]) -> Vec<(Signer, [u8; 64])> {
        let sign = |held: &signers::Held| {
            let signature = held.pair.as_ref()?.sign(message);
            Some((held.signer, *signature.as_ref().first_chunk()?))
        };
        self.inner.signing().iter().filter_map(sign).collect()
    }

    fn add_signer(&self) -> Result<Signer, Error> {
        self.inner.add_signer()
    }

    fn retire_signer(&self, id: u32) -> Result<bool, Error> {
        let signers = self.signers();
        let signs = |signer: &&Signer| !signer.retired;
        if !signers.iter().filter(signs).any(|signer| signer.id == id) || signers.iter().filter(signs).count() < 2 {
            return Ok(signers.iter().any(|signer| signer.id == id && signer.retired));
        }
        let retired = self.inner.rotate(&Rotation { apps: true, retire_signer: Some(id), ..NO_ROTATION });
        // Also after a failure: it may have come behind the commit.
        self.inner.load_signers()?;
        retired.map(|_| true)
    }

    fn witness(&self, seen: Witnessed) -> Result<(), Error> {
        self.inner.witness(seen)
    }

    fn witnessed(&self) -> Result<Option<Witnessed>, Error> {
        self.inner.witnessed()
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
        self.inner.put_secret(app, id, secret)
    }

    fn drop_secret(&self, app: &AppId, id: SecretId) -> Result<(), Error> {
        self.drop_secret_until(app, id, None)
    }

    fn secrets(&self, app: &AppId) -> Result<Vec<(SecretId, Secret)>, Error> {
        Ok(self.inner.app_as_stored(app)?.secrets.iter().map(|(id, secret, _)| (*id, secret.clone())).collect())
    }

    fn token_mac(&self, app: &AppId, secret: SecretId, token: &[u8]) -> Result<[u8; 32], Error> {
        let mac =
            |keys: &AppKeys| keys.secrets.iter().find(|(id, ..)| *id == secret).map(|(.., key)| hmac::sign(key, token));
        let mac = match mac(self.inner.app(app)?.as_ref()) {
            Some(mac) => mac,
            // Another node may have put it a moment ago.
            None => mac(self.inner.app_as_stored(app)?.as_ref()).ok_or(Error::Erased)?,
        };
        mac.as_ref().first_chunk().copied().ok_or_else(|| Error::Damaged("a keyed hash is too short".into()))
    }
}
