//! Moving a vault: its tables into another database or file, and its root into another cell.
//!
//! Everything is written in one transaction under a new root; then every key of the tree is renewed, and at the end the
//! root that the old tables hang from is destroyed. Wherever it is cut short, it can be done again.

use std::path::Path;

use super::db::{Db, Hold, Row, Value};
use super::root_cell::RootCell;
use super::store;
use super::tree::{SHARDS, range_of};
use super::wrapping::random;
use super::{KeyTree, Options};
use crate::privacy::{Error, Vault as _};

/// A table that is moved row by row as it is: how it is read and written, parameters in the order of its columns.
struct Moved(&'static str, &'static str);

const SMALL: &[Moved] = &[
    Moved("select app, wrapped from app_key", "insert into app_key (app, wrapped) values ($1, $2)"),
    Moved("select app, id, wrapped from app_secret", "insert into app_secret (app, id, wrapped) values ($1, $2, $3)"),
    Moved("select id, public, wrapped from signer", "insert into signer (id, public, wrapped) values ($1, $2, $3)"),
    Moved("select id, size, root from witnessed", "insert into witnessed (id, size, root) values ($1, $2, $3)"),
    Moved(
        "select erasure, doomed, generation_before, generation_after from destruction order by number",
        "insert into destruction (erasure, doomed, generation_before, generation_after) values ($1, $2, $3, $4)",
    ),
];
const KEYS: Moved = Moved(
    "select subject, epoch, wrapped from subject_key where subject >= $1 and subject <= $2",
    "insert into subject_key (subject, epoch, wrapped) values ($1, $2, $3)",
);

impl KeyTree {
    /// Moves this vault, which nobody else may use meanwhile, to where these options say; `dir` is the data directory that
    /// a vault without a database is in. Afterwards it is open there, and what was here is worth nothing any more. Blocks.
    ///
    /// # Errors
    /// There is another vault already, or something cannot be read or written: then it is whole here, and the call may be
    /// repeated.
    pub fn move_to(self, dir: &Path, to: &Options) -> Result<Self, Error> {
        let (mut target, cell) = super::place(dir, to)?;
        self.inner.copy_into(target.writer.as_mut(), cell.as_ref())?;
        drop((target, cell));
        let moved = Self::open(dir, to)?;
        if moved.id() != self.id() {
            return Err(Error::Damaged("what was moved is another vault".into()));
        }
        // What a copy of the old tables and the old root would open is everything up to now, and nothing from now on.
        moved.rotate()?;
        self.inner.cell.wipe()?;
        Ok(moved)
    }
}

impl super::inner::Inner {
    fn copy_into(&self, to: &mut dyn Db, cell: &dyn RootCell) -> Result<(), Error> {
        self.write(Hold::Alone, |from, tree| {
            if !store::begin_move(to, cell, self.vault, tree.generation)? {
                return Ok(());
            }
            let (root, next) = (random()?, tree.next(std::iter::empty(), false)?);
            let kept = cell.put(self.vault, next.generation, &root)?;
            to.transaction(Hold::Alone, |to| {
                for moved in SMALL {
                    moved.rows(from, to, &[])?;
                }
                for shard in 0..SHARDS {
                    let (first, after) = range_of(shard);
                    let last = after.map_or([0xff; 16], |after| (u128::from_be_bytes(after) - 1).to_be_bytes());
                    KEYS.rows(from, to, &[(&first).into(), (&last).into()])?;
                }
                store::hang(to, self.vault, &next, &root, kept)
            })
        })
    }
}

impl Moved {
    fn rows(&self, from: &mut dyn Db, to: &mut dyn Db, params: &[Value]) -> Result<(), Error> {
        let Self(read, write) = self;
        let rows: Vec<_> = from.query(read, params)?.into_iter().map(Row::into_values).collect();
        to.execute_each(write, &rows)
    }
}
