//! `rollcall doctor`: checks the data directory, the databases and the settings that the service depends on.

use std::fmt::Display;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::ExitCode;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::database_client::Client;
use super::out::{say, tell};
#[cfg(feature = "vault-transit")]
use super::wiring::CellSpec;
use super::wiring::{KeyOptions, LogPlace, Place};
use super::{Data, Failure, several_subjects};
use crate::database;
use crate::privacy::key_tree::Doubt;

#[cfg(feature = "kurrentdb")]
mod kurrentdb;
mod log;

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Good,
    Note,
    Bad,
}

/// Prints what was found, and counts what is bad.
#[derive(Default)]
struct Visit {
    bad: u32,
    /// Of which server it speaks, where there are two.
    of: &'static str,
}

impl Visit {
    fn say(&mut self, found: Found, what: &str, how: impl Display) {
        let word = match found {
            Found::Good => "ok  ",
            Found::Note => "note",
            Found::Bad => "BAD ",
        };
        let of = self.of;
        say!("{word}  {of}{what}: {how}");
        self.bad += u32::from(found == Found::Bad);
    }

    /// Good, or what to do about it.
    fn must(&mut self, holds: bool, what: &str, is: impl Display, remedy: &str) {
        if holds {
            self.say(Found::Good, what, is);
        } else {
            self.say(Found::Bad, what, format!("{is}; {remedy}"));
        }
    }

    /// Good, or what to think about.
    fn should(&mut self, holds: bool, what: &str, is: impl Display, advice: &str) {
        if holds {
            self.say(Found::Good, what, is);
        } else {
            self.say(Found::Note, what, format!("{is}; {advice}"));
        }
    }
}

/// Free space below this is reported, in bytes.
const FREE_MIN: u64 = 1 << 30;
/// Connections that a node opens at most: reading events, reading rows, projecting, and one each to append, follow and hold
/// the lease.
const CONNECTIONS_MAX: i64 = 8 + 16 + 4 + 3;
/// Connections to the database of the keys: those that read, one that writes, and one that watches for revocations.
const VAULT_CONNECTIONS_MAX: i64 = 4 + 2;

