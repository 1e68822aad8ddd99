//! The tree over the log (RFC 6962): who holds a signed checkpoint of it can prove any later change of the past.
//!
//! The keeper follows the log and adds the hash of every event. While there is activity it signs size and root every
//! second, and tells the vault once a minute and before keys are destroyed: a log that was put back to an earlier
//! state is recognised when the service starts.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::merkle::{Hash, Nodes as _};
use crate::crash_point;
use crate::eventlog::EventLog;
use crate::privacy::{self, Vault, Witnessed};
use crate::tasks;

mod error;
mod history;
pub mod leaf;
pub mod note;
mod publish;
pub mod tiles;
pub mod verify;

pub use error::Error;
use history::History;
use note::{Checkpoint, Verifier};
pub(super) use publish::publish;
use publish::remove_unpublished;
use tiles::Tiles;

/// Events read at once.
const BATCH_MAX: usize = 4_096;
/// A tree that lacks more events than this is brought up to the log after the service has begun to listen.
const OPENED_WITHIN: u64 = 100_000;
/// How long the tree may be behind the log at most, so that small batches are added together.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a checkpoint is signed while there is activity.
const SIGN_EVERY: Duration = Duration::from_secs(1);
/// How often the vault is told.
const WITNESS_EVERY: Duration = Duration::from_mins(1);

/// A checkpoint with its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: String,
}

/// Keeps the tree of one log.
pub struct Keeper {
    dir: PathBuf,
    copy: Option<PathBuf>,
    origin: String,
    log: Arc<dyn EventLog>,
    vault: Arc<dyn Vault>,
    tiles: Tiles,
    history: Arc<Mutex<History>>,
    latest: RwLock<Option<Arc<Signed>>>,
    advancing: tokio::sync::Mutex<()>,
    signing: tokio::sync::Mutex<()>,
    /// Earlier states of the log with which it was not compared yet.
    uncompared: tokio::sync::Mutex<Vec<Seen>>,
    /// Whether the tree held all of the log once, and the log is what was seen of it.
    proven: AtomicBool,
}

/// The name of the log whose keys this vault holds, and of its signing keys.
#[must_use]
pub fn origin(vault: &dyn Vault) -> String {
    format!("rollcall/{}", hex::encode(vault.id()))
}

/// The keys that may have signed for this log, retired ones included, oldest first.
#[must_use]
pub fn verifiers(vault: &dyn Vault) -> Vec<Verifier> {
    let name = origin(vault);
    vault.signers().into_iter().map(|signer| Verifier { name: name.clone(), public: signer.public }).collect()
}

/// An earlier state of the log, as the vault or a checkpoint has seen it.
struct Seen {
    witness: String,
    size: u64,
    root: Hash,
}

fn read_if_any(path: &Path) -> std::io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What was seen of the log: by its own last checkpoint, by the vault, and where the copy of the checkpoint is kept.
fn seen(dir: &Path, copy: Option<&Path>, vault: &dyn Vault) -> Result<Vec<Seen>, Error> {
    let trusted = verifiers(vault);
    let mut seen = Vec::new();
    let own = dir.join("checkpoint");
    for path in [Some(own.as_path()), copy].into_iter().flatten() {
        let Some(text) = read_if_any(path)? else { continue };
        let checkpoint =
            Checkpoint::read(&text, &trusted).map_err(|source| Error::Foreign { path: path.into(), source })?;
        let witness = format!("the checkpoint in {}", path.display());
        seen.push(Seen { witness, size: checkpoint.size, root: checkpoint.root });
    }
    let Witnessed { size, root } = vault.witnessed()?.unwrap_or(Witnessed { size: 0, root: super::merkle::empty() });
    seen.push(Seen { witness: "the vault".into(), size, root });
    Ok(seen)
}

