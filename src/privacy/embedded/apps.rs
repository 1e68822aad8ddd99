//! The keys and secrets of the apps, wrapped under the apps' key of the tree.

use aws_lc_rs::hmac;
use rollcall_schemas::ids::{AppId, SecretId};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use zeroize::Zeroizing;

use super::wrapping::{self, Key, random};
use crate::privacy::{Error, Secret};

const KEYS: &str = "select wrapped from app_key where app = ?1";
const INSERT_KEYS: &str = "insert into app_key (app, wrapped) values (?1, ?2)";
const SECRETS: &str = "select id, wrapped from app_secret where app = ?1 order by id";
const INSERT_SECRET: &str = "insert into app_secret (app, id, wrapped) values (?1, ?2, ?3)";
const DROP_SECRET: &str = "delete from app_secret where app = ?1 and id = ?2";
const ALL_KEYS: &str = "select app, wrapped from app_key";
const ALL_SECRETS: &str = "select app, id, wrapped from app_secret";
const REPLACE_KEYS: &str = "update app_key set wrapped = ?2 where app = ?1";
const REPLACE_SECRET: &str = "update app_secret set wrapped = ?3 where app = ?1 and id = ?2";

/// What is kept in memory of one app.
pub(super) struct AppKeys {
    /// Makes directory tags.
    pub(super) directory: hmac::Key,
    /// Makes idempotency keys and fingerprints.
    pub(super) fingerprint: hmac::Key,
    /// The secrets, oldest first, each with the key of the tokens that depend on it.
    pub(super) secrets: Vec<(SecretId, Secret, hmac::Key)>,
}

fn associated(kind: &str, app: &str, id: u32) -> Vec<u8> {
    [kind.as_bytes(), &[0], app.as_bytes(), &[0], &id.to_be_bytes()].concat()
}

fn open(apps: &Key, kind: &str, app: &str, id: u32, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    wrapping::open(apps, &associated(kind, app, id), wrapped)?
        .ok_or_else(|| Error::Damaged(format!("a {kind} of app {app} does not open")))
}

/// Reads the keys of an app, making them if they do not exist.
pub(super) fn load(connection: &Connection, apps: &Key, app: &AppId) -> Result<AppKeys, Error> {
    let name = app.as_str();
    let wrapped: Option<Vec<u8>> = connection.prepare_cached(KEYS)?.query_row([name], |row| row.get(0)).optional()?;
    let keys = match wrapped {
        Some(wrapped) => open(apps, "key", name, 0, &wrapped)?,
        None => {
            let fresh = Zeroizing::new(random::<64>()?.to_vec());
            let wrapped = wrapping::seal(apps, &associated("key", name, 0), fresh.clone())?;
            connection.execute(INSERT_KEYS, params![name, wrapped])?;
            fresh
        }
    };
    let (directory, fingerprint) =
        keys.split_at_checked(32).ok_or_else(|| Error::Damaged(format!("the key of app {name} is cut short")))?;
    let mut secrets = Vec::new();
    let mut statement = connection.prepare_cached(SECRETS)?;
    let mut rows = statement.query([name])?;
    while let Some(row) = rows.next()? {
        let id: u32 = row.get(0)?;
        let opened = open(apps, "secret", name, id, &row.get::<_, Vec<u8>>(1)?)?;
        let damaged = || Error::Damaged(format!("secret {id} of app {name} is not readable"));
        let (token_key, secret) = opened.split_at_checked(32).ok_or_else(damaged)?;
        let secret = std::str::from_utf8(secret).map_err(|_| damaged())?;
        let token_key = hmac::Key::new(hmac::HMAC_SHA256, token_key);
        secrets.push((SecretId(id), Zeroizing::new(secret.to_owned()), token_key));
    }
    let key = |bytes| hmac::Key::new(hmac::HMAC_SHA256, bytes);
    Ok(AppKeys { directory: key(directory), fingerprint: key(fingerprint), secrets })
}

/// Stores a secret, with a fresh key for the tokens that will depend on it.
pub(super) fn put_secret(
    connection: &Connection,
    apps: &Key,
    app: &AppId,
    id: SecretId,
    secret: &str,
) -> Result<(), Error> {
    let mut held = Zeroizing::new(random::<32>()?.to_vec());
    held.extend_from_slice(secret.as_bytes());
    let wrapped = wrapping::seal(apps, &associated("secret", app.as_str(), id.0), held)?;
    connection.execute(INSERT_SECRET, params![app.as_str(), id.0, wrapped])?;
    Ok(())
}

/// Deletes a secret; it is gone for good once the apps' key is replaced, in the same transaction.
pub(super) fn drop_secret(transaction: &Transaction<'_>, app: &AppId, id: SecretId) -> Result<(), Error> {
    transaction.execute(DROP_SECRET, params![app.as_str(), id.0])?;
    Ok(())
}

/// Wraps everything of the apps under another key.
pub(super) fn rewrap(transaction: &Transaction<'_>, old: &Key, new: &Key) -> Result<(), Error> {
    let keys: Vec<(String, Vec<u8>)> = transaction
        .prepare_cached(ALL_KEYS)?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (app, wrapped) in keys {
        let opened = open(old, "key", &app, 0, &wrapped)?;
        let wrapped = wrapping::seal(new, &associated("key", &app, 0), opened)?;
        transaction.execute(REPLACE_KEYS, params![app, wrapped])?;
    }
    let secrets: Vec<(String, u32, Vec<u8>)> = transaction
        .prepare_cached(ALL_SECRETS)?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (app, id, wrapped) in secrets {
        let opened = open(old, "secret", &app, id, &wrapped)?;
        let wrapped = wrapping::seal(new, &associated("secret", &app, id), opened)?;
        transaction.execute(REPLACE_SECRET, params![app, id, wrapped])?;
    }
    Ok(())
}
