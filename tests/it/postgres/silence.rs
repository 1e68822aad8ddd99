//! A server, or the way to it, that falls silent: connections stay open and nothing is said on them any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rollcall::database::Database;
use rollcall::eventlog::postgres::{Mode, Postgres};
use rollcall::eventlog::{Error, EventLog as _, Outcome};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use super::history::{append, item};
use crate::support::Cluster;

/// Longer than any wait may be.
const FOR_EVER: Duration = Duration::from_secs(120);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(FOR_EVER, test).await.expect("something waits for ever") })
}

/// Carries bytes between a port and the server, until it is told to swallow what the connections of that moment say.
struct Relay {
    port: u16,
    opened: Arc<AtomicUsize>,
    swallowed: watch::Sender<usize>,
}

impl Relay {
    async fn to(cluster: &Cluster) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (opened, (swallowed, watched)) = (Arc::new(AtomicUsize::new(0)), watch::channel(0));
        let (socket, counted) = (cluster.path(".s.PGSQL.5432"), opened.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(carry(client, socket.clone(), number, watched.clone()));
            }
        });
        Self { port, opened, swallowed }
    }

    /// From now on nothing is carried on the connections that are open.
    fn swallow(&self) {
        self.swallowed.send_replace(self.opened.load(Ordering::SeqCst));
    }

    /// From now on nothing is carried on any connection.
    fn freeze(&self) {
        self.swallowed.send_replace(usize::MAX);
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

async fn carry(mut client: TcpStream, socket: String, number: usize, mut swallowed: watch::Receiver<usize>) {
    let Ok(mut server) = UnixStream::connect(socket).await else { return };
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            biased;
            () = async { drop(swallowed.wait_for(|until| number < *until).await) } => break,
            read = client.read(&mut asked) => match read {
                Ok(count) if count > 0 && server.write_all(&asked[..count]).await.is_ok() => {}
                _ => return,
            },
            read = server.read(&mut answered) => match read {
                Ok(count) if count > 0 && client.write_all(&answered[..count]).await.is_ok() => {}
                _ => return,
            },
        }
    }
    // Open, and silent.
    std::future::pending::<()>().await;
}

fn through(relay: &Relay, name: &str) -> Database {
    format!("host=127.0.0.1 port={} user=rollcall dbname={name}", relay.port).parse().unwrap()
}

#[test]
fn what_is_read_on_connections_that_fell_silent_is_refused_and_read_on_new_ones_afterwards() {
    let cluster = Cluster::start();
    let name = cluster.database();
    run(async {
        let relay = Relay::to(&cluster).await;
        let log = Arc::new(Postgres::open(&through(&relay, &name), Mode::Append).await.unwrap());
        append(log.as_ref(), "s", 0).await;
        // As many as the pool has, so that each of its connections is one that is silent then.
        let reads = |count: usize| {
            let log = log.clone();
            async move {
                let reads: Vec<_> = (0..count)
                    .map(|_| {
                        let log = log.clone();
                        tokio::spawn(async move { log.read_stream("s", 0, 9).await })
                    })
                    .collect();
                let mut answers = vec![];
                for read in reads {
                    answers.push(read.await.unwrap());
                }
                answers
            }
        };
        assert!(reads(8).await.iter().all(Result::is_ok));
        relay.swallow();
        let refused = reads(8).await;
        let silent = |answer: &Result<_, Error>| matches!(answer, Err(Error::Unavailable(_)));
        assert!(refused.iter().any(silent), "{refused:?}");
        assert!(reads(8).await.iter().all(Result::is_ok), "the silent ones are not asked again");
        assert_eq!(log.latest().await.unwrap(), 1);
        assert_eq!(log.stored_outcome([0; 32]).await.unwrap(), None);
    });
}

#[test]
fn an_append_whose_answer_was_swallowed_is_looked_up_on_another_connection() {
    let cluster = Cluster::start();
    let name = cluster.database();
    run(async {
        let relay = Relay::to(&cluster).await;
        let log = Postgres::open(&through(&relay, &name), Mode::Append).await.unwrap();
        append(&log, "s", 0).await;
        relay.swallow();
        match log.append(vec![item("s", 1, 1)]).await {
            Ok(outcomes) => assert_eq!(outcomes, [Outcome::Appended { first: 2, last: 2 }]),
            // It never arrived, and never will.
            Err(error) => assert!(matches!(error, Error::Unavailable(_)), "{error}"),
        }
        let head = log.latest().await.unwrap();
        assert_eq!(append(&log, "s", head).await, head + 1);
    });
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_is_left_for_the_next_and_not_tried_first_again() {
    let cluster = Cluster::start();
    let name = cluster.database();
    run(async {
        let (frozen, sound) = (Relay::to(&cluster).await, Relay::to(&cluster).await);
        frozen.freeze();
        let both = format!("host=127.0.0.1,127.0.0.1 port={},{} user=rollcall dbname={name}", frozen.port, sound.port);
        let both: Database = both.parse().unwrap();
        let log = Postgres::open(&both, Mode::Append).await.unwrap();
        let tried = frozen.opened();
        assert!(tried >= 1);
        append(&log, "s", 0).await;
        assert_eq!(log.read_stream("s", 0, 9).await.unwrap().len(), 1);
        drop(both.connect(None).await.unwrap());
        assert_eq!(frozen.opened(), tried);
        let alone: Database = through(&frozen, &name);
        let told = alone.connect(None).await.err().unwrap().to_string();
        assert!(told.contains("does not answer"), "{told}");
        let told =
            tokio::task::spawn_blocking(move || alone.connect_blocking().err().unwrap().to_string()).await.unwrap();
        assert!(told.contains("does not answer"), "{told}");
    });
}