impl Keeper {
    /// Opens the tree in `dir`, brings it up to the log, and compares the log with what was seen of it before. `copy`
    /// is where a copy of the checkpoint is kept, best on another machine.
    ///
    /// A tree that lacks much of the log, such as an empty one, is left as it is: [`Keeper::catch_up`] or
    /// [`Keeper::run`] do the rest, and nothing is signed before.
    ///
    /// # Errors
    /// The log is shorter than it was or has another past, or something cannot be read or written.
    pub async fn open(
        dir: &Path,
        copy: Option<PathBuf>,
        log: Arc<dyn EventLog>,
        vault: Arc<dyn Vault>,
    ) -> Result<Self, Error> {
        Self::open_within(dir, copy, log, vault, OPENED_WITHIN).await
    }

    /// The same with another bound: a tree that lacks more events than `bound` is left as it is.
    ///
    /// # Errors
    /// As [`Keeper::open`].
    pub async fn open_within(
        dir: &Path,
        copy: Option<PathBuf>,
        log: Arc<dyn EventLog>,
        vault: Arc<dyn Vault>,
        bound: u64,
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(dir)?;
        remove_unpublished(dir)?;
        let seen = seen(dir, copy.as_deref(), vault.as_ref())?;
        let head = log.head();
        if let Some(Seen { witness, size, .. }) = seen.iter().find(|seen| seen.size > head) {
            return Err(Error::Rewound { witness: witness.clone(), seen: *size, head });
        }
        let keeper = Self {
            tiles: Tiles::open(dir, seen.iter().map(|seen| seen.size).max().unwrap_or(0))?,
            history: Arc::new(Mutex::new(History::open(&dir.join("history"))?)),
            origin: origin(vault.as_ref()),
            dir: dir.into(),
            copy,
            log,
            vault,
            latest: RwLock::default(),
            advancing: tokio::sync::Mutex::default(),
            signing: tokio::sync::Mutex::default(),
            uncompared: tokio::sync::Mutex::default(),
            proven: AtomicBool::new(false),
        };
        keeper.compare(&seen).await?;
        *keeper.uncompared.lock().await = seen;
        if head - keeper.tiles.size().min(head) <= bound {
            keeper.catch_up().await?;
        }
        Ok(keeper)
    }

    /// Brings the tree up to the log and compares the log with what was seen of it before; does nothing where that was
    /// done. It may be dropped and called again.
    ///
    /// # Errors
    /// The log has another past than it had, or something cannot be read or written.
    pub async fn catch_up(&self) -> Result<(), Error> {
        let mut uncompared = self.uncompared.lock().await;
        if self.is_proven() {
            return Ok(());
        }
        self.advance().await?;
        for Seen { witness, size, root } in uncompared.iter() {
            if self.tiles.root(*size)? != *root {
                return Err(Error::Rewritten { witness: witness.clone(), seen: *size });
            }
        }
        uncompared.clear();
        self.proven.store(true, Ordering::Release);
        self.sign().await?;
        Ok(())
    }

