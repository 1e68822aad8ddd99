//! Keys, sealing and their destruction.
//!
//! Personal data is sealed before it is recorded; destroying a key erases it from every event, read model and
//! backup at once. Keys form a tree: a root in its cell, 1,024 shard keys wrapped under it, and under its shard the key of
//! each page of 256 subjects, from which theirs are derived, or, from the first erasure of one of them on, per subject and epoch
//! one key per class. To erase is to rotate the path: new shard key, survivors rewrapped, new root, old root overwritten.
//! Events have history, keys have none.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, ErasureId, OperationId, SecretId, SubjectRef};
use rollcall_schemas::personal::{Class, DestroyedKey, Header, Sealed};
use rollcall_schemas::plain;
use zeroize::Zeroizing;

pub mod key_tree;

/// Finds a userId's subject: a keyed hash that stands in mutable tables only.
pub type Tag = [u8; 16];

/// Why the vault did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key was destroyed, or never existed: the value is erased for good.
    #[error("the key is destroyed")]
    Erased,
    /// The value was moved, swapped or changed, or belongs to another key.
    #[error("a sealed value does not open: {0}")]
    Tampered(&'static str),
    /// The vault cannot be read or written at the moment.
    #[error("the vault is unavailable: {0}")]
    Unavailable(String),
    /// The vault's files do not belong together or are damaged.
    #[error("the vault is damaged: {0}")]
    Damaged(String),
    /// The root cell lies where nothing is overwritten.
    #[error(
        "the root cell {path} is on an unsuitable file system: {why}; move it to ext4 or xfs (--root-cell local:PATH), \
         or accept that with --allow-unsuitable-mount"
    )]
    Unsuitable {
        /// Its file.
        path: std::path::PathBuf,
        /// What the file system does.
        why: String,
    },
}

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotated {
    /// Generation of the root before.
    pub generation_before: u64,
    /// Generation of the root after.
    pub generation_after: u64,
}

/// Keys that an erasure destroys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysToDestroy {
    /// The erasure.
    pub erasure: ErasureId,
    /// Of which app.
    pub app: AppId,
    /// Whose keys.
    pub subject: SubjectRef,
    /// Of which classes, over all epochs.
    pub classes: Vec<Class>,
    /// What the app was told.
    pub operation: OperationId,
}

/// An erasure's destruction, as the vault keeps it beside the keys: a log that was put back to an earlier state does not
/// know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destruction {
    /// What was destroyed.
    pub keys_to_destroy: KeysToDestroy,
    /// The keys; none when they were gone already.
    pub keys: Vec<DestroyedKey>,
    /// Generation of the root before.
    pub generation_before: u64,
    /// Generation of the root after; equal to `before` when there was nothing left to destroy.
    pub generation_after: u64,
}

/// A key that signs checkpoints and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signer {
    /// Its number, from 1.
    pub id: u32,
    /// The Ed25519 public key.
    pub public: [u8; 32],
    /// Whether it signs no more.
    pub retired: bool,
}

/// The size and root of the log's tree at a moment, as the vault remembers it: a log that is shorter, or has another
/// root at that size, was put back or changed behind the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witnessed {
    /// How many events.
    pub size: u64,
    /// Root of the tree over them.
    pub root: [u8; 32],
}

/// How final it is when a root cell destroys a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finality {
    /// Class A: gone when the cell answers, copies of the cell included.
    Immediate,
    /// Class B: gone after a waiting period in which whoever owns the cell could still call it back.
    Delayed {
        /// How long the period is.
        seconds: u64,
    },
    /// Class C: overwritten in place in a local file; as final as the disk's own forgetting.
    LocalFile,
}

impl Finality {
    /// The class that a report states.
    #[must_use]
    pub fn class(self) -> plain::Finality {
        match self {
            Self::Immediate => plain::Finality::Immediate,
            Self::Delayed { .. } => plain::Finality::Delayed,
            Self::LocalFile => plain::Finality::LocalFile,
        }
    }
}

/// An app's secret in the clear.
pub type Secret = Zeroizing<String>;

/// Holds every key. All methods may be called from any thread.
///
/// The asynchronous ones never block it. The others block for a few microseconds while what they need is in memory, and
/// otherwise for a read of the vault's tables, which may be across a network; those that write say so. So a thread that
/// runs asynchronous work calls [`Vault::ready`] and [`Vault::load`] before it uses keys, and what writes it calls on
/// another thread.
#[async_trait]
pub trait Vault: Send + Sync {
    /// A new subject with fresh keys of every class, durable before it is returned (from a page provisioned ahead,
    /// so that a registration pays no write of its own). What an earlier run allocated is never allocated again.
    ///
    /// # Errors
    /// New keys cannot be made, or not in time.
    async fn allocate(&self) -> Result<SubjectRef, Error>;

    /// Waits until keys in memory may be used, and has those of an app there; they are made where it has none.
    ///
    /// # Errors
    /// The vault cannot be read, or what other nodes destroyed cannot be seen.
    async fn ready(&self, app: &AppId) -> Result<(), Error>;

    /// Waits until keys in memory may be used, and has those of these subjects there; at most as many as an answer has
    /// people.
    ///
    /// # Errors
    /// As [`Vault::ready`].
    async fn load(&self, subjects: &[SubjectRef]) -> Result<(), Error>;

    /// The newest epoch of a subject's keys; `None` when the subject has none.
    ///
    /// # Errors
    /// The vault cannot be read.
    fn epoch(&self, subject: SubjectRef) -> Result<Option<u32>, Error>;

