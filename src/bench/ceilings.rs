//! What nothing on this machine can beat: the bare web framework, and a bare group commit. And the log alone beside it.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::Bytes;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::database::{self, Database};
use crate::eventlog::{Append, EventLog, Item, NewEvent};
use crate::tasks;

/// Bytes of a row, or of an event.
const BODY: usize = 1_000;
/// Most that is committed together.
const BATCH_MAX: usize = 512;

/// A bare server with two routes: JSON hello, and echo behind a signature check.
pub(super) fn bare_server(workers: usize) -> std::io::Result<(SocketAddr, actix_web::dev::Server)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = HttpServer::new(|| {
        App::new()
            .route("/hello", web::get().to(async || HttpResponse::Ok().json(serde_json::json!({"hello": "world"}))))
            .route("/echo", web::post().to(echo))
    })
    .workers(workers)
    .disable_signals()
    .listen(listener)?
    .run();
    Ok((address, server))
}

async fn echo(request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = [super::SECRET, header("nonce"), header("timestamp")].concat();
    let digest = hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, signed.as_bytes()));
    if digest != header("signature") {
        return HttpResponse::Unauthorized().finish();
    }
    HttpResponse::Ok().content_type("application/json").body(body)
}

/// Transactions per second of a bare SQLite group commit: one writer, so many producers that each wait for their row
/// of about 1 KiB to be durable.
pub(super) fn bare_group_commit(dir: &Path, producers: usize, time: Duration) -> Result<f64, rusqlite::Error> {
    let mut connection = rusqlite::Connection::open(dir.join("bare.db"))?;
    connection.execute_batch(
        "pragma journal_mode=wal; pragma synchronous=full; pragma wal_autocheckpoint=4000;
         create table event (position integer primary key, body blob not null);",
    )?;
    let (submit, submitted) = mpsc::channel::<mpsc::SyncSender<()>>();
    let until = Instant::now() + time;
    let threads: Vec<_> = (0..producers)
        .map(|_| {
            let submit = submit.clone();
            std::thread::spawn(move || {
                let (done, is_done) = mpsc::sync_channel(1);
                while Instant::now() < until && submit.send(done.clone()).is_ok() && is_done.recv().is_ok() {}
            })
        })
        .collect();
    drop(submit);
    let body = vec![7_u8; BODY];
    let (mut written, began) = (0_u32, Instant::now());
    while let Ok(first) = submitted.recv() {
        let batch: Vec<_> = std::iter::once(first).chain(submitted.try_iter().take(BATCH_MAX - 1)).collect();
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("insert into event (body) values (?1)")?;
            for _ in &batch {
                insert.execute([&body])?;
                written += 1;
            }
        }
        transaction.commit()?;
        batch.iter().for_each(|done| {
            let _ = done.send(());
        });
    }
    let rate = f64::from(written) / began.elapsed().as_secs_f64();
    for thread in threads {
        let _ = thread.join();
    }
    Ok(rate)
}

/// Transactions per second of a bare group commit in `PostgreSQL`: one connection, so many producers that each wait for
/// their row of about 1 KiB to be durable.
pub(super) async fn bare_group_commit_on(
    database: &Database,
    producers: usize,
    time: Duration,
) -> Result<f64, super::Error> {
    let client = database.connect(None).await?;
    let run = async |sql: &str| client.batch_execute(sql).await.map_err(database::Error::from);
    run("drop table if exists rollcall_bench").await?;
    run("create table rollcall_bench (position bigint primary key, body bytea not null)").await?;
    let (submit, mut submitted) = tokio::sync::mpsc::channel::<tokio::sync::oneshot::Sender<()>>(producers);
    let until = Instant::now() + time;
    for _ in 0..producers {
        let submit = submit.clone();
        tasks::spawn(async move {
            while Instant::now() < until {
                let (done, is_done) = tokio::sync::oneshot::channel();
                if submit.send(done).await.is_err() || is_done.await.is_err() {
                    return;
                }
            }
        });
    }
    drop(submit);
    let body = vec![7_u8; BODY];
    let (mut written, began, mut batch) = (0_i64, Instant::now(), Vec::with_capacity(BATCH_MAX));
    while submitted.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let positions: Vec<i64> = (written..).take(batch.len()).collect();
        let bodies = vec![&body[..]; batch.len()];
        let insert = "insert into rollcall_bench select * from unnest($1, $2)";
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&positions, Type::INT8_ARRAY), (&bodies, Type::BYTEA_ARRAY)];
        client.execute_typed(insert, &params).await.map_err(database::Error::from)?;
        written += i64::try_from(batch.len()).unwrap_or_default();
        for done in batch.drain(..) {
            let _ = done.send(());
        }
    }
    let took = began.elapsed();
    run("drop table rollcall_bench").await?;
    #[allow(clippy::cast_precision_loss)]
    Ok(written as f64 / took.as_secs_f64())
}

/// Appends per second through the port to the log, of events as large as the rows of the bare database: each is the first
/// one of its stream.
pub(super) async fn log_alone(log: Arc<dyn EventLog>, producers: usize, time: Duration) -> Result<f64, super::Error> {
    let (until, began) = (Instant::now() + time, Instant::now());
    let core = Bytes::from(vec![7_u8; BODY]);
    let streams = Arc::new(AtomicU64::new(0));
    let producing: Vec<_> = (0..producers)
        .map(|_| {
            let (log, core, streams) = (log.clone(), core.clone(), streams.clone());
            tasks::spawn(async move {
                let mut appended = 0_u32;
                while Instant::now() < until {
                    let subject = subject(streams.fetch_add(1, Ordering::Relaxed));
                    log.append(vec![item(subject, core.clone())]).await?;
                    appended += 1;
                }
                Ok::<_, super::Error>(appended)
            })
        })
        .collect();
    let mut appended = 0;
    for producer in producing {
        appended += producer.await.map_err(std::io::Error::other)??;
    }
    Ok(f64::from(appended) / began.elapsed().as_secs_f64())
}

/// The subject of this number, named as those of users are: 256 that are made together begin with the same random bytes, and
/// they are taken in their order (`privacy/key_tree/page_key.rs`).
fn subject(number: u64) -> Uuid {
    let (page, within) = (number / 256, number % 256);
    let [.., within] = within.to_be_bytes();
    let mut bytes = [0; 16];
    // Golden-ratio hashing: no two pages are alike, and they lie anywhere.
    bytes[..8].copy_from_slice(&page.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    (bytes[6], bytes[7]) = (0, within);
    bytes[8..].copy_from_slice(&Uuid::new_v4().into_bytes()[8..]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

fn item(subject: Uuid, core: Bytes) -> Item {
    let recorded_at = chrono::DateTime::UNIX_EPOCH;
    let event = NewEvent { id: Uuid::now_v7(), name: "user.registered", version: 1, recorded_at, core, blobs: None };
    let append = Append { stream: format!("user-{subject}"), expected: 0, events: vec![event] };
    Item { appends: vec![append], ..Item::default() }
}
