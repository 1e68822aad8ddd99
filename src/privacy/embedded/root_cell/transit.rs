//! The cell in HashiCorp Vault's transit engine: a root is encrypted by a version of a transit key, and the ciphertext
//! stands in a local file. To destroy a root is to have Vault destroy that version (finality class A): a copy of the file
//! is worth nothing then, and Vault never had the root.
//!
//! Every generation has a version of its own. `put` makes the next one; `keep_only` first forbids the older ones to
//! decrypt, then trims them, and only then forgets their ciphertexts: what is cut short is done again.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use vaultrs::api::transit::requests::{
    CreateKeyRequest, DecryptDataRequest, EncryptDataRequest, UpdateKeyConfigurationRequest,
};
use vaultrs::client::{VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;
use vaultrs::transit::{data, key};
use zeroize::Zeroizing;

use super::{Root, RootCell};
use crate::privacy::{Error, Finality};

const MOUNT: &str = "transit";
/// How long Vault may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Where Vault is and how it is spoken to.
#[derive(Clone)]
pub(in crate::privacy::embedded) struct Server {
    /// Its address, such as `https://vault.example.org:8200`.
    pub(in crate::privacy::embedded) address: String,
    /// A token that may use the key.
    pub(in crate::privacy::embedded) token: String,
    /// The namespace, where there are some.
    pub(in crate::privacy::embedded) namespace: Option<String>,
}

impl Server {
    /// As `VAULT_ADDR`, `VAULT_TOKEN` and `VAULT_NAMESPACE` say.
    pub(in crate::privacy::embedded) fn from_environment() -> Result<Self, Error> {
        let needed = |name: &str| {
            let missing =
                || Error::Unavailable(format!("{name} is not set; a transit cell needs VAULT_ADDR and VAULT_TOKEN"));
            std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(missing)
        };
        let namespace = std::env::var("VAULT_NAMESPACE").ok().filter(|value| !value.is_empty());
        Ok(Self { address: needed("VAULT_ADDR")?, token: needed("VAULT_TOKEN")?, namespace })
    }
}

/// The cell in Vault.
pub(in crate::privacy::embedded) struct TransitCell {
    server: Server,
    key: String,
    path: PathBuf,
}

/// A generation's root, as its version of the key encrypted it.
#[derive(Clone, Serialize, Deserialize)]
struct Held {
    vault: [u8; 16],
    generation: u64,
    version: u64,
    ciphertext: String,
}

impl Held {
    fn is(&self, vault: [u8; 16], generation: u64) -> bool {
        (self.vault, self.generation) == (vault, generation)
    }
}

/// What binds a ciphertext to its vault and generation.
fn associated(vault: [u8; 16], generation: u64) -> String {
    BASE64_STANDARD.encode([vault.as_slice(), &generation.to_be_bytes()].concat())
}

fn unavailable(error: &ClientError) -> Error {
    // The error's own text names no token and no key material.
    let more = match error {
        ClientError::APIError { errors, .. } => errors.join("; "),
        ClientError::RestClientError { source } => source.to_string(),
        _ => String::new(),
    };
    Error::Unavailable(format!("Vault does not do what the root cell asks: {error} {more}"))
}

/// Whether Vault answered, and said no.
fn refused(error: &ClientError) -> bool {
    matches!(error, ClientError::APIError { code: 400, .. })
}

impl TransitCell {
    pub(in crate::privacy::embedded) fn new(server: Server, key: &str, path: &Path) -> Self {
        Self { server, key: key.into(), path: path.into() }
    }

    /// Talks to Vault on a thread of its own: a cell is asked from within runtimes and from without.
    fn ask<T: Send>(&self, talk: impl AsyncFnOnce(&VaultClient) -> Result<T, Error> + Send) -> Result<T, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Unavailable(format!("Vault cannot be asked: {error}"));
        let run = || {
            let mut settings = VaultClientSettingsBuilder::default();
            settings.address(&self.server.address).token(&self.server.token).timeout(Some(ANSWER_WAIT));
            settings.namespace(self.server.namespace.clone());
            let settings = settings.build().map_err(|error| failed(&error))?;
            let client = VaultClient::new(settings).map_err(|error| unavailable(&error))?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| failed(&error))?.block_on(talk(&client))
        };
        std::thread::scope(|scope| scope.spawn(run).join().unwrap_or_else(|_| Err(failed(&"its thread ended"))))
    }

    fn failed(&self, error: &dyn std::fmt::Display) -> Error {
        Error::Unavailable(format!("{} cannot be read or written: {error}", self.path.display()))
    }

    fn held(&self) -> Result<Vec<Held>, Error> {
        match std::fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| self.failed(&error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Replaces the file durably. What it held may be found on the disk: it is dead with its version of the key.
    fn hold(&self, held: &[Held]) -> Result<(), Error> {
        let beside = self.path.with_extension("new");
        let write = || {
            let mut file = File::create(&beside)?;
            file.write_all(&serde_json::to_vec(held)?)?;
            file.sync_all()?;
            std::fs::rename(&beside, &self.path)?;
            match self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                Some(parent) => File::open(parent)?.sync_all(),
                None => File::open(".")?.sync_all(),
            }
        };
        write().map_err(|error: std::io::Error| self.failed(&error))
    }

    /// Makes a new version of the key, which exists from then on.
    async fn next_version(&self, client: &VaultClient) -> Result<(), Error> {
        match key::rotate(client, MOUNT, &self.key).await {
            // A key that does not exist cannot be rotated; creating one that does changes nothing.
            Err(ClientError::APIError { .. }) => {
                key::create(client, MOUNT, &self.key, Some(&mut CreateKeyRequest::builder()))
                    .await
                    .map_err(|e| unavailable(&e))
            }
            rotated => rotated.map_err(|error| unavailable(&error)),
        }
    }

    /// Has Vault destroy every version below this one.
    async fn destroy_below(&self, client: &VaultClient, version: u64) -> Result<(), Error> {
        let mut least = UpdateKeyConfigurationRequest::builder();
        least.min_decryption_version(version).min_encryption_version(version);
        key::update(client, MOUNT, &self.key, Some(&mut least)).await.map_err(|error| unavailable(&error))?;
        key::trim(client, MOUNT, &self.key, version).await.map_err(|error| unavailable(&error))
    }

    async fn encrypt(&self, client: &VaultClient, associated: String, root: &Root) -> Result<(u64, String), Error> {
        let plaintext = Zeroizing::new(BASE64_STANDARD.encode(root.as_slice()));
        let mut with = EncryptDataRequest::builder();
        with.associated_data(associated);
        let encrypted = data::encrypt(client, MOUNT, &self.key, &plaintext, Some(&mut with)).await;
        let ciphertext = encrypted.map_err(|error| unavailable(&error))?.ciphertext;
        let version = ciphertext.strip_prefix("vault:v").and_then(|rest| rest.split(':').next()?.parse().ok());
        let odd = || Error::Unavailable("Vault answers with a ciphertext that names no version of the key".into());
        Ok((version.ok_or_else(odd)?, ciphertext))
    }
}

