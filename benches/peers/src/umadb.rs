//! A server of `UmaDB` in a process of its own, over a folder that is removed afterwards.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use umadb_client::UmaDbClient;
use umadb_dcb::DcbEventStoreAsync as _;
use umadb_server::{DEFAULT_DB_FILENAME, ServerOptions, StorageOptions};

use crate::measure::Store;
use crate::{cpu, sqlite};

/// How long it may take to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// A server.
pub(crate) struct Server {
    process: Child,
    directory: TempDir,
    listen: String,
}

/// Is the server until the process is killed.
pub(crate) async fn serve(folder: &Path, listen: &str) -> Result<()> {
    let (_forever, stopped) = tokio::sync::oneshot::channel();
    let storage = StorageOptions { db_path: folder.join(DEFAULT_DB_FILENAME), ..StorageOptions::default() };
    let options = ServerOptions { listen_addr: listen.to_owned(), tls: None, api_key: None, storage };
    umadb_server::start_server_with_options(options, stopped).await.map_err(|error| anyhow!("{error}"))
}

impl Server {
    /// Starts this program again, as the server.
    pub(crate) async fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("rollcall-peers-").tempdir()?;
        // Free at this moment; nobody else takes ports here.
        let listen = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let process = Command::new(std::env::current_exe()?)
            .arg("--serve-umadb")
            .arg(directory.path())
            .args(["--listen", &listen])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut server = Self { process, directory, listen };
        let began = Instant::now();
        while TcpStream::connect(&server.listen).is_err() {
            if began.elapsed() > LISTENS_WITHIN || server.process.try_wait()?.is_some() {
                bail!("the server of UmaDB does not listen");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.listen)
    }
}

impl Store for Server {
    async fn lone_commit(&self) -> Result<Duration> {
        sqlite::lone_commit(self.directory.path())
    }

    async fn analyze(&self) -> Result<()> {
        Ok(())
    }

    /// Positions have no gaps, and begin with one.
    async fn count(&self, _: &str) -> Result<u64> {
        let client = UmaDbClient::new(self.address()).connect_async().await?;
        Ok(client.head().await?.unwrap_or_default())
    }

    fn server_cpu(&self) -> Result<Option<Duration>> {
        cpu::of_family(self.process.id().context("the server of UmaDB has ended")?).map(Some)
    }
}
