//! The vault's file: wrapped keys, and the rotation that destroys some of them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rollcall_schemas::ids::{AppId, ErasureId, SecretId, SubjectRef};
use rollcall_schemas::personal::DestroyedKey;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use uuid::Uuid;

use super::root_cell::RootCell;
use super::subject_keys::{EpochKeys, SubjectKeys};
use super::tree::{Tree, range_of, shard_of};
use super::wrapping::{Wrapper, random};
use super::{apps, ledger, signers};
use crate::crash_point;
use crate::privacy::{Destruction, Doomed, Error, Rotated};

const HEADER: &str = "select vault, generation, page from vault where id = 1";
const CREATE: &str = "insert into vault (id, vault, generation, page, rotated) values (1, ?1, ?2, ?3, unixepoch())";
const MOVE_ON: &str = "update vault set generation = ?1, page = ?2,
    rotated = case when ?3 then unixepoch() else rotated end where id = 1";
const ROTATED: &str = "select rotated from vault where id = 1";
const KEYS_OF: &str = "select epoch, wrapped from subject_key where subject = ?1 order by epoch";
const KEYS_OF_SHARD: &str = "select subject, epoch, wrapped from subject_key
    where wrapped is not null and subject >= ?1 and (?2 is null or subject < ?2)";
const INSERT_KEYS: &str = "insert into subject_key (subject, epoch, wrapped) values (?1, ?2, ?3)";
const REPLACE_KEYS: &str = "update subject_key set wrapped = ?3 where subject = ?1 and epoch = ?2";

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => "the disk is full".into(),
            _ => error.to_string(),
        })
    }
}

/// Opens a connection to the vault's file, making the file if it does not exist.
pub(super) fn connect(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(path)?;
    // A prepared statement stays as it was planned, whatever its parameters are.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = full; pragma secure_delete = on; pragma temp_store = memory;
         pragma busy_timeout = 5000; pragma cache_size = -16384;",
    )?;
    let tables: u32 = connection.query_row("select count(*) from sqlite_master", [], |row| row.get(0))?;
    if tables == 0 {
        connection.execute_batch(&format!("begin immediate; {}; commit;", include_str!("schema.sql")))?;
    }
    Ok(connection)
}

/// What to do where the cell holds a root and the file of its vault is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// A new vault takes its place: the cell is this directory's own.
    Replace,
    /// The root stays: it may belong to a vault elsewhere.
    Refuse,
}

/// Opens the tree with the root of its generation, and finishes or undoes a rotation that was cut short.
pub(super) fn unlock(connection: &Connection, cell: &dyn RootCell, taken: Taken) -> Result<([u8; 16], Tree), Error> {
    match header(connection)? {
        None => {
            let vault = claim(connection, cell, taken)?;
            return create(connection, cell, vault);
        }
        Some((vault, CLAIMED, _)) => return create(connection, cell, vault),
        Some(_) => {}
    }
    let (vault, tree) = open_tree(connection, cell)?;
    cell.keep_only(vault, tree.generation)?;
    Ok((vault, tree))
}

/// The tree as the file has it now.
pub(super) fn tree(connection: &Connection, cell: &dyn RootCell) -> Result<Tree, Error> {
    Ok(open_tree(connection, cell)?.1)
}

/// Which root the file needs.
pub(super) fn generation(connection: &Connection) -> Result<u64, Error> {
    header(connection)?.map(|(_, generation, _)| generation).ok_or_else(no_page)
}

/// When every key of the tree was given a new one, in seconds since 1970.
pub(super) fn rotated(connection: &Connection) -> Result<i64, Error> {
    connection.query_row(ROTATED, [], |row| row.get(0)).optional()?.ok_or_else(no_page)
}

/// The vault, the generation of its root, and the page under that root.
type Header = ([u8; 16], u64, Vec<u8>);

