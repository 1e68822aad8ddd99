//! The keys that sign checkpoints and reports. Their private halves hang from the apps' key of the tree.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use rusqlite::{Connection, Transaction, params};
use zeroize::Zeroizing;

use super::wrapping::{self, Key, random};
use crate::privacy::{Error, Signer};

const ALL: &str = "select id, public, wrapped from signer order by id";
const INSERT: &str = "insert into signer (id, public, wrapped) values (?1, ?2, ?3)";
const REPLACE: &str = "update signer set wrapped = ?2 where id = ?1";

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

/// Reads every key; makes the first one where there is none.
pub(super) fn load(connection: &Connection, apps: &Key) -> Result<Vec<Held>, Error> {
    let mut held = Vec::new();
    {
        let mut statement = connection.prepare_cached(ALL)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, public) = (row.get(0)?, row.get(1)?);
            let pair = row.get::<_, Option<Vec<u8>>>(2)?.map(|wrapped| {
                let seed = wrapping::open(apps, &associated(id), &wrapped)?;
                pair_of(&seed.ok_or_else(|| Error::Damaged(format!("signing key {id} does not open")))?)
            });
            let pair = pair.transpose()?;
            held.push(Held { signer: Signer { id, public, retired: pair.is_none() }, pair });
        }
    }
    if held.is_empty() {
        held.push(add(connection, apps, 1)?);
    }
    Ok(held)
}

/// Makes a key.
pub(super) fn add(connection: &Connection, apps: &Key, id: u32) -> Result<Held, Error> {
    let seed = Zeroizing::new(random::<32>()?.to_vec());
    let pair = pair_of(&seed)?;
    let mut public = [0; 32];
    public.copy_from_slice(pair.public_key().as_ref());
    connection.execute(INSERT, params![id, public, wrapping::seal(apps, &associated(id), seed)?])?;
    Ok(Held { signer: Signer { id, public, retired: false }, pair: Some(pair) })
}

/// Drops the private half; it is gone for good once the apps' key is replaced, in the same transaction.
pub(super) fn retire(transaction: &Transaction<'_>, id: u32) -> Result<(), Error> {
    transaction.execute(REPLACE, params![id, None::<Vec<u8>>])?;
    Ok(())
}

/// Wraps every key under another key.
pub(super) fn rewrap(transaction: &Transaction<'_>, old: &Key, new: &Key) -> Result<(), Error> {
    let all: Vec<(u32, Option<Vec<u8>>)> = transaction
        .prepare_cached(ALL)?
        .query_map([], |row| Ok((row.get(0)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (id, wrapped) in all {
        let Some(wrapped) = wrapped else { continue };
        let seed = wrapping::open(old, &associated(id), &wrapped)?
            .ok_or_else(|| Error::Damaged(format!("signing key {id} does not open")))?;
        transaction.execute(REPLACE, params![id, wrapping::seal(new, &associated(id), seed)?])?;
    }
    Ok(())
}
