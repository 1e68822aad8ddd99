//! The vault's tables: wrapped keys, and the rotation that destroys some of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use rollcall_schemas::ids::{AppId, ErasureId, SecretId, SubjectRef};
use rollcall_schemas::personal::DestroyedKey;
use uuid::Uuid;

use super::db::{Db, Hold, Row, Value};
use super::held_keys::HeldKeys;
use super::page_key::{self, PageKey, PageRef};
use super::root_cell::{Root, RootCell};
use super::subject_keys::{EpochKeys, SubjectKeys};
use super::tree::{Tree, range_of, shard_of};
use super::wrapping::{Wrapper, random};
use super::{apps, ledger, signers};
use crate::crash_point;
use crate::privacy::{Destruction, Error, KeysToDestroy, Rotated};

const HEADER: &str = "select vault, generation, page, kept, settled from vault where id = 1";
const GENERATION: &str = "select generation from vault where id = 1";
const CREATE: &str = "insert into vault (id, vault, generation, page, kept, settled, rotated)
    values (1, $1, $2, $3, $4, 0, $5)";
const MOVE_ON: &str = "update vault set generation = $1, page = $2, kept = $3, rotated = coalesce($4, rotated)
    where id = 1";
const SETTLED: &str = "update vault set settled = generation where id = 1";
const ROTATED: &str = "select rotated from vault where id = 1";
const ANY_KEY: &str = "select epoch from subject_key limit 1";
const KEYS_OF: &str = "select epoch, wrapped from subject_key where subject = $1 order by epoch";
const KEYS_OF_SHARD: &str = "select subject, epoch, wrapped from subject_key
    where wrapped is not null and subject >= $1 and subject < $2";
const KEYS_OF_LAST_SHARD: &str = "select subject, epoch, wrapped from subject_key
    where wrapped is not null and subject >= $1";
const COUNT_OF_SHARD: &str = "select count(*), count(case when substr(subject, 7) = $1 then wrapped end)
    from subject_key where subject >= $2 and subject < $3";
const INSERT_KEYS: &str = "insert into subject_key (subject, epoch, wrapped) values ($1, $2, $3)";
const REPLACE_KEYS: &str = "update subject_key set wrapped = $1 where subject = $2 and epoch = $3";

/// What to do where the cell holds a root and the tables of its vault are not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// A new vault takes its place: the cell is this directory's own.
    Replace,
    /// The root stays: it may belong to a vault elsewhere.
    Refuse,
}

/// Makes the vault where there is none, and finishes or undoes a rotation that was cut short; answers its name and its
/// tree.
pub(super) fn unlock(db: &mut dyn Db, cell: &dyn RootCell, taken: Taken) -> Result<([u8; 16], Tree), Error> {
    if header(db)?.is_none() {
        db.transaction(Hold::Alone, |db| match header(db)? {
            None => claim(db, cell, taken),
            Some(_) => Ok(()),
        })?;
    }
    if let Some(claimed) = header(db)?.filter(|header| header.generation == CLAIMED) {
        if claimed.kept == MOVING {
            return Err(Error::Damaged("keys are being moved here; finish that with `rollcall copy`".into()));
        }
        db.transaction(Hold::Alone, |db| match header(db)? {
            Some(header) if header.generation == CLAIMED => create(db, cell, header.vault),
            _ => Ok(()),
        })?;
    }
    let opened = open_tree(|| needed(db), cell)?;
    settle(db, cell, !cell.is_shared())?;
    Ok(opened)
}

/// The tree as the tables have it now; `needed` asks them with [`needed`].
pub(super) fn tree(needed: impl FnMut() -> Result<Header, Error>, cell: &dyn RootCell) -> Result<Tree, Error> {
    Ok(open_tree(needed, cell)?.1)
}

/// What the tables need to be opened.
pub(super) fn needed(db: &mut dyn Db) -> Result<Header, Error> {
    header(db)?.ok_or_else(no_page)
}

/// Which root the tables need.
pub(super) fn generation(db: &mut dyn Db) -> Result<u64, Error> {
    db.row(GENERATION, &[])?.ok_or_else(no_page)?.number(0)
}