pub(super) fn run(data: &Data) -> Result<ExitCode, Failure> {
    let place = data.place();
    let mut visit = Visit::default();
    directory(&mut visit, &place.dir);
    log::incident(&mut visit, &place.dir);
    ways(&mut visit, &place);
    let database = match &place.log {
        LogPlace::Embedded => {
            log::embedded(&mut visit, &place.dir);
            None
        }
        LogPlace::Postgres(database) => Some(database.clone()),
        #[cfg(feature = "kurrentdb")]
        LogPlace::Kurrent(address, database) => {
            kurrentdb::visit(&mut visit, address)?;
            log::kurrent(&mut visit, address, &place.dir);
            database.clone()
        }
    };
    if let Some(database) = database {
        let asked = Client::connect(&database).and_then(|mut client| {
            let has_log = server(&mut visit, &mut client)?;
            if has_log && matches!(place.log, LogPlace::Postgres(_)) {
                log::postgres(&mut visit, &mut client, &place.dir)?;
            }
            Ok((parked_on(&mut client)?, several_subjects::on_server(&mut client)?))
        });
        match asked {
            Ok((parked, several)) => {
                tell_parked(&mut visit, parked);
                tell_several(&mut visit, &several);
            }
            Err(error) => visit.say(Found::Bad, "database", error),
        }
    } else {
        match parked_in(&place.dir.join("read.db")) {
            Ok(parked) => tell_parked(&mut visit, parked),
            Err(error) => visit.say(Found::Note, "parked streams", format!("they cannot be counted: {error}")),
        }
        match several_subjects::in_file(&place.dir.join("read.db")) {
            Ok(several) => tell_several(&mut visit, &several),
            Err(error) => visit.say(Found::Note, "userIds", format!("they cannot be looked at: {error}")),
        }
    }
    visit.of = "keys: ";
    root(&mut visit, &place.keys, &place.dir);
    if let Some(database) = &place.keys.database {
        let asked = Client::connect(database).and_then(|mut client| keys(&mut visit, &mut client));
        if let Err(error) = asked {
            visit.say(Found::Bad, "database", error);
        }
    }
    match visit.bad {
        0 => Ok(ExitCode::SUCCESS),
        bad => {
            tell!("rollcall: {bad} of these must be corrected, each as its line says");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Whether somebody on the way to a server could read or change what is sent.
fn ways(visit: &mut Visit, place: &Place) {
    place.weaknesses().iter().for_each(|weakness| visit.say(Found::Note, "connection", weakness));
    if let Some(weakness) = place.keys.cell.weakness().filter(|_| !place.keys.allow_insecure_vault) {
        visit.say(Found::Bad, "root cell", format!("{weakness}; the service refuses that without --vault-insecure"));
    }
}

fn directory(visit: &mut Visit, dir: &Path) {
    let Ok(metadata) = std::fs::metadata(dir) else {
        return visit.say(Found::Note, "data directory", format!("{} does not exist yet", dir.display()));
    };
    let mode = metadata.permissions().mode() & 0o777;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if is_ours || mode & 0o007 != 0 {
        visit.must(mode & 0o077 == 0, "data directory", format!("mode {mode:o}"), "it holds keys: chmod 700");
    } else {
        let is = format!("mode {mode:o}, of another owner");
        visit.should(mode & 0o070 == 0, "data directory", is, "whoever is in its group can read the keys in it");
    }
    match free(dir) {
        Some(free) => {
            let gib = free >> 30;
            visit.should(free > FREE_MIN, "free space", format!("{gib} GiB"), "a full disk stops commands");
        }
        None => visit.say(Found::Note, "free space", "it cannot be asked"),
    }
}

const PARKED: &str = "select count(*) from (select distinct model, stream from store_parked) as p";

/// How many streams are parked by read models on a server; nothing where there are no read models yet.
fn parked_on(client: &mut Client) -> Result<Option<i64>, database::Error> {
    let there = "select to_regclass('rollcall_read.store_parked') is not null";
    if !client.query_typed_one(there, &[])?.try_get(0)? {
        return Ok(None);
    }
    Ok(client.query_typed_one(&PARKED.replace("store_", "rollcall_read.store_"), &[])?.try_get(0).map(Some)?)
}

/// How many streams are parked by read models in a file, which a running service may be writing.
fn parked_in(file: &Path) -> Result<Option<i64>, rusqlite::Error> {
    if !file.is_file() {
        return Ok(None);
    }
    let connection = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.query_row(PARKED, [], |row| row.get(0)).map(Some)
}

/// A note and not a failure, because a service that does not start would help nobody. Readiness reports it as well.
fn tell_parked(visit: &mut Visit, parked: Option<i64>) {
    let Some(parked) = parked else { return };
    let advice = "read models leave their events out, and /health/ready fails; see `rollcall parked list`";
    visit.should(parked == 0, "parked streams", parked, advice);
}

/// No failure: whatever is done about such a userId covers all of it.
fn tell_several(visit: &mut Visit, several: &[String]) {
    for one in several {
        let advice = "an erasure or an export covers all of them; `rollcall verify` names every such userId";
        visit.say(Found::Note, "userId with several subjects", format!("{one}; {advice}"));
    }
}

/// Bytes free to this user, as `df` says.
fn free(dir: &Path) -> Option<u64> {
    let output = std::process::Command::new("df").args(["--output=avail", "-B1"]).arg(dir).output().ok()?;
    String::from_utf8(output.stdout).ok()?.lines().nth(1)?.trim().parse().ok()
}

/// Reads the settings of the server in one statement.
const ASKED: &str = "select current_setting('server_version_num')::int as number, current_setting('server_version') as version,
    current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes,
    current_setting('synchronous_commit') as synchronous_commit, current_setting('max_connections')::bigint as connections,
    pg_is_in_recovery() as standby, (select rolsuper from pg_roles where rolname = current_user) as superuser,
    current_user::text as role, inet_server_addr() is null as local,
    coalesce((select ssl from pg_stat_ssl where pid = pg_backend_pid()), false) as tls,
    to_regclass('rollcall_log.event') is not null as has_log";

/// Settings that write statements or their values to the server's log: the values that write nothing, and what the others do.
const LEAKS: [(&str, &[&str], &str); 7] = [
    ("log_statement", &["none", "ddl"], "statements of events go to the server's log; personal data in them is sealed"),
    ("log_min_duration_statement", &["-1"], "slow statements are logged, with 0 every one"),
    ("log_min_duration_sample", &["-1"], "some slow statements are logged"),
    ("log_transaction_sample_rate", &["0"], "some transactions are logged"),
    ("log_parameter_max_length_on_error", &["0"], "parameters of errors are logged"),
    ("auto_explain.log_min_duration", &["-1"], "plans of slow statements are logged with their texts"),
    ("pgaudit.log", &["none", ""], "statements are logged; personal data in them is sealed"),
];

/// Settings that cancel what takes long, and what they would break. Appends set shorter limits of their own.
const TIMEOUTS: [(&str, &str); 5] = [
    ("statement_timeout", "a rebuild takes long"),
    ("lock_timeout", "a rebuild waits for its turn, and so does a node that starts meanwhile"),
    (
        "idle_in_transaction_session_timeout",
        "a rebuild copies in one transaction, which waits for this node now and then",
    ),
    ("idle_session_timeout", "a connection that shows that a node is alive says nothing for long"),
    ("transaction_timeout", "a rebuild copies each read model in one transaction"),
];

/// Rights on events that the role has and must not have.
const RIGHTS: &str = "select has_column_privilege('rollcall_log.event', 'core', 'update'),
    has_table_privilege('rollcall_log.event', 'delete'), has_table_privilege('rollcall_log.event', 'truncate'),
    pg_get_userbyid(c.relowner) = current_user,
    (select count(*) from pg_trigger where tgrelid = c.oid and not tgisinternal and tgenabled in ('O', 'A'))
    from pg_class c where c.oid = 'rollcall_log.event'::regclass";

/// Whether it holds a log.
fn server(visit: &mut Visit, client: &mut Client) -> Result<bool, database::Error> {
    let row = client.query_typed_one(ASKED, &[])?;
    settings(visit, client, &row, CONNECTIONS_MAX)?;
    if !row.get::<_, bool>("has_log") {
        visit.say(Found::Note, "log", "it is not there yet: `rollcall database prepare`, or the first start, makes it");
        return Ok(false);
    }
    let rights = client.query_typed_one(RIGHTS, &[])?;
    let may: [bool; 4] = std::array::from_fn(|at| rights.get(at));
    let is = if may.contains(&true) { "it may rewrite history" } else { "it may add to history and not rewrite it" };
    visit.should(
        !may.contains(&true),
        "rights of the role",
        is,
        "use a role that `rollcall database prepare --role` made able to do no more than it must",
    );
    let triggers: i64 = rights.get(4);
    visit.must(triggers == 3, "triggers", format!("{triggers} of 3"), "somebody took off what keeps events immutable");
    Ok(true)
}

/// Rights on keys that the role has and does not need.
const VAULT_RIGHTS: &str = "select has_table_privilege('rollcall_vault.destruction', 'update'),
    has_table_privilege('rollcall_vault.destruction', 'delete'),
    has_table_privilege('rollcall_vault.subject_key', 'delete'),
    pg_get_userbyid(c.relowner) = current_user, to_regclass('rollcall_log.event') is not null
    from pg_class c where c.oid = 'rollcall_vault.destruction'::regclass";

fn keys(visit: &mut Visit, client: &mut Client) -> Result<(), database::Error> {
    let row = client.query_typed_one(ASKED, &[])?;
    settings(visit, client, &row, VAULT_CONNECTIONS_MAX)?;
    let flushes: &str = row.get("synchronous_commit");
    visit.must(flushes != "off", "flushed commits", flushes, "a lost key is lost data");
    let there = client.query_typed_one("select to_regclass('rollcall_vault.vault') is not null", &[]);
    if !there?.get::<_, bool>(0) {
        let advice = "it is not there yet: `rollcall database prepare-vault`, or the first start, makes it";
        visit.say(Found::Note, "vault", advice);
        return Ok(());
    }
    let rights = client.query_typed_one(VAULT_RIGHTS, &[])?;
    let may = (0..4).any(|at| rights.get::<_, bool>(at));
    visit.should(
        !may,
        "rights of the role",
        if may { "it may change the ledger of destructions" } else { "it may add to the ledger of destructions" },
        "use a role that `rollcall database prepare-vault --role` made able to do no more than it must",
    );
    let apart = !rights.get::<_, bool>(4);
    let is = if apart { "apart from the log" } else { "that of the log" };
    visit.should(
        apart,
        "database",
        is,
        "one backup then holds both what is sealed and the keys, as long as its root lives",
    );
    Ok(())
}

/// Whether the root of the keys can be read and destroyed.
fn root(visit: &mut Visit, keys: &KeyOptions, dir: &Path) {
    for (path, doubt) in keys.cell.files(dir) {
        let (path, what) = (path.display(), "mount of the root cell");
        match doubt {
            None => visit.say(Found::Good, what, format!("{path} is overwritten in place")),
            Some(Doubt::Doubtful(why)) => visit.say(Found::Note, what, format!("{path}: {why}")),
            Some(Doubt::Unsuitable(why)) => visit.say(Found::Bad, what, format!("{path}: {why}; use ext4 or xfs")),
        }
    }
    #[cfg(feature = "vault-transit")]
    if matches!(keys.cell, CellSpec::Transit(_)) {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        for name in ["VAULT_ADDR", "VAULT_TOKEN"] {
            let set = is_set(name) || name == "VAULT_TOKEN" && is_set("VAULT_TOKEN_FILE");
            visit.must(set, name, if set { "set" } else { "not set" }, "the root cell is in HashiCorp Vault");
        }
        return;
    }
    visit.must(
        keys.database.is_none(),
        "root cell",
        "a file of this machine",
        "keys in a database serve many nodes: use --root-cell transit:KEY",
    );
}

fn settings(visit: &mut Visit, client: &mut Client, row: &Row, connections_max: i64) -> Result<(), database::Error> {
    let text = |name: &str| row.try_get::<_, &str>(name);
    let number: i32 = row.try_get("number")?;
    visit.must(number >= 130_000, "version", text("version")?, "13 or later is needed");
    visit.must(text("fsync")? == "on", "fsync", text("fsync")?, "without it a power cut loses what was acknowledged");
    let whole = text("full_page_writes")?;
    visit.must(whole == "on", "full_page_writes", whole, "without it a power cut can tear pages");
    let flushes = text("synchronous_commit")?;
    visit.should(
        !matches!(flushes, "off" | "local"),
        "synchronous_commit",
        flushes,
        "appends are flushed nevertheless; with a synchronous standby, `local` does not wait for it",
    );
    let connections: i64 = row.try_get("connections")?;
    let needed = format!("{connections}, of which a node takes up to {connections_max}");
    visit.must(connections > connections_max, "max_connections", needed, "raise it");
    let primary = !row.try_get::<_, bool>("standby")?;
    visit.must(primary, "primary", primary, "a standby takes no commands");
    let superuser = row.try_get::<_, Option<bool>>("superuser")?.unwrap_or(false);
    visit.should(!superuser, "role", text("role")?, "a superuser can do anything to the log");
    let (tls, local): (bool, bool) = (row.try_get("tls")?, row.try_get("local")?);
    visit.should(tls || local, "TLS", if tls { "on" } else { "off" }, "use sslmode=verify-full");
    // Not every server has each of them.
    for (name, silent, advice) in LEAKS {
        if let Some(is) = setting(client, name)? {
            visit.should(silent.contains(&is.as_str()), name, &is, advice);
        }
    }
    for (name, advice) in TIMEOUTS {
        if let Some(is) = setting(client, name)? {
            visit.should(is == "0", name, &is, advice);
        }
    }
    Ok(())
}

/// What a setting is; nothing where the server does not know it.
fn setting(client: &mut Client, name: &str) -> Result<Option<String>, database::Error> {
    Ok(client.query_typed_one("select current_setting($1, true)", &[(&name, Type::TEXT)])?.try_get(0)?)
}
