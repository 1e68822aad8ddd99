//! The keys that sign checkpoints and reports. Their private halves hang from the apps' key of the tree.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::db::{Db, Row, Value};
use super::wrapping::{self, Key, random};
use crate::privacy::{Error, Signer};

const ALL: &str = "select id, public, wrapped from signer order by id";
const COUNT: &str = "select count(*) from signer";
const NEXT: &str = "select coalesce(max(id), 0) + 1 from signer";
const INSERT: &str = "insert into signer (id, public, wrapped) values ($1, $2, $3)";
const REPLACE: &str = "update signer set wrapped = $1 where id = $2";

/// A signing key in memory; without its private half once it is retired.
pub(super) struct Held {
    pub(super) signer: Signer,
    pub(super) pair: Option<Ed25519KeyPair>,
}

fn associated(id: u32) -> Vec<u8> {
    [&b"signer\0"[..], &id.to_be_bytes()].concat()
}

fn pair_of(seed: &[u8]) -> Result<Ed25519KeyPair, Error> {
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Error::Damaged("a signing key is not readable".into()))
}

/// Reads every key.
pub(super) fn load(db: &mut dyn Db, apps: &Key) -> Result<Vec<Held>, Error> {
    let held = |row: &Row| {
        let (id, public) = (row.number(0)?, row.array(1)?);
        let pair = row.bytes_if_any(2)?.map(|wrapped| {
            let seed = wrapping::open(apps, &associated(id), wrapped)?;
            pair_of(&seed.ok_or_else(|| Error::Damaged(format!("signing key {id} does not open")))?)
        });
        let pair = pair.transpose()?;
        Ok(Held { signer: Signer { id, public, retired: pair.is_none() }, pair })
    };
    db.query(ALL, &[])?.iter().map(held).collect()
}

/// How many keys there are.
pub(super) fn count(db: &mut dyn Db) -> Result<u64, Error> {
    db.row(COUNT, &[])?.map_or(Ok(0), |row| row.number(0))
}

/// Makes a key.
pub(super) fn add(db: &mut dyn Db, apps: &Key) -> Result<Signer, Error> {
    let id = db.row(NEXT, &[])?.map_or(Ok(1), |row| row.number(0))?;
    let seed = Zeroizing::new(random::<32>()?.to_vec());
    let pair = pair_of(&seed)?;
    let mut public = [0; 32];
    public.copy_from_slice(pair.public_key().as_ref());
    let wrapped = wrapping::seal(apps, &associated(id), seed)?;
    db.execute(INSERT, &[id.into(), (&public).into(), wrapped.into()])?;
    Ok(Signer { id, public, retired: false })
}

/// Drops the private half; it is gone for good once the apps' key is replaced, in the same transaction.
pub(super) fn retire(db: &mut dyn Db, id: u32) -> Result<(), Error> {
    db.execute(REPLACE, &[Value::Null, id.into()])
}

/// Wraps every key under another key.
pub(super) fn rewrap(db: &mut dyn Db, old: &Key, new: &Key) -> Result<(), Error> {
    for row in db.query(ALL, &[])? {
        let (id, Some(wrapped)) = (row.number::<u32>(0)?, row.bytes_if_any(2)?) else { continue };
        let seed = wrapping::open(old, &associated(id), wrapped)?
            .ok_or_else(|| Error::Damaged(format!("signing key {id} does not open")))?;
        db.execute(REPLACE, &[wrapping::seal(new, &associated(id), seed)?.into(), id.into()])?;
    }
    Ok(())
}