/// When every key of the tree was given a new one, in seconds since 1970.
pub(super) fn rotated(db: &mut dyn Db) -> Result<i64, Error> {
    db.row(ROTATED, &[])?.ok_or_else(no_page)?.number(0)
}

/// The vault's one row.
pub(super) struct Header {
    vault: [u8; 16],
    /// Of its root.
    generation: u64,
    /// Wrapped under that root.
    page: Vec<u8>,
    /// What the cell wants kept beside it.
    kept: Vec<u8>,
    /// The last generation for which the cell was seen to hold no other.
    settled: u64,
}

fn header(db: &mut dyn Db) -> Result<Option<Header>, Error> {
    let row = db.row(HEADER, &[])?;
    let read = |row: super::db::Row| {
        Ok(Header {
            vault: row.array(0)?,
            generation: row.number(1)?,
            page: row.bytes(2)?.into(),
            kept: row.bytes(3)?.into(),
            settled: row.number(4)?,
        })
    };
    row.map(read).transpose()
}

fn no_page() -> Error {
    Error::Damaged("it holds keys but not their page; put back the whole vault".into())
}

fn open_tree(
    mut needed: impl FnMut() -> Result<Header, Error>,
    cell: &dyn RootCell,
) -> Result<([u8; 16], Tree), Error> {
    loop {
        let Header { vault, generation, page, kept, .. } = needed()?;
        match cell.root(vault, generation, &kept)? {
            Some(root) => return Ok((vault, Tree::unwrap(&root, vault, generation, &page)?)),
            // Another node has replaced it, and destroyed this root, since the row was read.
            None if needed()?.generation != generation => {}
            None => {
                return Err(Error::Damaged(format!(
                    "the root cell ({}) does not hold the root of generation {generation} that the vault needs. If the \
                     vault was made with another root cell, name that one. If the vault was put back from a copy, put \
                     back the one that belongs to this cell: keys that were destroyed since do not come back",
                    cell.describe()
                )));
            }
        }
    }
}

/// The generation of a vault that has claimed its cell and has no root yet: if its creation is cut short, what the cell
/// holds by then is its own.
const CLAIMED: u64 = 0;
/// What stands in the place of what a cell wants kept, while a vault is being moved to where it stands.
const MOVING: &[u8] = b"moving";

fn claim(db: &mut dyn Db, cell: &dyn RootCell, taken: Taken) -> Result<(), Error> {
    free(db, cell, taken)?;
    insert(db, *random()?, &[])
}

fn insert(db: &mut dyn Db, vault: [u8; 16], kept: &[u8]) -> Result<(), Error> {
    let now = db.now()?;
    db.execute(CREATE, &[(&vault).into(), CLAIMED.into(), Value::Bytes(vec![]), kept.into(), now.into()])
}

/// Takes the place for a vault of this name that is moved here from a tree of this generation; answers whether its rows
/// are still to come.
pub(super) fn begin_move(
    db: &mut dyn Db,
    cell: &dyn RootCell,
    vault: [u8; 16],
    generation: u64,
) -> Result<bool, Error> {
    db.transaction(Hold::Alone, |db| match header(db)? {
        None => {
            free(db, cell, Taken::Refuse)?;
            insert(db, vault, MOVING).map(|()| true)
        }
        // It was cut short before its end, or behind it.
        Some(found) if found.vault == vault && found.kept == MOVING => Ok(true),
        Some(found) if found.vault == vault && found.generation > generation => Ok(false),
        Some(_) => Err(Error::Damaged("there is a vault already where this one is to be moved".into())),
    })
}

/// Hangs the tables from this root.
pub(super) fn hang(db: &mut dyn Db, vault: [u8; 16], tree: &Tree, root: &Root, kept: Vec<u8>) -> Result<(), Error> {
    db.execute(MOVE_ON, &[tree.generation.into(), tree.wrap(root, vault)?.into(), kept.into(), Value::Null])
}