fn header(connection: &Connection) -> Result<Option<Header>, Error> {
    Ok(connection.query_row(HEADER, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?)
}

fn no_page() -> Error {
    Error::Damaged("vault.db holds keys but not their page; put back a whole vault.db".into())
}

fn open_tree(connection: &Connection, cell: &dyn RootCell) -> Result<([u8; 16], Tree), Error> {
    let (vault, generation, page) = header(connection)?.ok_or_else(no_page)?;
    let Some(root) = cell.root(vault, generation)? else {
        return Err(Error::Damaged(format!(
            "the root cell ({}) does not hold the root of generation {generation} that vault.db needs. If the vault \
             was made with another root cell, name that one. If vault.db was put back from a copy, put back the \
             vault.db that belongs to this cell: keys that were destroyed since do not come back",
            cell.describe()
        )));
    };
    Ok((vault, Tree::unwrap(&root, vault, generation, &page)?))
}

/// The generation of a vault that has claimed its cell and has no root yet: if its creation is cut short, what the cell
/// holds by then is its own.
const CLAIMED: u64 = 0;

fn claim(connection: &Connection, cell: &dyn RootCell, taken: Taken) -> Result<[u8; 16], Error> {
    let keys: u32 = connection.query_row("select count(*) from subject_key", [], |row| row.get(0))?;
    if keys > 0 {
        return Err(no_page());
    }
    if !cell.is_empty()? {
        let cell = cell.describe();
        if taken == Taken::Refuse {
            return Err(Error::Damaged(format!(
                "the root cell ({cell}) holds the root of a vault that is not here. Use a cell of its own for each \
                 data directory; or, if that vault is lost, empty the cell"
            )));
        }
        // The trace of a database that is lost: nothing that it could open is here.
        tracing::warn!(cell, "the root cell holds a root of a vault that is not here; a new vault takes its place");
    }
    let vault: [u8; 16] = *random()?;
    connection.execute(CREATE, params![vault, CLAIMED, &[] as &[u8]])?;
    Ok(vault)
}

fn create(connection: &Connection, cell: &dyn RootCell, vault: [u8; 16]) -> Result<([u8; 16], Tree), Error> {
    let (root, tree) = (random()?, Tree::fresh()?);
    cell.put(vault, tree.generation, &root)?;
    connection.execute(MOVE_ON, params![tree.generation, tree.wrap(&root, vault)?, true])?;
    cell.keep_only(vault, tree.generation)?;
    Ok((vault, tree))
}

/// All keys of a subject; `None`: it never had any.
pub(super) fn keys_of(connection: &Connection, tree: &Tree, subject: SubjectRef) -> Result<Option<SubjectKeys>, Error> {
    let mut statement = connection.prepare_cached(KEYS_OF)?;
    let mut rows = statement.query([subject.0.as_bytes()])?;
    let mut keys: Option<SubjectKeys> = None;
    while let Some(row) = rows.next()? {
        let epoch = row.get(0)?;
        let keys = keys.get_or_insert_with(|| SubjectKeys { newest: epoch, epochs: vec![] });
        keys.newest = epoch;
        if let Some(wrapped) = row.get::<_, Option<Vec<u8>>>(1)? {
            keys.epochs.push((epoch, EpochKeys::unwrap(&Wrapper::of(tree.shard(subject))?, subject, epoch, &wrapped)?));
        }
    }
    Ok(keys)
}

/// Stores fresh keys.
pub(super) fn insert_keys(
    transaction: &Transaction<'_>,
    tree: &Tree,
    subject: SubjectRef,
    epoch: u32,
    keys: &EpochKeys,
) -> Result<(), Error> {
    let wrapped = keys.wrap(&Wrapper::of(tree.shard(subject))?, subject, epoch)?;
    transaction.prepare_cached(INSERT_KEYS)?.execute(params![subject.0.as_bytes(), epoch, wrapped])?;
    Ok(())
}

/// Where a rotation stops in a test: after the step of this number.
pub(super) type StopAfter = Option<u8>;

/// What a rotation is asked.
pub(super) struct Rotation<'r> {
    /// Whose keys to destroy.
    pub(super) destroy: &'r [Doomed],
    /// Give every shard and the apps' keys a new key, not only what the destruction needs.
    pub(super) all: bool,
    /// Give the apps' keys a new key.
    pub(super) apps: bool,
    /// The secret of an app to drop with the apps' old key.
    pub(super) drop_secret: Option<(&'r AppId, SecretId)>,
    /// The signing key to end with the apps' old key.
    pub(super) retire_signer: Option<u32>,
    /// For tests of crashes.
    pub(super) stop_after: StopAfter,
}

/// Rotates the path from the root down to what is destroyed. At every moment the cell and the file together open
/// either the tree of before or the tree of after: (1) the new root stands beside the old one, (2) one transaction
/// moves the file to the new root, (3) the old root is destroyed. Also when it fails behind its commit, `tree` is that
/// of the file.
pub(super) fn rotate(
    connection: &mut Connection,
    cell: &dyn RootCell,
    vault: [u8; 16],
    tree: &mut Tree,
    rotation: &Rotation<'_>,
) -> Result<(Vec<Destruction>, Rotated), Error> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let before = tree.generation;
    let mut touched: BTreeMap<usize, Vec<&Doomed>> = BTreeMap::new();
    let mut repeated = HashMap::new();
    for doomed in rotation.destroy {
        if let Some(done) = ledger::of(&transaction, doomed.erasure)? {
            repeated.insert(doomed.erasure, done);
        } else if is_alive(&transaction, tree, doomed)? {
            touched.entry(shard_of(doomed.subject)).or_default().push(doomed);
        }
    }
    let rotates = !touched.is_empty() || rotation.all || rotation.apps;
    let done = |mut keys: HashMap<ErasureId, Vec<DestroyedKey>>, repeated: &HashMap<ErasureId, Destruction>, after| {
        let one = |doomed: &Doomed| {
            let keys = keys.remove(&doomed.erasure).unwrap_or_default();
            let first =
                || Destruction { doomed: doomed.clone(), keys, generation_before: before, generation_after: after };
            repeated.get(&doomed.erasure).cloned().unwrap_or_else(first)
        };
        rotation.destroy.iter().map(one).collect::<Vec<_>>()
    };
    let record = |done: &[Destruction]| {
        let new = done.iter().filter(|done| !repeated.contains_key(&done.doomed.erasure));
        new.into_iter().try_for_each(|done| ledger::insert(&transaction, done))
    };
    if !rotates {
        let done = done(HashMap::new(), &repeated, before);
        record(&done)?;
        transaction.commit()?;
        return Ok((done, Rotated { generation_before: before, generation_after: before }));
    }
    let shards: Vec<usize> =
        if rotation.all { (0..super::tree::SHARDS).collect() } else { touched.keys().copied().collect() };
    let next = tree.next(shards.iter().copied(), rotation.all || rotation.apps)?;
    let root = random()?;
    crash_point::reach("rotate.begun");
    cell.put(vault, next.generation, &root)?;
    crash_point::reach("rotate.root_beside");
    let cut = || Error::Unavailable("stopped by a test".into());
    if rotation.stop_after == Some(1) {
        return Err(cut());
    }
    let mut keys = HashMap::new();
    for shard in shards {
        let doomed = touched.get(&shard).map_or(&[][..], Vec::as_slice);
        rewrap_shard(&transaction, (tree, &next), shard, doomed, &mut keys)?;
        crash_point::reach("rotate.shard_rewrapped");
    }
    crash_point::reach("rotate.rewrapped");
    let done = done(keys, &repeated, next.generation);
    record(&done)?;
    crash_point::reach("rotate.ledger_written");
    if let Some((app, id)) = rotation.drop_secret {
        apps::drop_secret(&transaction, app, id)?;
    }
    if let Some(id) = rotation.retire_signer {
        signers::retire(&transaction, id)?;
    }
    if rotation.all || rotation.apps {
        apps::rewrap(&transaction, tree.apps(), next.apps())?;
        signers::rewrap(&transaction, tree.apps(), next.apps())?;
    }
    transaction.execute(MOVE_ON, params![next.generation, next.wrap(&root, vault)?, rotation.all])?;
    crash_point::reach("rotate.moved_on");
    transaction.commit()?;
    crash_point::reach("rotate.committed");
    *tree = next;
    if rotation.stop_after == Some(2) {
        return Err(cut());
    }
    cell.keep_only(vault, tree.generation)?;
    crash_point::reach("rotate.old_root_gone");
    // Hygiene only: what the old pages and the write-ahead log still hold is wrapped under a root that is gone.
    if let Err(error) = connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())) {
        tracing::debug!(%error, "the vault's write-ahead log was not emptied");
    }
    crash_point::reach("rotate.log_emptied");
    Ok((done, Rotated { generation_before: before, generation_after: tree.generation }))
}