impl RootCell for TransitCell {
    fn root(&self, vault: [u8; 16], generation: u64) -> Result<Option<Root>, Error> {
        let Some(held) = self.held()?.into_iter().find(|held| held.is(vault, generation)) else { return Ok(None) };
        let opened = self.ask(async |client| {
            let mut with = DecryptDataRequest::builder();
            with.associated_data(associated(vault, generation));
            match data::decrypt(client, MOUNT, &self.key, &held.ciphertext, Some(&mut with)).await {
                Ok(opened) => Ok(Some(Zeroizing::new(opened.plaintext))),
                // Its version is gone, or it is not of this key.
                Err(error) if refused(&error) => Ok(None),
                Err(error) => Err(unavailable(&error)),
            }
        })?;
        let Some(opened) = opened else { return Ok(None) };
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(opened.as_bytes()).unwrap_or_default());
        Ok(bytes.as_slice().try_into().ok().map(Root::new))
    }

    fn put(&self, vault: [u8; 16], generation: u64, root: &Root) -> Result<(), Error> {
        let mut held = self.held()?;
        held.retain(|held| !held.is(vault, generation));
        let (version, ciphertext) = self.ask(async |client| {
            self.next_version(client).await?;
            self.encrypt(client, associated(vault, generation), root).await
        })?;
        held.push(Held { vault, generation, version, ciphertext });
        self.hold(&held)
    }

    fn keep_only(&self, vault: [u8; 16], generation: u64) -> Result<(), Error> {
        let held = self.held()?;
        let (kept, others): (Vec<_>, Vec<_>) = held.into_iter().partition(|held| held.is(vault, generation));
        if others.is_empty() {
            // The file is written last: whatever was to be destroyed is.
            return Ok(());
        }
        self.ask(async |client| match kept.first() {
            Some(kept) => self.destroy_below(client, kept.version).await,
            None => {
                self.next_version(client).await?;
                let newest = others.iter().map(|held| held.version).max().unwrap_or(0) + 1;
                self.destroy_below(client, newest).await
            }
        })?;
        self.hold(&kept)
    }

    fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.held()?.is_empty())
    }

    fn class(&self) -> Finality {
        Finality::Immediate
    }

    fn describe(&self) -> String {
        format!("HashiCorp Vault, transit key {}, a version per generation", self.key)
    }
}