/// Whether a vault may be made here.
fn free(db: &mut dyn Db, cell: &dyn RootCell, taken: Taken) -> Result<(), Error> {
    if db.row(ANY_KEY, &[])?.is_some() {
        return Err(no_page());
    }
    if !cell.is_empty()? {
        let cell = cell.describe();
        if taken == Taken::Refuse {
            return Err(Error::Damaged(format!(
                "the root cell ({cell}) holds the root of a vault that is not here. Use a cell of its own for each \
                 vault; or, if that vault is lost, empty the cell"
            )));
        }
        // The trace of a database that is lost: nothing that it could open is here.
        tracing::warn!(cell, "the root cell holds a root of a vault that is not here; a new vault takes its place");
    }
    Ok(())
}

fn create(db: &mut dyn Db, cell: &dyn RootCell, vault: [u8; 16]) -> Result<(), Error> {
    let (root, tree) = (random()?, Tree::fresh()?);
    let kept = cell.put(vault, tree.generation, &root)?;
    hang(db, vault, &tree, &root, kept)
}

/// Destroys every root but the one that the tables need; in a cell that says what it was asked, only where that was not
/// done before.
pub(super) fn settle(db: &mut dyn Db, cell: &dyn RootCell, certainly: bool) -> Result<(), Error> {
    let unsettled = |header: &Header| certainly || header.settled < header.generation;
    if !header(db)?.as_ref().is_some_and(unsettled) {
        return Ok(());
    }
    db.transaction(Hold::Alone, |db| {
        let Some(header) = header(db)?.filter(unsettled) else { return Ok(()) };
        // The end of a rotation may have been seen on a server that is lost with it: another one, without it, needs the root
        // of before.
        db.keep_what_was_read()?;
        cell.keep_only(header.vault, header.generation, &header.kept)?;
        db.execute(SETTLED, &[])
    })
}

/// All keys of a subject; `None`: it never had any.
pub(super) fn keys_of(db: &mut dyn Db, tree: &Tree, subject: SubjectRef) -> Result<Option<HeldKeys>, Error> {
    let page = PageRef::of(subject);
    let [own, of_page] = [*subject.0.as_bytes(), page.row()].map(|reference| vec![(&reference).into()]);
    let found = db.query_each(KEYS_OF, &[own, of_page])?;
    let [own, of_page] = found.as_slice() else { return Err(Error::Damaged("its keys were not answered".into())) };
    if let Some(keys) = unwrapped(own, tree, subject)? {
        return Ok(Some(HeldKeys::Own(Arc::new(keys))));
    }
    let page = page_of_rows(of_page, tree, page)?;
    Ok(page.map(|key| HeldKeys::OfPage(Arc::new(key), subject)))
}

/// The keys of these pages, in their order; `None`: there is no such page, or its subjects' keys are written out.
pub(super) fn pages_of_each(db: &mut dyn Db, tree: &Tree, pages: &[PageRef]) -> Result<Vec<Option<PageKey>>, Error> {
    let params: Vec<_> = pages.iter().map(|page| vec![(&page.row()).into()]).collect();
    let found = db.query_each(KEYS_OF, &params)?;
    pages.iter().zip(&found).map(|(page, rows)| page_of_rows(rows, tree, *page)).collect()
}

/// The keys that are written out of each of these subjects, in their order.
pub(super) fn own_keys_of_each(
    db: &mut dyn Db,
    tree: &Tree,
    subjects: &[SubjectRef],
) -> Result<Vec<Option<SubjectKeys>>, Error> {
    let params: Vec<_> = subjects.iter().map(|subject| vec![subject.0.as_bytes().into()]).collect();
    let found = db.query_each(KEYS_OF, &params)?;
    subjects.iter().zip(&found).map(|(subject, rows)| unwrapped(rows, tree, *subject)).collect()
}

fn page_of_rows(rows: &[Row], tree: &Tree, page: PageRef) -> Result<Option<PageKey>, Error> {
    let wrapped = rows.first().map_or(Ok(None), |row| row.bytes_if_any(1))?;
    let shard = || Wrapper::of(tree.shard(SubjectRef(Uuid::from_bytes(page.row()))));
    wrapped.map(|wrapped| PageKey::unwrap(&shard()?, page, wrapped)).transpose()
}

