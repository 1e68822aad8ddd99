//! The cell in HashiCorp Vault's transit engine: a root is encrypted by a version of a transit key, and the ciphertext
//! is kept with what the root wraps. To destroy a root is to have Vault destroy that version (finality class A): a copy
//! of the ciphertext is worth nothing then, and Vault never had the root.
//!
//! Every generation has a version of its own. `put` makes the next one; `keep_only` first forbids the older ones to
//! decrypt, then trims them: what is cut short is done again. A version that was made and never needed is trimmed with
//! the next destruction.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use vaultrs::api::transit::requests::{
    CreateKeyRequest, DecryptDataRequest, EncryptDataRequest, UpdateKeyConfigurationRequest,
};
use vaultrs::api::transit::responses::ReadKeyData;
use vaultrs::client::{VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;
use vaultrs::token;
use vaultrs::transit::{data, key};
use zeroize::Zeroizing;

use super::{Root, RootCell};
use crate::privacy::{Error, Finality};

const MOUNT: &str = "transit";
/// How long Vault may take for what a cell is asked, which is up to four requests.
const ASK_WAIT: Duration = Duration::from_secs(10);

/// Where Vault is and how it is spoken to.
#[derive(Clone)]
pub(in crate::privacy::key_tree) struct Server {
    /// Its address, such as `https://vault.example.org:8200`.
    pub(in crate::privacy::key_tree) address: String,
    /// A token that may use the key.
    pub(in crate::privacy::key_tree) token: String,
    /// The namespace, where there are some.
    pub(in crate::privacy::key_tree) namespace: Option<String>,
}

impl Server {
    /// As `VAULT_ADDR`, `VAULT_TOKEN` (or the file that `VAULT_TOKEN_FILE` names) and `VAULT_NAMESPACE` say. A connection
    /// on which somebody could read the root is refused unless it is allowed.
    pub(in crate::privacy::key_tree) fn from_environment(allow_insecure: bool) -> Result<Self, Error> {
        let needed = |name: &str| {
            let missing =
                || Error::Unavailable(format!("{name} is not set; a transit cell needs VAULT_ADDR and VAULT_TOKEN"));
            std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(missing)
        };
        let namespace = std::env::var("VAULT_NAMESPACE").ok().filter(|value| !value.is_empty());
        if let Some(weakness) = weakness_of_environment().filter(|_| !allow_insecure) {
            return Err(Error::Unavailable(format!(
                "{weakness}; use https with a certificate that this machine trusts (VAULT_CACERT), or accept that with \
                 --vault-insecure"
            )));
        }
        let token = match std::env::var_os("VAULT_TOKEN_FILE").filter(|path| !path.is_empty()) {
            Some(path) => token_in(Path::new(&path))?,
            None => needed("VAULT_TOKEN")?,
        };
        Ok(Self { address: needed("VAULT_ADDR")?, token, namespace })
    }
}

/// The token that a file holds and nothing else.
fn token_in(path: &Path) -> Result<String, Error> {
    let failed = |why: &dyn std::fmt::Display| {
        Error::Unavailable(format!("the token cannot be read from VAULT_TOKEN_FILE {}: {why}", path.display()))
    };
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|error| failed(&error))?);
    match text.trim() {
        "" => Err(failed(&"it is empty")),
        token => Ok(token.to_owned()),
    }
}

/// What somebody on the way to Vault could read or change, as the environment is; `None`: nothing.
pub(super) fn weakness_of_environment() -> Option<String> {
    let said = |name: &str| std::env::var(name).unwrap_or_default();
    weakness(&said("VAULT_ADDR"), &said("VAULT_SKIP_VERIFY"))
}

fn weakness(address: &str, skip_verify: &str) -> Option<String> {
    let address = address.trim().to_ascii_lowercase();
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", &address));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let is_here = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    if address.is_empty() || is_here {
        return None;
    }
    if scheme != "https" {
        return Some(format!(
            "VAULT_ADDR names {host} without TLS: whoever listens on the way reads the root of all keys"
        ));
    }
    // Whatever does not plainly say no: the client may take it for a yes.
    let verifies = ["", "0", "f", "false"].contains(&skip_verify.trim().to_ascii_lowercase().as_str());
    (!verifies).then(|| {
        format!("VAULT_SKIP_VERIFY is set, so that anybody on the way may pass for Vault at {host} and read the root")
    })
}

/// The cell in Vault.
pub(in crate::privacy::key_tree) struct TransitCell {
    server: Server,
    key: String,
    ask_wait: Duration,
}

