//! What a process sent before it was killed, and the server hears of only when the next process is there.

use std::time::Duration;

use rollcall::database::Database;
use rollcall::eventlog::postgres::{Mode, Postgres};
use rollcall::eventlog::{Error, EventLog as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use super::history::{append, item};
use crate::support::{App, Cluster, Service};

/// Longer than any wait may be.
const FOR_EVER: Duration = Duration::from_secs(60);
/// What a node says when it appends.
const APPEND: &[u8] = b"rollcall_log.append";

/// Whether appends pass, wait, or have been let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    Held,
    Released,
}

/// Carries bytes between a port and the server. While it holds, an append waits in it, also when whoever sent it is gone.
struct Relay {
    port: u16,
    way: watch::Sender<Way>,
    /// How many appends wait, and how many of them the server has answered.
    held: watch::Receiver<(u32, u32)>,
    _runtime: tokio::runtime::Runtime,
}

impl Relay {
    fn to(cluster: &Cluster) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let ((way, watched), (held, counted)) = (watch::channel(Way::Open), watch::channel((0, 0)));
        let socket = cluster.path(".s.PGSQL.5432");
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, socket.clone(), watched.clone(), held.clone()));
            }
        });
        Self { port, way, held: counted, _runtime: runtime }
    }

    fn address(&self, name: &str) -> String {
        format!("host=127.0.0.1 port={} user=rollcall dbname={name}", self.port)
    }

    fn wait_for(&self, reached: impl Fn((u32, u32)) -> bool) {
        let mut held = self.held.clone();
        let waiting =
            async { tokio::time::timeout(FOR_EVER, held.wait_for(|counts| reached(*counts))).await.map(drop) };
        runtime().block_on(waiting).expect("the append does not come");
    }

    /// Lets the appends go, and waits until the server has done with them.
    fn release(&self) {
        self.way.send_replace(Way::Released);
        self.wait_for(|(held, answered)| held == answered);
    }
}

async fn carry(mut client: TcpStream, socket: String, mut way: watch::Receiver<Way>, held: watch::Sender<(u32, u32)>) {
    let Ok(mut server) = UnixStream::connect(socket).await else { return };
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(count) if count > 0 => {
                    let said = &asked[..count];
                    let appends = said.windows(APPEND.len()).any(|part| part == APPEND);
                    if appends && *way.borrow() == Way::Held {
                        held.send_modify(|(held, _)| *held += 1);
                        drop(way.wait_for(|way| *way == Way::Released).await);
                        // Whoever sent it may be gone: nobody but the server hears of it any more.
                        server.write_all(said).await.unwrap();
                        assert!(server.read(&mut answered).await.unwrap() > 0);
                        held.send_modify(|(_, done)| *done += 1);
                        return;
                    }
                    if server.write_all(said).await.is_err() { return }
                }
                _ => return,
            },
            read = server.read(&mut answered) => match read {
                Ok(count) if count > 0 && client.write_all(&answered[..count]).await.is_ok() => {}
                _ => return,
            },
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn sole_writer(address: &str) -> Postgres {
    let database: Database = address.parse().unwrap();
    let log = Postgres::open(&database, Mode::Append).await.unwrap().with_sole_writer();
    log.fence().await.unwrap();
    log
}

#[test]
fn what_a_dead_process_sent_is_not_appended_behind_the_fence_of_the_next_one() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let relay = Relay::to(&cluster);
    let dead = runtime();
    let log = dead.block_on(async {
        let log = sole_writer(&relay.address(&name)).await;
        append(&log, "s", 0).await;
        log
    });
    relay.way.send_replace(Way::Held);
    dead.spawn(async move { log.append(vec![item("late", 0, 1)]).await });
    relay.wait_for(|(held, _)| held == 1);
    dead.shutdown_background();
    runtime().block_on(async {
        let next = sole_writer(&cluster.address(&name)).await;
        assert_eq!(next.head(), 1);
        tokio::task::block_in_place(|| relay.release());
        assert_eq!(next.latest().await.unwrap(), 1, "it was appended late");
        assert_eq!(append(&next, "late", 0).await, 2);
    });
}

#[test]
fn a_process_whose_place_another_one_has_taken_appends_nothing_and_says_why() {
    let cluster = Cluster::start();
    let address = cluster.address(&cluster.database());
    runtime().block_on(async {
        let first = sole_writer(&address).await;
        append(&first, "s", 0).await;
        let second = sole_writer(&address).await;
        let refused = first.append(vec![item("s", 1, 1)]).await;
        assert!(
            matches!(&refused, Err(Error::Corrupt { reason, .. }) if reason.contains("another process")),
            "{refused:?}"
        );
        assert!(first.broken().is_some(), "it is not used any more");
        assert_eq!(append(&second, "s", 1).await, 2);
        // Nodes that share their keys append side by side again.
        let shared = Postgres::open(&address.parse().unwrap(), Mode::Append).await.unwrap();
        shared.fence().await.unwrap();
        assert_eq!(append(&shared, "s", 2).await, 3);
        assert_eq!(second.latest().await.unwrap(), 3);
        assert_eq!(append(&second, "s", 3).await, 4);
    });
}

#[test]
fn a_user_id_stays_one_person_where_an_append_of_a_killed_process_arrives_late() {
    let cluster = Cluster::start();
    let (name, dir, app) = (cluster.database(), tempfile::tempdir().unwrap(), App::PRODUCTION);
    let relay = Relay::to(&cluster);
    let start = |address: &str| Service::launch_node(dir.path(), &[app], &[], &["--database", address]).unwrap();
    let register = |service: &Service, user: &str| service.register(app, &[user]);
    let mut service = start(&relay.address(&name));
    register(&service, "ada");
    relay.way.send_replace(Way::Held);
    let address = service.address;
    let asking = std::thread::spawn(move || Service::registers(address, app, "bob"));
    relay.wait_for(|(held, _)| held == 1);
    service.kill();
    assert!(!asking.join().unwrap());
    let service = start(&cluster.address(&name));
    register(&service, "bob");
    relay.release();
    register(&service, "bob");
    let registered = cluster.sql(&name, "select count(*) from rollcall_log.event where name = 'user.registered'");
    assert_eq!(registered, "2");
}