fn unwrapped(rows: &[Row], tree: &Tree, subject: SubjectRef) -> Result<Option<SubjectKeys>, Error> {
    let mut keys: Option<SubjectKeys> = None;
    for row in rows {
        let epoch = row.number(0)?;
        let keys = keys.get_or_insert_with(|| SubjectKeys { newest: epoch, epochs: vec![] });
        keys.newest = epoch;
        if let Some(wrapped) = row.bytes_if_any(1)? {
            keys.epochs.push((epoch, EpochKeys::unwrap(&Wrapper::of(tree.shard(subject))?, subject, epoch, wrapped)?));
        }
    }
    Ok(keys)
}

/// Stores fresh keys, each of a subject and its epoch.
pub(super) fn insert_keys(db: &mut dyn Db, tree: &Tree, fresh: &[(SubjectRef, u32, &EpochKeys)]) -> Result<(), Error> {
    let row = |(subject, epoch, keys): &(SubjectRef, u32, &EpochKeys)| {
        let wrapped = keys.wrap(&Wrapper::of(tree.shard(*subject))?, *subject, *epoch)?;
        Ok(vec![subject.0.as_bytes().into(), (*epoch).into(), wrapped.into()])
    };
    db.execute_each(INSERT_KEYS, &fresh.iter().map(row).collect::<Result<Vec<_>, Error>>()?)
}

/// Stores the keys of new pages.
pub(super) fn insert_pages(db: &mut dyn Db, tree: &Tree, fresh: &[(PageRef, Arc<PageKey>)]) -> Result<(), Error> {
    let row = |(page, key): &(PageRef, Arc<PageKey>)| {
        let wrapped = key.wrap(&Wrapper::of(tree.shard(SubjectRef(Uuid::from_bytes(page.row()))))?, *page)?;
        Ok(vec![(&page.row()).into(), 0_u32.into(), wrapped.into()])
    };
    db.execute_each(INSERT_KEYS, &fresh.iter().map(row).collect::<Result<Vec<_>, Error>>()?)
}

/// Writes out the keys of every subject of the page that a subject is of, where they are derived: the page has no key
/// afterwards.
pub(super) fn write_out(db: &mut dyn Db, tree: &Tree, subject: SubjectRef) -> Result<(), Error> {
    let page = PageRef::of(subject);
    let rows = db.query(KEYS_OF, &[(&page.row()).into()])?;
    let Some(key) = page_of_rows(&rows, tree, page)? else { return Ok(()) };
    let subjects = key.subjects(page)?;
    let keys = subjects.iter().map(|subject| key.written_out(*subject)).collect::<Result<Vec<_>, Error>>()?;
    let fresh: Vec<_> = subjects.iter().zip(&keys).map(|(subject, keys)| (*subject, 0, keys)).collect();
    insert_keys(db, tree, &fresh)?;
    db.execute(REPLACE_KEYS, &[Value::Null, (&page.row()).into(), 0_u32.into()])
}

/// How many rows a rotation of a shard writes at most: all those of a page whose keys it has to write out.
pub(super) fn keys_of_shard(db: &mut dyn Db, shard: usize) -> Result<u64, Error> {
    let (from, to) = range_of(shard);
    let to = to.unwrap_or([0xff; 16]);
    let nobody = page_key::NOBODY[..].into();
    let Some(row) = db.row(COUNT_OF_SHARD, &[nobody, (&from).into(), (&to).into()])? else { return Ok(0) };
    let (rows, pages): (u64, u64) = (row.number(0)?, row.number(1)?);
    Ok(rows + pages * u64::from(page_key::SUBJECTS))
}

/// Where a rotation stops in a test: after the step of this number.
pub(super) type StopAfter = Option<u8>;

/// What a rotation is asked.
pub(super) struct Rotation<'r> {
    /// Whose keys to destroy.
    pub(super) destroy: &'r [KeysToDestroy],
    /// Shards that are given a new key, whether the destruction needs it or not.
    pub(super) renew: Range<usize>,
    /// Whether every key of the tree has been given a new one with it.
    pub(super) completes: bool,
    /// Give the apps' keys a new key.
    pub(super) apps: bool,
    /// The secret of an app to drop with the apps' old key.
    pub(super) drop_secret: Option<(&'r AppId, SecretId)>,
    /// The signing key to end with the apps' old key.
    pub(super) retire_signer: Option<u32>,
    /// For tests of crashes.
    pub(super) stop_after: StopAfter,
}

