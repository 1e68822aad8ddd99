//! Where is measured: a new database for each, removed afterwards.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sqlx::postgres::PgConnectOptions;
use tokio_postgres::{Client, Config, NoTls};

/// So many tell what the disk is like.
const LONE_COMMITS: usize = 101;

/// A cluster.
pub(crate) struct Server {
    config: Config,
    options: PgConnectOptions,
    places: AtomicU32,
}

/// An empty database in it.
pub(crate) struct Place {
    name: String,
    /// How tokio-postgres reaches it.
    pub(crate) config: Config,
    /// How sqlx reaches it.
    pub(crate) options: PgConnectOptions,
    /// Connections in a pool.
    pub(crate) pool: u32,
}

impl Server {
    /// The cluster at an address. Nothing is asked of it yet.
    pub(crate) fn new(address: &str) -> Result<Self> {
        let config = Config::from_str(address).context("--postgres is no address")?;
        let options = PgConnectOptions::from_str(address).context("--postgres is no address")?;
        Ok(Self { config, options, places: AtomicU32::new(0) })
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
        Ok(Place { config, options: self.options.clone().database(&name), name, pool })
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

impl Place {
    /// How long one client alone waits for one commit, the median of a few: what the disk is like at the moment.
    pub(crate) async fn lone_commit(&self) -> Result<Duration> {
        let client = connect(&self.config).await?;
        client.batch_execute("CREATE TABLE IF NOT EXISTS lone_commit (id int)").await?;
        let insert = client.prepare("INSERT INTO lone_commit VALUES (1)").await?;
        let mut waits = Vec::new();
        for _ in 0..LONE_COMMITS {
            let began = Instant::now();
            client.execute(&insert, &[]).await?;
            waits.push(began.elapsed());
        }
        waits.sort_unstable();
        Ok(waits[LONE_COMMITS / 2])
    }

    /// Has the planner know what the tables hold.
    pub(crate) async fn analyze(&self) -> Result<()> {
        Ok(connect(&self.config).await?.batch_execute("ANALYZE").await?)
    }

    /// How many rows a table has.
    pub(crate) async fn count(&self, table: &str) -> Result<u64> {
        let client = connect(&self.config).await?;
        let count: i64 = client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await?.get(0);
        Ok(u64::try_from(count)?)
    }
}

/// A connection, served until it is dropped.
pub(crate) async fn connect(config: &Config) -> Result<Client> {
    let (client, connection) = config.connect(NoTls).await.context("cannot connect to PostgreSQL")?;
    tokio::spawn(connection);
    Ok(client)
}
