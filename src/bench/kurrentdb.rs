//! The log in `KurrentDB` against the bare client of the same server, one after the other.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use eventstore::{AppendToStreamOptions, Client, ClientSettings, DeleteStreamOptions, EventData};
use uuid::Uuid;

use super::{Error, ceilings};
use crate::eventlog::kurrentdb::send_at_once;
use crate::out::say;
use crate::tasks;
use crate::wiring::Place;

/// How many append at once.
const CALLERS: [usize; 4] = [1, 16, 64, 128];
/// Bytes of an event.
const BODY: usize = 1_000;

/// Measures both with each number of callers, and deletes what it appended.
pub(super) async fn measure(address: &str, dir: &Path, time: Duration) -> Result<(), Error> {
    let settings: ClientSettings =
        address.parse().map_err(|_| Error::KurrentDb("it does not take this address".into()))?;
    let client = Client::new(settings).map_err(|error| Error::KurrentDb(error.to_string()))?;
    let stream = format!("rollcall-bench-{}", Uuid::new_v4());
    let log = Place::log_in_stream(address, &stream, dir).await?;
    say!("appends of one event of {BODY} bytes; the bare client appends to one stream for each caller");
    for callers in CALLERS {
        let ours = ceilings::log_alone(log.clone(), callers, time).await?;
        let streams: Vec<_> = (0..callers).map(|caller| format!("{stream}-bare-{callers}-{caller}")).collect();
        let bare = bare(&client, address, &streams, time).await?;
        let ratio = ours / bare;
        say!("{callers:>5} callers: log {ours:>8.0}/s  bare client {bare:>8.0}/s  = {ratio:.2} × bare client");
        delete(&client, &streams).await;
    }
    drop(log);
    delete(&client, &[stream]).await;
    Ok(())
}

/// Appends per second, each of one event; with Nagle's algorithm off, as for the log.
async fn bare(client: &Client, address: &str, streams: &[String], time: Duration) -> Result<f64, Error> {
    append(client, streams.first().map_or("", String::as_str)).await?;
    send_at_once(address)?;
    let (until, began) = (Instant::now() + time, Instant::now());
    let appending: Vec<_> = streams
        .iter()
        .map(|stream| {
            let (client, stream) = (client.clone(), stream.clone());
            tasks::spawn(async move {
                let mut appended = 0_u32;
                while Instant::now() < until {
                    append(&client, &stream).await?;
                    appended += 1;
                }
                Ok::<_, Error>(appended)
            })
        })
        .collect();
    let mut appended = 0;
    for caller in appending {
        appended += caller.await.map_err(std::io::Error::other)??;
    }
    Ok(f64::from(appended) / began.elapsed().as_secs_f64())
}

async fn append(client: &Client, stream: &str) -> Result<(), Error> {
    let event = EventData::binary("rollcall.bench", Bytes::from(vec![7_u8; BODY])).id(Uuid::new_v4());
    let appended = client.append_to_stream(stream, &AppendToStreamOptions::default(), event).await;
    appended.map(drop).map_err(|error| Error::KurrentDb(error.to_string()))
}

/// What is not deleted is told: it may be deleted by hand.
async fn delete(client: &Client, streams: &[String]) {
    for stream in streams {
        if let Err(error) = client.delete_stream(stream.as_str(), &DeleteStreamOptions::default()).await {
            say!("the stream {stream} could not be deleted: {error}");
        }
    }
}