    /// Has the keys of these subjects at hand, before each of them is used: where keys are elsewhere, reading them one by
    /// one costs a round trip each. At most as many as a batch of the log has events; more push each other out again.
    ///
    /// # Errors
    /// The vault cannot be read.
    fn fetch(&self, subjects: &[SubjectRef]) -> Result<(), Error>;

    /// Mints keys of every class for a subject's next epoch, durably; harmless when they exist already. It writes.
    ///
    /// # Errors
    /// The vault cannot be written.
    fn renew(&self, subject: SubjectRef, epoch: u32) -> Result<(), Error>;

    /// Seals a value (JSON) under the key its header names; the header's bytes are bound to it.
    ///
    /// # Errors
    /// The key is destroyed or the vault cannot be read.
    fn seal(&self, header: &Header, plaintext: &[u8]) -> Result<Sealed, Error>;

    /// Opens a value of an event.
    ///
    /// # Errors
    /// [`Error::Erased`] when the key or the ciphertext is gone; [`Error::Tampered`] when it does not belong there.
    fn open(&self, header: &Header, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, Error>;

    /// Opens a value as a read model stores it, if it is about `subject` and of this app.
    ///
    /// # Errors
    /// As [`Vault::open`].
    fn open_stored(&self, app: &AppId, subject: SubjectRef, stored: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error>;

    /// Destroys keys over all epochs, of several erasures together; answers what each destroyed, in order. It writes, for
    /// long where there are many keys. When it returns, they are gone for good. Harmless when repeated: an erasure is answered what it was
    /// answered the first time.
    ///
    /// # Errors
    /// The vault cannot be written; a destruction that was begun is finished or undone at the next start.
    fn destroy(&self, keys_to_destroy: &[KeysToDestroy]) -> Result<Vec<Destruction>, Error>;

    /// The destructions with a number above `after`, in order, each with its number, at most `limit`. Numbers begin at 1
    /// and may leave some out.
    ///
    /// # Errors
    /// The vault cannot be read.
    fn destructions(&self, after: u64, limit: u32) -> Result<Vec<(u64, Destruction)>, Error>;

    /// Gives the root and every shard a new key and destroys the old ones; no data changes. It writes, for long where
    /// there are many keys: part by part, between which others write.
    ///
    /// # Errors
    /// The vault cannot be written.
    fn rotate(&self) -> Result<Rotated, Error>;

    /// When [`Vault::rotate`] was done last, or the vault was made; an erasure renews only part of the tree and does not
    /// count.
    ///
    /// # Errors
    /// The vault cannot be read.
    fn last_rotation(&self) -> Result<DateTime<Utc>, Error>;

    /// Identifies the vault, and with it the log whose keys it holds.
    fn id(&self) -> [u8; 16];

    /// Whether other nodes use it as well: then there are other nodes on everything else too.
    fn is_shared(&self) -> bool;

    /// Generation of the root: it grows with every destruction and every rotation.
    fn generation(&self) -> u64;

    /// How final a destruction is.
    fn finality(&self) -> Finality;

    /// What the root lives in, in a few words for a report.
    fn cell(&self) -> String;

    /// The keys that sign, oldest first, retired ones included. There is always one that is not retired.
    fn signers(&self) -> Vec<Signer>;

    /// Signs a message (Ed25519) with every key that is not retired, oldest first.
    fn sign(&self, message: &[u8]) -> Vec<(Signer, [u8; 64])>;

    /// Makes another key that signs beside the others.
    ///
    /// # Errors
    /// The vault cannot be written.
    fn add_signer(&self) -> Result<Signer, Error>;

    /// Ends a signing key: its private half is destroyed, its public half stays known. The last one cannot be ended;
    /// answers whether it is.
    ///
    /// # Errors
    /// The vault cannot be written.
    fn retire_signer(&self, id: u32) -> Result<bool, Error>;

    /// Remembers a state of the log in place of an earlier one.
    ///
    /// # Errors
    /// The vault cannot be written.
    fn witness(&self, seen: Witnessed) -> Result<(), Error>;

    /// The state of the log that was remembered last.
    ///
    /// # Errors
    /// The vault cannot be read.
    fn witnessed(&self) -> Result<Option<Witnessed>, Error>;

    /// The directory tag of a userId.
    ///
    /// # Errors
    /// The vault cannot be read.
    fn tag(&self, app: &AppId, user_id: &str) -> Result<Tag, Error>;

    /// A keyed hash under a key of the app, for idempotency keys and fingerprints.
    ///
    /// # Errors
    /// The vault cannot be read.
    fn fingerprint(&self, app: &AppId, content: &[&[u8]]) -> Result<[u8; 32], Error>;

    /// Seals an app's secret under a new number and makes it durable.
    ///
    /// # Errors
    /// The number is taken or the vault cannot be written.
    fn put_secret(&self, app: &AppId, id: SecretId, secret: &str) -> Result<(), Error>;

    /// Destroys an app's secret; harmless when it is gone already.
    ///
    /// # Errors
    /// The vault cannot be written.
    fn drop_secret(&self, app: &AppId, id: SecretId) -> Result<(), Error>;

    /// The app's secrets in the clear, oldest first.
    ///
    /// # Errors
    /// The vault cannot be read.
    fn secrets(&self, app: &AppId) -> Result<Vec<(SecretId, Secret)>, Error>;

    /// Authenticates an access token under a key that ends with the app's secret.
    ///
    /// # Errors
    /// The secret is gone or the vault cannot be read.
    fn token_mac(&self, app: &AppId, secret: SecretId, token: &[u8]) -> Result<[u8; 32], Error>;
}
