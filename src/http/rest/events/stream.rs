//! The feed as server-sent events: page after page, for as long as the reader takes them and may read them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use bytes::Bytes;
use rollcall_schemas::ids::AppId;
use rollcall_schemas::plain::ApiScope;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::delivery::feed::{self, Feed, Page, Selection, Waiter};
use crate::engine::Engine;
use crate::http::cursor::{Cursor as _, FeedCursor};
use crate::http::rest::problem::{Answer, Problem};
use crate::http::rest::{Call, authenticate};
use crate::tasks;

pub(super) const EVENT_STREAM: &str = "text/event-stream";
/// Most events of one piece of a stream.
const PIECE_MAX: usize = 100;
/// Pieces of a stream that wait for a slow reader.
const PIECES_MAX: usize = 2;
/// A stream says so often that it is there; proxies end what is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a reader may take to make room for the next piece.
const READER_WAIT: Duration = Duration::from_secs(20);

/// Starts a stream behind a position, which must be one that can begin: whoever may not read it is told so by the status.
pub(super) async fn begin(call: &Call<'_>, after: u64, selection: Selection) -> Result<Answer, Problem> {
    let waiter = call.feed.waiter(&call.app.id)?;
    let selection = Selection { limit: selection.limit.min(PIECE_MAX), ..selection };
    let first = call.feed.page(&call.app.id, after, &selection).await?;
    let mut credentials = HeaderMap::new();
    for shown in call.headers.get_all(&AUTHORIZATION) {
        credentials.append(AUTHORIZATION, shown.clone());
    }
    let (out, pieces) = mpsc::channel(PIECES_MAX);
    let (engine, feed, app) = (Arc::clone(call.engine), Arc::clone(call.feed), call.app.id.clone());
    let drain = call.drain.begun();
    tasks::spawn_local(async move {
        let pages = OfFeed { engine, feed, app, credentials, selection, waiter };
        tokio::select! {
            ended = run(pages, first, &out) => match ended {
                Ok(()) => tracing::debug!("a stream of events ended"),
                Err(reason) => tracing::info!(reason, "a stream of events ended"),
            },
            _ = drain => {}
        }
    });
    Ok(Answer::stream(EVENT_STREAM, pieces))
}

/// Where a stream gets its pages from.
trait Pages {
    /// Returns once there may be another event.
    async fn arrival(&mut self);
    /// Whether the reader may still be told.
    fn may_be_told(&self) -> bool;
    /// The page behind a position.
    async fn behind(&self, position: u64) -> Result<Page, feed::Error>;
}

/// The feed of an app, and what its reader has shown.
struct OfFeed {
    engine: Arc<Engine>,
    feed: Arc<Feed>,
    app: AppId,
    credentials: HeaderMap,
    selection: Selection,
    waiter: Waiter,
}

impl Pages for OfFeed {
    async fn arrival(&mut self) {
        self.waiter.arrival().await;
    }

    /// Whether the reader's credentials are still those of the app, with the scopes that it needs.
    fn may_be_told(&self) -> bool {
        let Ok((app, _, rights)) = authenticate(&self.engine, &self.credentials) else { return false };
        let needs_more = self.selection.discloses_to.is_some() && !rights.contains(ApiScope::Compliance);
        app.id == self.app && rights.contains(ApiScope::Server) && !needs_more
    }

    async fn behind(&self, position: u64) -> Result<Page, feed::Error> {
        self.feed.page(&self.app, position, &self.selection).await
    }
}

/// Tells page after page until the reader has gone or may not read any more.
async fn run(mut pages: impl Pages, mut page: Page, out: &mpsc::Sender<io::Result<Bytes>>) -> Result<(), &'static str> {
    let mut retry = "retry: 2000\n";
    let mut heartbeat = Instant::now() + HEARTBEAT;
    loop {
        if !page.events.is_empty() || Instant::now() >= heartbeat || !retry.is_empty() {
            let piece = piece(std::mem::take(&mut retry), &page);
            if out.send_timeout(Ok(piece), READER_WAIT).await.is_err() {
                return Err("the reader has gone or takes nothing");
            }
            heartbeat = Instant::now() + HEARTBEAT;
        }
        if page.is_end {
            tokio::select! {
                () = pages.arrival() => {}
                () = sleep_until(heartbeat) => {}
                () = out.closed() => return Ok(()),
            }
        }
        if !pages.may_be_told() {
            return Err("the credentials are not valid any more");
        }
        page = match pages.behind(page.next).await {
            Ok(next) => next,
            Err(error) => {
                // The reader comes back with its last cursor, and is told what it is then.
                tracing::debug!(%error, "a page of a stream could not be read");
                return Err("a page could not be read");
            }
        };
    }
}

