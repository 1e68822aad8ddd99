//! A new database of PostgreSQL for each that is measured, removed afterwards.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sqlx::postgres::PgConnectOptions;
use tokio_postgres::{Client, Config, NoTls};

use crate::cluster::Cluster;
use crate::cpu;
use crate::measure::{Store, median};

/// So many tell what the disk is like.
pub(crate) const LONE_COMMITS: usize = 101;

/// A cluster.
pub(crate) struct Server {
    address: String,
    config: Config,
    options: PgConnectOptions,
    places: AtomicU32,
    /// The first process of a cluster of this program's own.
    pid: Option<u32>,
}

/// An empty database in it.
pub(crate) struct Place {
    name: String,
    /// As other programs are told of it.
    pub(crate) address: String,
    /// How tokio-postgres reaches it.
    pub(crate) config: Config,
    /// How sqlx reaches it.
    pub(crate) options: PgConnectOptions,
    /// Connections in a pool.
    pub(crate) pool: u32,
    pid: Option<u32>,
}

impl Server {
    /// The cluster at an address. Nothing is asked of it yet.
    pub(crate) fn new(address: &str, cluster: Option<&Cluster>) -> Result<Self> {
        let pid = cluster.map(Cluster::pid).transpose()?;
        let config = Config::from_str(address).context("--postgres is no address")?;
        let options = PgConnectOptions::from_str(address).context("--postgres is no address")?;
        Ok(Self { address: address.to_owned(), config, options, places: AtomicU32::new(0), pid })
    }

    /// Which one it is. Refuses one that does not flush: its figures would be of something else.
    pub(crate) async fn describe(&self) -> Result<String> {
        let client = connect(&self.config).await?;
        let setting = async |name: &str| -> Result<String> {
            Ok(client.query_one("SELECT current_setting($1)", &[&name]).await?.get(0))
        };
        let (fsync, commit) = (setting("fsync").await?, setting("synchronous_commit").await?);
        if fsync != "on" || !["on", "local", "remote_write", "remote_apply"].contains(&commit.as_str()) {
            bail!("fsync is {fsync} and synchronous_commit {commit}: set both on, here is measured what is durable");
        }
        Ok(format!("PostgreSQL {}: fsync {fsync}, synchronous_commit {commit}", setting("server_version").await?))
    }

    /// A new database, after what the one before has left to write is written.
    pub(crate) async fn place(&self, pool: u32) -> Result<Place> {
        let client = connect(&self.config).await?;
        // Only some users may; the others measure with a little more noise.
        client.batch_execute("CHECKPOINT").await.ok();
        let name = name(self.places.fetch_add(1, Ordering::Relaxed));
        client.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        let mut config = self.config.clone();
        config.dbname(&name);
        let options = self.options.clone().database(&name);
        Ok(Place { address: named(&self.address, &name), config, options, name, pool, pid: self.pid })
    }

    /// Removes a database.
    pub(crate) async fn remove(&self, place: Place) -> Result<()> {
        self.drop_database(&place.name).await
    }

    /// Removes the last database, if an interrupted run left it.
    pub(crate) async fn clear(&self) -> Result<()> {
        match self.places.load(Ordering::Relaxed).checked_sub(1) {
            Some(last) => self.drop_database(&name(last)).await,
            None => Ok(()),
        }
    }

    /// Whoever is still connected.
    async fn drop_database(&self, name: &str) -> Result<()> {
        let client = connect(&self.config).await?;
        Ok(client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await?)
    }
}

/// What this run's databases are called: no other's.
fn name(number: u32) -> String {
    format!("rollcall_peers_{}_{number}", std::process::id())
}

/// An address with another database.
fn named(address: &str, database: &str) -> String {
    let (before, parameters) = address.split_once('?').unwrap_or((address, ""));
    let server =
        before.rsplit_once('/').filter(|(server, _)| !server.ends_with('/')).map_or(before, |(server, _)| server);
    let parameters = if parameters.is_empty() { String::new() } else { format!("?{parameters}") };
    format!("{server}/{database}{parameters}")
}

impl Store for Place {
    async fn lone_commit(&self) -> Result<Duration> {
        let client = connect(&self.config).await?;
        client.batch_execute("CREATE TABLE IF NOT EXISTS lone_commit (id int)").await?;
        let insert = client.prepare("INSERT INTO lone_commit VALUES (1)").await?;
        let mut waits = Vec::new();
        for _ in 0..LONE_COMMITS {
            let began = Instant::now();
            client.execute(&insert, &[]).await?;
            waits.push(began.elapsed());
        }
        Ok(median(waits))
    }

    async fn analyze(&self) -> Result<()> {
        Ok(connect(&self.config).await?.batch_execute("ANALYZE").await?)
    }

    async fn count(&self, table: &str) -> Result<u64> {
        let client = connect(&self.config).await?;
        let count: i64 = client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await?.get(0);
        Ok(u64::try_from(count)?)
    }

    fn server_cpu(&self) -> Result<Option<Duration>> {
        self.pid.map(cpu::of_family).transpose()
    }
}

/// A connection, served until it is dropped.
pub(crate) async fn connect(config: &Config) -> Result<Client> {
    let (client, connection) = config.connect(NoTls).await.context("cannot connect to PostgreSQL")?;
    tokio::spawn(connection);
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn an_address_names_another_database_of_the_same_server() {
        assert_eq!(named("postgres://peers@%2Ftmp%2Fx/postgres", "a"), "postgres://peers@%2Ftmp%2Fx/a");
        assert_eq!(
            named("postgres://u:p@host:5432/db?sslmode=disable", "a"),
            "postgres://u:p@host:5432/a?sslmode=disable"
        );
        assert_eq!(named("postgres://u@host", "a"), "postgres://u@host/a");
    }
}