/// Rotates the path from the root down to what is destroyed. At every moment the cell and the tables together open
/// either the tree of before or the tree of after: (1) the new root stands beside the old one, (2) one transaction
/// moves the tables to the new root, (3) the old root is destroyed ([`settle`]). While the second is made durable nobody
/// reads the tree, and `forget` is called before anybody does again. `None`: the tables have another tree than this by
/// now.
pub(super) fn rotate(
    db: &mut dyn Db,
    cell: &dyn RootCell,
    vault: [u8; 16],
    tree: &RwLock<Tree>,
    rotation: &Rotation<'_>,
    forget: &dyn Fn(),
) -> Result<Option<(Vec<Destruction>, Rotated)>, Error> {
    let old = tree.read().unwrap_or_else(PoisonError::into_inner).clone();
    db.begin(Hold::Alone)?;
    let done = prepare(db, cell, vault, &old, rotation).and_then(|prepared| {
        let Some(Prepared { done, next }) = prepared else { return Ok(None) };
        let before = old.generation;
        let mut tree = tree.write().unwrap_or_else(PoisonError::into_inner);
        let committed = db.commit();
        forget();
        committed?;
        let Some(next) = next else {
            return Ok(Some((done, Rotated { generation_before: before, generation_after: before })));
        };
        crash_point::reach("rotate.committed");
        let rotated = Rotated { generation_before: before, generation_after: next.generation };
        *tree = next;
        Ok(Some((done, rotated)))
    });
    if !matches!(done, Ok(Some(_))) {
        db.roll_back();
    }
    done
}

/// What only has to be committed.
struct Prepared {
    done: Vec<Destruction>,
    /// `None`: there was nothing left to destroy.
    next: Option<Tree>,
}

fn prepare(
    db: &mut dyn Db,
    cell: &dyn RootCell,
    vault: [u8; 16],
    tree: &Tree,
    rotation: &Rotation<'_>,
) -> Result<Option<Prepared>, Error> {
    if generation(db)? != tree.generation {
        return Ok(None);
    }
    let before = tree.generation;
    let mut touched: BTreeMap<usize, Vec<&KeysToDestroy>> = BTreeMap::new();
    let mut repeated = HashMap::new();
    for keys_to_destroy in rotation.destroy {
        if let Some(done) = ledger::of(db, keys_to_destroy.erasure)? {
            repeated.insert(keys_to_destroy.erasure, done);
        } else if is_alive(db, tree, keys_to_destroy)? {
            touched.entry(shard_of(keys_to_destroy.subject)).or_default().push(keys_to_destroy);
        }
    }
    let rotates = !touched.is_empty() || !rotation.renew.is_empty() || rotation.apps;
    let done = |mut keys: HashMap<ErasureId, Vec<DestroyedKey>>, repeated: &HashMap<ErasureId, Destruction>, after| {
        let one = |keys_to_destroy: &KeysToDestroy| {
            let keys = keys.remove(&keys_to_destroy.erasure).unwrap_or_default();
            let first = || Destruction {
                keys_to_destroy: keys_to_destroy.clone(),
                keys,
                generation_before: before,
                generation_after: after,
            };
            repeated.get(&keys_to_destroy.erasure).cloned().unwrap_or_else(first)
        };
        rotation.destroy.iter().map(one).collect::<Vec<_>>()
    };
    let record = |db: &mut dyn Db, done: &[Destruction]| {
        let mut new = done.iter().filter(|done| !repeated.contains_key(&done.keys_to_destroy.erasure));
        new.try_for_each(|done| ledger::insert(db, done))
    };
    if !rotates {
        let done = done(HashMap::new(), &repeated, before);
        record(db, &done)?;
        return Ok(Some(Prepared { done, next: None }));
    }
    let shards: BTreeSet<usize> = touched.keys().copied().chain(rotation.renew.clone()).collect();
    let next = tree.next(shards.iter().copied(), rotation.apps)?;
    let root = random()?;
    crash_point::reach("rotate.begun");
    let kept = cell.put(vault, next.generation, &root)?;
    crash_point::reach("rotate.root_beside");
    if rotation.stop_after == Some(1) {
        return Err(cut());
    }
    let mut keys = HashMap::new();
    for shard in shards {
        let keys_to_destroy = touched.get(&shard).map_or(&[][..], Vec::as_slice);
        rewrap_shard(db, (tree, &next), shard, keys_to_destroy, &mut keys)?;
        crash_point::reach("rotate.shard_rewrapped");
    }
    crash_point::reach("rotate.rewrapped");
    let done = done(keys, &repeated, next.generation);
    record(db, &done)?;
    crash_point::reach("rotate.ledger_written");
    if let Some((app, id)) = rotation.drop_secret {
        apps::drop_secret(db, app, id)?;
    }
    if let Some(id) = rotation.retire_signer {
        signers::retire(db, id)?;
    }
    if rotation.apps {
        apps::rewrap(db, tree.apps(), next.apps())?;
        signers::rewrap(db, tree.apps(), next.apps())?;
    }
    let rotated = if rotation.completes { db.now()?.into() } else { Value::Null };
    db.execute(MOVE_ON, &[next.generation.into(), next.wrap(&root, vault)?.into(), kept.into(), rotated])?;
    crash_point::reach("rotate.moved_on");
    Ok(Some(Prepared { done, next: Some(next) }))
}