/// Whether there is a key left that an erasure would destroy.
fn is_alive(connection: &Connection, tree: &Tree, doomed: &Doomed) -> Result<bool, Error> {
    let keys = keys_of(connection, tree, doomed.subject)?;
    let lives = |keys: &EpochKeys| doomed.classes.iter().any(|class| keys.key(*class).is_some());
    Ok(keys.is_some_and(|keys| keys.epochs.iter().any(|(_, keys)| lives(keys))))
}

fn rewrap_shard(
    transaction: &Transaction<'_>,
    (old, new): (&Tree, &Tree),
    shard: usize,
    doomed: &[&Doomed],
    destroyed: &mut HashMap<ErasureId, Vec<DestroyedKey>>,
) -> Result<(), Error> {
    let (from, to) = range_of(shard);
    let mut rows = Vec::new();
    {
        let mut statement = transaction.prepare_cached(KEYS_OF_SHARD)?;
        let mut found = statement.query(params![from, to])?;
        while let Some(row) = found.next()? {
            let subject = SubjectRef(Uuid::from_bytes(row.get(0)?));
            rows.push((subject, row.get::<_, u32>(1)?, row.get::<_, Vec<u8>>(2)?));
        }
    }
    let (old, new) = (Wrapper::of(old.shard_key(shard))?, Wrapper::of(new.shard_key(shard))?);
    let mut replace = transaction.prepare_cached(REPLACE_KEYS)?;
    for (subject, epoch, wrapped) in rows {
        let mut keys = EpochKeys::unwrap(&old, subject, epoch, &wrapped)?;
        for doomed in doomed.iter().filter(|doomed| doomed.subject == subject) {
            destroyed.entry(doomed.erasure).or_default().extend(keys.destroy(epoch, &doomed.classes)?);
        }
        let rewrapped = if keys.is_empty() { None } else { Some(keys.wrap(&new, subject, epoch)?) };
        replace.execute(params![subject.0.as_bytes(), epoch, rewrapped])?;
    }
    Ok(())
}