/// Events as the stream tells them. What a page looked at without telling it moves the reader's cursor on as well.
fn piece(retry: &str, page: &Page) -> Bytes {
    let length: usize = page.events.iter().map(|event| event.json.get().len() + 40).sum();
    let mut out = Vec::with_capacity(length + 64);
    out.extend_from_slice(retry.as_bytes());
    for event in &page.events {
        out.extend_from_slice(format!("id: {}\ndata: ", FeedCursor(event.position).encode()).as_bytes());
        out.extend_from_slice(event.json.get().as_bytes());
        out.extend_from_slice(b"\n\n");
    }
    out.extend_from_slice(format!(": up to here\nid: {}\n\n", FeedCursor(page.next).encode()).as_bytes());
    out.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::value::to_raw_value;

    use super::*;
    use crate::delivery::feed::Told;

    fn page(events: &[u64], next: u64) -> Page {
        let told = |position: &u64| Told { position: *position, json: to_raw_value(&position).unwrap() };
        Page { events: events.iter().map(told).collect(), next, is_end: true }
    }

    /// A log to which an event is appended whenever the test says so.
    struct Log(mpsc::Receiver<u64>, std::cell::Cell<u64>);

    impl Pages for Log {
        async fn arrival(&mut self) {
            match self.0.recv().await {
                Some(position) => self.1.set(position),
                None => std::future::pending().await,
            }
        }
        fn may_be_told(&self) -> bool {
            true
        }
        async fn behind(&self, position: u64) -> Result<Page, feed::Error> {
            let head = self.1.get().max(position);
            Ok(if head > position { page(&[head], head) } else { page(&[], head) })
        }
    }

    async fn after(began: Instant, pieces: &mut mpsc::Receiver<io::Result<Bytes>>) -> (u64, String) {
        let piece = pieces.recv().await.unwrap().unwrap();
        (began.elapsed().as_secs(), String::from_utf8(piece.to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_has_nothing_to_tell_says_every_fifteen_seconds_that_it_is_there() {
        let (append, appended) = mpsc::channel(1);
        let (out, mut pieces) = mpsc::channel(PIECES_MAX);
        let began = Instant::now();
        let reads = async {
            let up_to_here = format!(": up to here\nid: {}\n\n", FeedCursor(7).encode());
            assert_eq!(after(began, &mut pieces).await, (0, format!("retry: 2000\n{up_to_here}")));
            for seconds in [15, 30] {
                assert_eq!(after(began, &mut pieces).await, (seconds, up_to_here.clone()));
            }
            tokio::time::sleep(Duration::from_secs(10)).await;
            append.send(8).await.unwrap();
            let (at, told) = after(began, &mut pieces).await;
            assert!(at == 40 && told.contains("data: 8\n"), "{at} {told}");
            assert_eq!(after(began, &mut pieces).await.0, 55, "counted from what was told last");
            drop(pieces);
        };
        let (ended, ()) = tokio::join!(run(Log(appended, 0.into()), page(&[], 7), &out), reads);
        assert_eq!(ended, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_for_twenty_seconds_loses_its_stream() {
        let (_append, appended) = mpsc::channel(1);
        let (out, _untaken) = mpsc::channel(PIECES_MAX);
        let began = Instant::now();
        let ended = run(Log(appended, 0.into()), page(&[], 7), &out).await;
        assert_eq!(ended, Err("the reader has gone or takes nothing"));
        // The first piece and the first heartbeat have room, the second heartbeat has not.
        assert_eq!(began.elapsed(), HEARTBEAT * 2 + READER_WAIT);
    }
}