    /// Whether the log was compared with what was seen of it before. Until then nothing is signed, proven or erased.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Acquire)
    }

    /// Brings the tree up to the log, trying again where that fails for a while.
    ///
    /// # Errors
    /// The log has another past than it had.
    async fn prove(&self) -> Result<(), Error> {
        loop {
            match self.catch_up().await {
                Ok(()) => return Ok(()),
                Err(error @ (Error::Rewritten { .. } | Error::Rewound { .. })) => return Err(error),
                // That was said, and why.
                Err(_) if self.log.broken().is_some() => {}
                Err(error) => tracing::warn!(%error, "the tree over the log cannot be built; it is tried again"),
            }
            tokio::time::sleep(SIGN_EVERY).await;
        }
    }

    /// Compares the files with what was seen, and their last event with the log.
    async fn compare(&self, seen: &[Seen]) -> Result<(), Error> {
        let size = self.tiles.size();
        for seen in seen.iter().filter(|seen| seen.size <= size) {
            if self.tiles.root(seen.size)? != seen.root {
                tracing::warn!("the files of the tree over the log are damaged; they are made anew");
                return Ok(self.tiles.truncate(0)?);
            }
        }
        // The files hold what was signed. If the log differs, they are the evidence and must not be changed.
        let Some(last) = size.checked_sub(1) else { return Ok(()) };
        let events = self.log.read_all(last, 1).await?;
        let recorded = self.tiles.hashes(0, last, size)?;
        if events.iter().map(leaf::hash).eq(recorded) {
            return Ok(());
        }
        let witness = seen.iter().max_by_key(|seen| seen.size).map_or_else(String::new, |seen| seen.witness.clone());
        Err(Error::Rewritten { witness, seen: size })
    }

    /// Follows the log until `stop`.
    ///
    /// # Errors
    /// The log has another past than it had: nothing may be done with it.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) -> Result<(), Error> {
        if let Some(proven) = stop.run_until_cancelled(self.prove()).await {
            proven?;
        } else {
            return Ok(());
        }
        let mut head = self.log.watch();
        let mut sign = tokio::time::interval(SIGN_EVERY);
        let mut witness = tokio::time::interval(WITNESS_EVERY);
        loop {
            if self.log.broken().is_some() {
                self.close_broken(&stop).await;
                return Ok(());
            }
            let done = tokio::select! {
                changed = head.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    tokio::time::sleep(PAUSE).await;
                    self.advance().await
                }
                _ = sign.tick() => self.sign().await.map(|_| ()),
                _ = witness.tick() => self.witness().await,
                () = stop.cancelled() => break,
            };
            if let Err(error) = done
                && self.log.broken().is_none()
            {
                tracing::warn!(%error, "the tree over the log falls behind; it is tried again");
                tokio::time::sleep(SIGN_EVERY).await;
            }
        }
        if let Err(error) = self.close().await {
            tracing::warn!(%error, "the last events are not in the signed checkpoint");
        }
        Ok(())
    }

    /// Signs and has the vault witness what was seen of a log that is broken, so that no node starts on less. Waits for
    /// `stop` then: there is nothing more to follow.
    async fn close_broken(&self, stop: &CancellationToken) {
        let told = async {
            while let Err(error) = async {
                self.sign().await.map(drop)?;
                self.witness().await
            }
            .await
            {
                tracing::debug!(%error, "the vault is not told yet what was seen of the log");
                tokio::time::sleep(SIGN_EVERY).await;
            }
        };
        let _ = stop.run_until_cancelled(told).await;
        stop.cancelled().await;
    }

    /// Signs and has the vault witness all there is.
    ///
    /// # Errors
    /// The files, the log or the vault are unavailable.
    pub async fn close(&self) -> Result<(), Error> {
        if !self.is_proven() {
            return Err(Error::Behind);
        }
        self.advance().await?;
        self.sign().await?;
        self.witness().await
    }

    /// Adds the events that the tree lacks.
    async fn advance(&self) -> Result<(), Error> {
        let _one = self.advancing.lock().await;
        loop {
            let events = self.log.read_all(self.tiles.size(), BATCH_MAX).await?;
            if events.is_empty() {
                return Ok(());
            }
            crash_point::reach("tree.read");
            let hashes: Vec<Hash> = events.iter().map(leaf::hash).collect();
            self.tiles.append(&hashes)?;
            crash_point::reach("tree.appended");
            if events.len() < BATCH_MAX {
                return Ok(());
            }
        }
    }

    /// Signs what the tree holds, unless that was signed already. One signs at a time, so that a shorter checkpoint never
    /// replaces a longer one.
    async fn sign(&self) -> Result<Arc<Signed>, Error> {
        let _one = self.signing.lock().await;
        let size = self.tiles.size();
        if let Some(latest) = self.latest().filter(|latest| latest.checkpoint.size >= size) {
            return Ok(latest);
        }
        let checkpoint = Checkpoint { origin: self.origin.clone(), size, root: self.tiles.root(size)? };
        crash_point::reach("tree.root");
        let note = self.note(&checkpoint);
        crash_point::reach("tree.signed");
        let signed = Arc::new(Signed { checkpoint, note });
        let (own, copy, note) = (self.dir.join("checkpoint"), self.copy.clone(), signed.clone());
        let written = tasks::spawn_blocking(move || {
            publish(&own, &note.note)?;
            crash_point::reach("tree.published");
            if let Some(copy) = &copy
                && let Err(error) = publish(copy, &note.note)
            {
                tracing::warn!(%error, path = %copy.display(), "the copy of the checkpoint cannot be written");
            }
            Ok::<_, std::io::Error>(())
        });
        written.await.map_err(std::io::Error::other)??;
        *self.latest.write().unwrap_or_else(PoisonError::into_inner) = Some(signed.clone());
        Ok(signed)
    }

    /// A checkpoint as a note, signed by every key that signs today.
    fn note(&self, checkpoint: &Checkpoint) -> String {
        let signatures = self.vault.sign(checkpoint.text().as_bytes());
        let named = |(signer, signature): (privacy::Signer, [u8; 64])| {
            (Verifier { name: self.origin.clone(), public: signer.public }, signature)
        };
        checkpoint.note(&signatures.into_iter().map(named).collect::<Vec<_>>())
    }

    /// Has the vault remember what was signed, durably.
    ///
    /// # Errors
    /// The files or the vault cannot be written.
    pub async fn witness(&self) -> Result<(), Error> {
        let Some(signed) = self.latest() else { return Ok(()) };
        let Checkpoint { size, root, .. } = signed.checkpoint;
        let (vault, history) = (self.vault.clone(), self.history.clone());
        let tell = move || {
            if !history.lock().unwrap_or_else(PoisonError::into_inner).keep(size, &signed.note)? {
                return Ok(());
            }
            crash_point::reach("tree.kept");
            match vault.witnessed()? {
                // Another node has had the vault remember a later state.
                Some(seen) if seen.size > size => Ok(()),
                _ => Ok::<_, Error>(vault.witness(Witnessed { size, root })?),
            }
        };
        tasks::spawn_blocking(tell).await.map_err(std::io::Error::other)??;
        crash_point::reach("tree.witnessed");
        Ok(())
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest signed checkpoint.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<Signed>> {
        self.latest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A signed checkpoint that covers the event at a position.
    ///
    /// # Errors
    /// The log has no such event, or the files cannot be read or written.
    pub async fn covering(&self, position: u64) -> Result<Arc<Signed>, Error> {
        if let Some(latest) = self.latest().filter(|latest| latest.checkpoint.size >= position) {
            return Ok(latest);
        }
        if !self.is_proven() {
            return Err(Error::Behind);
        }
        self.advance().await?;
        let signed = self.sign().await?;
        let size = signed.checkpoint.size;
        if size >= position { Ok(signed) } else { Err(Error::Beyond { position, size }) }
    }

    /// The newest checkpoint that was kept of a log of at most that size, signed anew by the keys of today: whoever knows
    /// these alone can believe it too.
    ///
    /// # Errors
    /// The files cannot be read.
    pub fn kept_at_most(&self, size: u64) -> Result<Option<Signed>, Error> {
        let Some(note) = self.history().at_most(size)? else { return Ok(None) };
        let checkpoint = Checkpoint::read(&note, &verifiers(self.vault.as_ref()))
            .map_err(|source| Error::Foreign { path: self.dir.join("history"), source })?;
        Ok(Some(Signed { note: self.note(&checkpoint), checkpoint }))
    }

    /// The hashes of the tree.
    #[must_use]
    pub fn tiles(&self) -> &Tiles {
        &self.tiles
    }

    /// The keys that may have signed, retired ones included, oldest first.
    #[must_use]
    pub fn verifiers(&self) -> Vec<Verifier> {
        verifiers(self.vault.as_ref())
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }
}