/// The version of the key that made a ciphertext, which names it: `vault:v7:…`.
fn version_of(ciphertext: &[u8]) -> Option<u64> {
    std::str::from_utf8(ciphertext).ok()?.strip_prefix("vault:v")?.split(':').next()?.parse().ok()
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
    pub(in crate::privacy::key_tree) fn new(server: Server, key: &str) -> Self {
        Self { server, key: key.into(), ask_wait: ASK_WAIT }
    }

    /// With another limit on what it is asked.
    #[cfg(test)]
    pub(in crate::privacy::key_tree) fn waiting(self, ask_wait: Duration) -> Self {
        Self { ask_wait, ..self }
    }

    /// Talks to Vault on a thread of its own, because a cell is asked from within runtimes and from without. Ends within
    /// `ask_wait`, also where Vault accepts the connection and says nothing.
    fn ask<T: Send>(&self, talk: impl AsyncFnOnce(&VaultClient) -> Result<T, Error> + Send) -> Result<T, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Unavailable(format!("Vault cannot be asked: {error}"));
        let run = || {
            let mut settings = VaultClientSettingsBuilder::default();
            settings.address(&self.server.address).token(&self.server.token);
            settings.namespace(self.server.namespace.clone());
            let settings = settings.build().map_err(|error| failed(&error))?;
            let client = VaultClient::new(settings).map_err(|error| unavailable(&error))?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| failed(&error))?;
            let answered = runtime.block_on(async { tokio::time::timeout(self.ask_wait, talk(&client)).await });
            // A name that is being resolved is not waited for.
            runtime.shutdown_background();
            answered.unwrap_or_else(|_| Err(failed(&format_args!("it did not answer within {:?}", self.ask_wait))))
        };
        std::thread::scope(|scope| scope.spawn(run).join().unwrap_or_else(|_| Err(failed(&"its thread ended"))))
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

    async fn encrypt(&self, client: &VaultClient, associated: String, root: &Root) -> Result<String, Error> {
        let plaintext = Zeroizing::new(BASE64_STANDARD.encode(root.as_slice()));
        let mut with = EncryptDataRequest::builder();
        with.associated_data(associated);
        let encrypted = data::encrypt(client, MOUNT, &self.key, &plaintext, Some(&mut with)).await;
        let ciphertext = encrypted.map_err(|error| unavailable(&error))?.ciphertext;
        let odd = || Error::Unavailable("Vault answers with a ciphertext that names no version of the key".into());
        version_of(ciphertext.as_bytes()).map(|_| ciphertext).ok_or_else(odd)
    }
}

impl RootCell for TransitCell {
    fn reach(&self) -> Result<(), Error> {
        // A token that expires is renewed with each rotation. That Vault refuses to, because this one never expires, is an
        // answer too.
        self.ask(async |client| match token::renew_self(client, None).await {
            Ok(_) | Err(ClientError::APIError { .. }) => Ok(()),
            Err(error) => Err(unavailable(&error)),
        })
    }

    fn root(&self, vault: [u8; 16], generation: u64, kept: &[u8]) -> Result<Option<Root>, Error> {
        let Ok(ciphertext) = std::str::from_utf8(kept) else { return Ok(None) };
        if version_of(kept).is_none() {
            return Ok(None);
        }
        let opened = self.ask(async |client| {
            let mut with = DecryptDataRequest::builder();
            with.associated_data(associated(vault, generation));
            match data::decrypt(client, MOUNT, &self.key, ciphertext, Some(&mut with)).await {
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

    fn put(&self, vault: [u8; 16], generation: u64, root: &Root) -> Result<Vec<u8>, Error> {
        let ciphertext = self.ask(async |client| {
            self.next_version(client).await?;
            self.encrypt(client, associated(vault, generation), root).await
        })?;
        Ok(ciphertext.into_bytes())
    }

    fn keep_only(&self, _: [u8; 16], _: u64, kept: &[u8]) -> Result<(), Error> {
        match version_of(kept) {
            Some(version) => self.ask(async |client| self.destroy_below(client, version).await),
            None => Err(Error::Damaged("it does not say under which version of the transit key its root is".into())),
        }
    }

    fn wipe(&self) -> Result<(), Error> {
        self.ask(async |client| {
            // A version that nobody has used takes the place of all that were.
            self.next_version(client).await?;
            let key = key::read(client, MOUNT, &self.key).await.map_err(|error| unavailable(&error))?;
            let newest = match &key.keys {
                ReadKeyData::Symmetric(versions) => versions.keys().filter_map(|version| version.parse().ok()).max(),
                ReadKeyData::Asymmetric(_) => None,
            };
            let odd = || Error::Unavailable("Vault does not say which versions the key has".into());
            self.destroy_below(client, newest.ok_or_else(odd)?).await
        })
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn is_empty(&self) -> Result<bool, Error> {
        // A version of the key may have encrypted the root of another vault, which the next destruction would destroy.
        self.ask(async |client| match key::read(client, MOUNT, &self.key).await {
            Ok(_) => Ok(false),
            Err(ClientError::APIError { code: 404, .. }) => Ok(true),
            Err(error) => Err(unavailable(&error)),
        })
    }

    fn class(&self) -> Finality {
        Finality::Immediate
    }

    fn describe(&self) -> String {
        format!("HashiCorp Vault, transit key {}, a version per generation", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::weakness;

    #[test]
    fn a_vault_elsewhere_must_be_reached_over_tls_that_is_verified() {
        for (address, skip) in [
            ("http://vault.example.org:8200", ""),
            ("HTTP://10.0.0.7:8200/", ""),
            ("http://localhost.example.org", ""),
            ("http://localhost@example.org", ""),
            ("http://[2001:db8::1]:8200", ""),
            ("vault.example.org:8200", ""),
            ("https://vault.example.org", "1"),
            ("https://vault.example.org", "true"),
            ("https://vault.example.org", "yes"),
        ] {
            assert!(weakness(address, skip).is_some(), "{address} {skip}");
        }
        for (address, skip) in [
            ("https://vault.example.org:8200", ""),
            ("https://vault.example.org", "0"),
            ("https://vault.example.org", "FALSE"),
            ("http://127.0.0.1:8200", ""),
            ("http://localhost:8200/x", "true"),
            ("http://[::1]:8200", ""),
            ("", ""),
        ] {
            assert_eq!(weakness(address, skip), None, "{address} {skip}");
        }
    }
}
