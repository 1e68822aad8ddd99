//! Starts an engine over its ports, and stops it with everything acknowledged on disk.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rollcall_projections::store::ReadStore;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::apps::Apps;
use super::beside::KeptBeside;
use super::brake::Brake;
use super::cleared::Cleared;
use super::clock::Clock;
use super::committer::Answering;
use super::connection_notices::ConnectionNotices;
use super::decider::{self, Limits};
use super::directory::Directory;
use super::graph::Graph;
use super::handed_over::HandedOver;
use super::in_flight::InFlight;
use super::leadership::Leadership;
use super::memory::Memory;
use super::nodes::{ForeignAppends, Nodes};
use super::projector::{FlushHint, Projector};
use super::rebuilds::{OnServer, Rebuilds};
use super::restricted::Restricted;
use super::standing::Standings;
use super::{Engine, QUEUE_MAX, committer, projector};
use crate::eventlog::{self, EventLog};
use crate::metrics::Metrics;
use crate::privacy::Vault;
use crate::supervision;
use crate::tasks;

/// Most batches waiting between two stages: small ones pile up while the log is busy, and are appended together.
const BATCHES_MAX: usize = 64;

/// Why an engine does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its read models cannot catch up.
    #[error(transparent)]
    Projector(#[from] super::projector::Error),
    /// Its apps cannot be read.
    #[error(transparent)]
    Engine(#[from] super::Error),
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
    /// The read models hold more than the log: the log was put back to an earlier state.
    #[error(
        "the read models have applied {applied} events but the log holds {head}: the log was rewound; \
         put back the newest log, or run `rollcall rebuild all` if this log is the one to go on with"
    )]
    Rewound {
        /// What the read models hold.
        applied: u64,
        /// What the log holds.
        head: u64,
    },
    /// The read models have applied another event than the log holds there.
    #[error(
        "the read model {model} has applied another event at position {position} than the log holds there: the log was \
         put back and went on another way; run `rollcall rebuild all` if this log is the one to go on with"
    )]
    OtherPast {
        /// Which read model.
        model: &'static str,
        /// Where.
        position: u64,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] crate::eventlog::Error),
}