/// A rotation that a test wanted cut short.
pub(super) fn cut() -> Error {
    Error::Unavailable("stopped by a test".into())
}

/// Whether there is a key left that an erasure would destroy.
fn is_alive(db: &mut dyn Db, tree: &Tree, keys_to_destroy: &KeysToDestroy) -> Result<bool, Error> {
    let keys = keys_of(db, tree, keys_to_destroy.subject)?;
    Ok(keys.is_some_and(|keys| keys.has_any(&keys_to_destroy.classes)))
}

fn rewrap_shard(
    db: &mut dyn Db,
    (old, new): (&Tree, &Tree),
    shard: usize,
    keys_to_destroy: &[&KeysToDestroy],
    destroyed: &mut HashMap<ErasureId, Vec<DestroyedKey>>,
) -> Result<(), Error> {
    let (from, to) = range_of(shard);
    let rows = match to {
        Some(to) => db.query(KEYS_OF_SHARD, &[(&from).into(), (&to).into()])?,
        None => db.query(KEYS_OF_LAST_SHARD, &[(&from).into()])?,
    };
    let (old, new) = (Wrapper::of(old.shard_key(shard))?, Wrapper::of(new.shard_key(shard))?);
    // What is left of a subject's keys, under the new key.
    let mut left = |subject: SubjectRef, epoch: u32, mut keys: EpochKeys| -> Result<Value, Error> {
        for one in keys_to_destroy.iter().filter(|one| one.subject == subject) {
            destroyed.entry(one.erasure).or_default().extend(keys.destroy(epoch, &one.classes)?);
        }
        Ok(if keys.is_empty() { Value::Null } else { keys.wrap(&new, subject, epoch)?.into() })
    };
    let (mut replace, mut insert) = (Vec::with_capacity(rows.len()), vec![]);
    for row in rows {
        let (reference, epoch): ([u8; 16], u32) = (row.array(0)?, row.number(1)?);
        let wrapped = match PageRef::of_row(reference) {
            None => {
                let subject = SubjectRef(Uuid::from_bytes(reference));
                left(subject, epoch, EpochKeys::unwrap(&old, subject, epoch, row.bytes(2)?)?)?
            }
            Some(page) => {
                let key = PageKey::unwrap(&old, page, row.bytes(2)?)?;
                if keys_to_destroy.iter().any(|one| PageRef::of(one.subject) == page) {
                    for subject in key.subjects(page)? {
                        let keys = left(subject, epoch, key.written_out(subject)?)?;
                        insert.push(vec![subject.0.as_bytes().into(), epoch.into(), keys]);
                    }
                    Value::Null
                } else {
                    key.wrap(&new, page)?.into()
                }
            }
        };
        replace.push(vec![wrapped, (&reference).into(), epoch.into()]);
    }
    db.execute_each(REPLACE_KEYS, &replace)?;
    if insert.is_empty() { Ok(()) } else { db.execute_each(INSERT_KEYS, &insert) }
}
