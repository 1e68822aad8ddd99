//! The keys and secrets of the apps, wrapped under the apps' key of the tree.

use aws_lc_rs::hmac;
use rollcall_schemas::ids::{AppId, SecretId};
use zeroize::Zeroizing;

use super::db::{Db, Row};
use super::wrapping::{self, Key, random};
use crate::privacy::{Error, Secret};

const KEYS: &str = "select wrapped from app_key where app = $1";
const INSERT_KEYS: &str = "insert into app_key (app, wrapped) values ($1, $2) on conflict (app) do nothing";
const SECRETS: &str = "select id, wrapped from app_secret where app = $1 order by id";
const INSERT_SECRET: &str = "insert into app_secret (app, id, wrapped) values ($1, $2, $3)";
const DROP_SECRET: &str = "delete from app_secret where app = $1 and id = $2";
const ALL_KEYS: &str = "select app, wrapped from app_key";
const ALL_SECRETS: &str = "select app, id, wrapped from app_secret";
const REPLACE_KEYS: &str = "update app_key set wrapped = $1 where app = $2";
const REPLACE_SECRET: &str = "update app_secret set wrapped = $1 where app = $2 and id = $3";

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

/// Reads the keys of an app; `None`: it has none yet.
pub(super) fn load(db: &mut dyn Db, apps: &Key, app: &AppId) -> Result<Option<AppKeys>, Error> {
    let name = app.as_str();
    let Some(row) = db.row(KEYS, &[name.into()])? else { return Ok(None) };
    let keys = open(apps, "key", name, 0, row.bytes(0)?)?;
    let (directory, fingerprint) =
        keys.split_at_checked(32).ok_or_else(|| Error::Damaged(format!("the key of app {name} is cut short")))?;
    let key = |bytes: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
    let secret = |row: &Row| {
        let id: u32 = row.number(0)?;
        let opened = open(apps, "secret", name, id, row.bytes(1)?)?;
        let damaged = || Error::Damaged(format!("secret {id} of app {name} is not readable"));
        let (token_key, secret) = opened.split_at_checked(32).ok_or_else(damaged)?;
        let secret = std::str::from_utf8(secret).map_err(|_| damaged())?;
        Ok((SecretId(id), Zeroizing::new(secret.to_owned()), key(token_key)))
    };
    let secrets = db.query(SECRETS, &[name.into()])?.iter().map(secret).collect::<Result<_, Error>>()?;
    Ok(Some(AppKeys { directory: key(directory), fingerprint: key(fingerprint), secrets }))
}

/// Makes the keys of an app, unless it has some.
pub(super) fn make(db: &mut dyn Db, apps: &Key, app: &AppId) -> Result<(), Error> {
    let fresh = Zeroizing::new(random::<64>()?.to_vec());
    let wrapped = wrapping::seal(apps, &associated("key", app.as_str(), 0), fresh)?;
    db.execute(INSERT_KEYS, &[app.as_str().into(), wrapped.into()])
}

/// Stores a secret, with a fresh key for the tokens that will depend on it.
pub(super) fn put_secret(db: &mut dyn Db, apps: &Key, app: &AppId, id: SecretId, secret: &str) -> Result<(), Error> {
    let mut held = Zeroizing::new(random::<32>()?.to_vec());
    held.extend_from_slice(secret.as_bytes());
    let wrapped = wrapping::seal(apps, &associated("secret", app.as_str(), id.0), held)?;
    db.execute(INSERT_SECRET, &[app.as_str().into(), id.0.into(), wrapped.into()])
}

/// Deletes a secret; it is gone for good once the apps' key is replaced, in the same transaction.
pub(super) fn drop_secret(db: &mut dyn Db, app: &AppId, id: SecretId) -> Result<(), Error> {
    db.execute(DROP_SECRET, &[app.as_str().into(), id.0.into()])
}

/// Wraps everything of the apps under another key.
pub(super) fn rewrap(db: &mut dyn Db, old: &Key, new: &Key) -> Result<(), Error> {
    for row in db.query(ALL_KEYS, &[])? {
        let app = row.text(0)?;
        let opened = open(old, "key", app, 0, row.bytes(1)?)?;
        let wrapped = wrapping::seal(new, &associated("key", app, 0), opened)?;
        db.execute(REPLACE_KEYS, &[wrapped.into(), app.into()])?;
    }
    for row in db.query(ALL_SECRETS, &[])? {
        let (app, id) = (row.text(0)?, row.number::<u32>(1)?);
        let opened = open(old, "secret", app, id, row.bytes(2)?)?;
        let wrapped = wrapping::seal(new, &associated("secret", app, id), opened)?;
        db.execute(REPLACE_SECRET, &[wrapped.into(), app.into(), id.into()])?;
    }
    Ok(())
}