/// A running engine's threads.
pub struct Service {
    /// The engine.
    pub engine: Arc<Engine>,
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

/// The ports an engine runs over.
pub struct Ports {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The vault.
    pub vault: Arc<dyn Vault>,
    /// The read models.
    pub read: Arc<ReadStore>,
    /// What else is kept about persons.
    pub kept_beside: Vec<Arc<dyn KeptBeside>>,
    /// What read models on a server are built anew with; `None`: they are in a file.
    pub on_server: Option<OnServer>,
}

/// How far the read models are, all of them with events that the log holds.
async fn applied_of_this_log(log: &dyn EventLog, read: &ReadStore) -> Result<u64, Error> {
    let (applied, head) = (projector::applied(read), log.fence().await?);
    if applied > head {
        return Err(Error::Rewound { applied, head });
    }
    for checkpoint in read.checkpoints() {
        let (model, position) = (checkpoint.model, checkpoint.position);
        let Some(event) = checkpoint.event else { continue };
        if log.read_all(position - 1, 1).await?.first().is_none_or(|found| found.id != event.0) {
            return Err(Error::OtherPast { model, position });
        }
    }
    Ok(applied)
}

/// Catches the read models up, reads the apps and starts the loops. Must be called on a Tokio runtime of several
/// threads.
///
/// # Errors
/// The log is corrupt or rewound, a port is unavailable, or a thread cannot be started.
pub async fn start(ports: Ports, limits: Limits) -> Result<Service, Error> {
    let Ports { log, vault, read, kept_beside, on_server } = ports;
    let applied = applied_of_this_log(log.as_ref(), &read).await?;
    let shared = vault.is_shared();
    let directory = Arc::new(Directory::new(vault.clone()));
    let (applied_sender, applied) = watch::channel(applied);
    let flush_hint = Arc::new(FlushHint::default());
    let (restricted, apps) = (Arc::new(Restricted::default()), Arc::new(Apps::default()));
    let (standings, cleared) = (Arc::new(Standings::default()), Arc::new(Cleared::default()));
    let (erasures, foreign_appends) = (Arc::new(Notify::new()), Arc::new(ForeignAppends::default()));
    let (handed_over, metrics) = (Arc::new(HandedOver::default()), Arc::new(Metrics::default()));
    let leadership = Leadership::default();
    leadership.renew(&read).await;
    let projector = Projector {
        log: log.clone(),
        read: read.clone(),
        vault: vault.clone(),
        directory: directory.clone(),
        applied: applied_sender,
        memory: Memory {
            restricted: restricted.clone(),
            standings: standings.clone(),
            cleared: cleared.clone(),
            apps: apps.clone(),
            foreign_appends: shared.then(|| foreign_appends.clone()),
            erasures: erasures.clone(),
            ..Memory::default()
        },
        leadership: leadership.clone(),
        flush_hint: flush_hint.clone(),
        handed_over: handed_over.clone(),
        metrics: metrics.clone(),
    };
    // What comes first is loaded, not followed.
    projector.memory.loaded(u64::MAX);
    projector.catch_up_first(&leadership).await?;
    restricted.load(&read).await.map_err(super::Error::from)?;
    apps.reload(&read, vault.as_ref()).await?;
    projector.memory.loaded(projector::applied(&read));

    let (commands, submitted) = mpsc::channel(QUEUE_MAX);
    let (clock, in_flight) = (Arc::new(Clock::default()), Arc::new(InFlight::default()));
    let ready = Arc::new(AtomicBool::new(true));
    let engine = Arc::new(Engine {
        log: log.clone(),
        vault: vault.clone(),
        read,
        directory: directory.clone(),
        apps: apps.clone(),
        clock: clock.clone(),
        commands,
        in_flight: in_flight.clone(),
        lag_max: limits.lag_max,
        applied,
        flush_hint,
        running: Arc::new(Mutex::new(HashSet::new())),
        erasures: erasures.clone(),
        ready: ready.clone(),
        brake: Brake::default(),
        restricted,
        standings,
        cleared,
        search: super::search::Search::default(),
        nodes: Nodes::new(shared, leadership.clone()),
        metrics: metrics.clone(),
        kept_beside,
        graph: Graph::new(Handle::current(), limits),
        connection_notices: ConnectionNotices::new(metrics.clone()),
        rebuilds: Rebuilds::new(on_server),
    });

    let stop = CancellationToken::new();
    let runtime = Handle::current();
    follow_beside(&engine, &runtime, leadership, &stop);
    let (batches, decided) = mpsc::channel(BATCHES_MAX);
    let (sealed, to_append) = mpsc::channel(BATCHES_MAX);
    let threads = vec![
        supervision::spawn("decider", {
            let in_flight = in_flight.clone();
            move || decider::run(submitted, &batches, &in_flight, &clock, limits, &foreign_appends)
        })?,
        supervision::spawn("sealer", {
            let (vault, in_flight) = (vault.clone(), in_flight.clone());
            move || committer::seal_all(decided, &sealed, vault.as_ref(), &in_flight)
        })?,
        supervision::spawn("appender", {
            let runtime = runtime.clone();
            let answering = Answering { directory, apps, in_flight, erasures, handed_over, metrics };
            move || {
                tasks::block_on(&runtime, committer::append_all(to_append, log.as_ref(), &answering));
                Ok(())
            }
        })?,
        supervision::spawn("projector", {
            let stop = stop.clone();
            move || {
                project(&projector, &runtime, &stop, &ready);
                Ok(())
            }
        })?,
    ];
    Ok(Service { engine, stop, threads })
}

/// Starts what only waits for something to do.
fn follow_beside(engine: &Engine, runtime: &Handle, leadership: Leadership, stop: &CancellationToken) {
    let renewing = leadership.keep_renewing(engine.read.clone(), stop.clone());
    runtime.spawn(supervision::unpanicking("lease", renewing));
    let learning = engine.directory.clone().keep_learning(engine.read.clone(), stop.clone());
    runtime.spawn(supervision::unpanicking("directory", learning));
}

/// Applies events until it is stopped or cannot go on.
fn project(projector: &Projector, runtime: &Handle, stop: &CancellationToken, ready: &AtomicBool) {
    // Of a corrupt log the service still says that it is; an end of the process would only repeat itself.
    if let Err(error) = projector.run(runtime, stop) {
        ready.store(false, Ordering::Release);
        tasks::block_on(runtime, give_up(projector.log.as_ref(), error));
    }
}

/// What becomes of a log that the read models cannot follow any further.
async fn give_up(log: &dyn EventLog, error: projector::Error) {
    match error {
        projector::Error::Log(eventlog::Error::Corrupt { position, reason }) => {
            drop(log.condemn(position, reason).await)
        }
        error => tracing::error!(%error, "the read models stopped for good"),
    }
}

impl Service {
    /// Ends every loop; commands that were accepted are finished first. Blocks: not for an async task.
    pub fn stop(self) {
        let Self { engine, stop, threads } = self;
        engine.ready.store(false, Ordering::Release);
        // A loop that has ended already does not take it, and need not.
        let _ = engine.commands.blocking_send(None);
        stop.cancel();
        for thread in threads {
            let _ = thread.join();
        }
    }

    /// Cancelled when the service stops.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }
}
