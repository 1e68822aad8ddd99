//! The feed of an app: pages, waits for the next event, and a stream of server-sent events, over one cursor.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{ACCEPT, AUTHORIZATION, HeaderMap};
use bytes::Bytes;
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::plain::ApiScope;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};
use utoipa::ToSchema;

use super::Call;
use super::endpoint::Untyped;
use super::paging::PageQuery;
use super::problem::{Answer, Problem};
use crate::delivery::event_type::{self, TypePattern};
use crate::delivery::feed::{self, Feed, Filter, Page, Selection};
use crate::domain::values::{self, Invalid};
use crate::engine::Engine;
use crate::http::cursor::{Cursor as _, FeedCursor};

/// Longest time that a caller may have its call wait for the next event.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(WAIT_SECONDS_MAX as u64);
const WAIT_SECONDS_MAX: u32 = 60;
/// Most events of a page that tells personal values: each read of a person may be recorded.
const PERSONAL_MAX: usize = 200;
/// Most patterns of types.
const PATTERNS_MAX: usize = 50;
/// Most events of one piece of a stream.
const PIECE_MAX: usize = 100;
/// Pieces of a stream that wait for a slow reader.
const PIECES_MAX: usize = 2;
/// A stream says so often that it is there; proxies end what is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a reader may take to make room for the next piece.
const READER_WAIT: Duration = Duration::from_secs(20);

impl From<feed::Error> for Problem {
    fn from(error: feed::Error) -> Self {
        match error {
            feed::Error::Beyond => Self::Invalid(
                "?cursor",
                Invalid::malformed("cursor", "of this log, which has no event where the cursor ended"),
            ),
            feed::Error::Engine(error) => error.into(),
        }
    }
}

/// A page of the feed.
#[derive(Serialize, ToSchema)]
pub(super) struct EventPage<'p> {
    /// CloudEvents 1.0, the earliest first.
    #[schema(value_type = Vec<Untyped>)]
    events: Vec<&'p RawValue>,
    /// The cursor behind them; there is always one.
    next: String,
}

/// What a call asks for.
struct EventQuery {
    after: u64,
    selection: Selection,
    wait: Duration,
}

fn types(given: &str) -> Result<Vec<TypePattern>, Problem> {
    let malformed = |problem: &'static str| Problem::Invalid("?type", Invalid::malformed("type", problem));
    let patterns: Vec<_> = given.split(',').filter(|pattern| !pattern.is_empty()).collect();
    if patterns.is_empty() || patterns.len() > PATTERNS_MAX {
        return Err(malformed("1 to 50 patterns such as `rollcall.user.*`, with commas between them"));
    }
    let parsed = patterns.into_iter().map(str::parse);
    parsed.map(|pattern| pattern.map_err(|error: event_type::Malformed| malformed(error.expected()))).collect()
}

impl EventQuery {
    fn read(call: &Call<'_>) -> Result<Self, Problem> {
        let asked = PageQuery::<FeedCursor>::read(call.query)?;
        let mut filter = Filter::default();
        if let Some(given) = call.value("type") {
            filter.types = types(&given)?;
        }
        if let Some(given) = call.value("subject") {
            let malformed = |_| Invalid::malformed("subject", "the `subject` of an event");
            let subject = given.parse().map_err(|e: uuid::Error| Problem::Invalid("?subject", malformed(e)))?;
            filter.subject = Some(SubjectRef(subject));
        }
        let wait = match call.value("wait_seconds") {
            None => Duration::ZERO,
            Some(given) => {
                let range = values::Problem::OutOfRange { min: 0, max: WAIT_SECONDS_MAX.into() };
                let seconds = given.parse::<u32>().ok().filter(|seconds| *seconds <= WAIT_SECONDS_MAX);
                let seconds = seconds.ok_or(Problem::Invalid("?wait_seconds", Invalid::new("wait_seconds", range)))?;
                Duration::from_secs(seconds.into())
            }
        };
        let mut limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
        let discloses_to = match call.value("include").as_deref() {
            None | Some("") => None,
            Some("personal") => {
                call.needs(ApiScope::Compliance)?;
                limit = limit.min(PERSONAL_MAX);
                Some(call.caller.clone())
            }
            Some(_) => return Err(Problem::Invalid("?include", Invalid::malformed("include", "`personal`"))),
        };
        let after = asked.cursor.map_or(0, |FeedCursor(position)| position);
        Ok(Self { after, selection: Selection { filter, limit, discloses_to }, wait })
    }
}

/// `GET /events`: the events of the app after a cursor. With `wait_seconds` the answer waits for the next one; with `Accept:
/// text/event-stream` it goes on for as long as the caller takes it.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let mut asked = EventQuery::read(call)?;
    let accepted = call.headers.get_all(&ACCEPT).filter_map(|value| value.to_str().ok());
    if accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with(EVENT_STREAM)) {
        // A browser that connects again says where it was; the address it asks is the first one.
        if let Some(last) = call.headers.get("last-event-id") {
            let malformed = || Invalid::malformed("Last-Event-ID", "the `id` of an event of this stream");
            let given = last.to_str().ok().and_then(FeedCursor::decode);
            let FeedCursor(after) = given.ok_or_else(|| Problem::Invalid("Last-Event-ID", malformed()))?;
            asked.after = after;
        }
        return stream(call, asked).await;
    }
    let page = page_in_time(call, &asked).await?;
    let events = page.events.iter().map(|event| &*event.json).collect();
    Answer::query(&EventPage { events, next: FeedCursor(page.next).encode() })
}

/// The next page that has an event, or whatever there is when the time is over or the service stops.
async fn page_in_time(call: &Call<'_>, asked: &EventQuery) -> Result<Page, Problem> {
    let (feed, app, mut after) = (call.feed, &call.app.id, asked.after);
    if asked.wait.is_zero() {
        return Ok(feed.page(app, after, &asked.selection).await?);
    }
    let (until, mut waiter) = (Instant::now() + asked.wait, feed.waiter(app)?);
    loop {
        let page = feed.page(app, after, &asked.selection).await?;
        if !page.events.is_empty() || Instant::now() >= until || call.drain.has_begun() {
            return Ok(page);
        }
        after = page.next;
        if page.is_end {
            let arrival = async {
                tokio::select! {
                    () = waiter.arrival() => {}
                    _ = call.drain.begun() => {}
                }
            };
            if timeout_at(until, arrival).await.is_err() {
                return Ok(page);
            }
        }
    }
}

const EVENT_STREAM: &str = "text/event-stream";

/// Starts a stream, which must be one that can begin: whoever may not read it is told so by the status.
async fn stream(call: &Call<'_>, asked: EventQuery) -> Result<Answer, Problem> {
    let waiter = call.feed.waiter(&call.app.id)?;
    let selection = Selection { limit: asked.selection.limit.min(PIECE_MAX), ..asked.selection };
    let first = call.feed.page(&call.app.id, asked.after, &selection).await?;
    let mut credentials = HeaderMap::new();
    for shown in call.headers.get_all(&AUTHORIZATION) {
        credentials.append(AUTHORIZATION, shown.clone());
    }
    let (out, pieces) = mpsc::channel(PIECES_MAX);
    let (engine, feed, app) = (Arc::clone(call.engine), Arc::clone(call.feed), call.app.id.clone());
    let drain = call.drain.begun();
    actix_web::rt::spawn(async move {
        let stream = Stream { engine, feed, app, credentials, selection, out };
        tokio::select! {
            ended = stream.run(first, waiter) => match ended {
                Ok(()) => tracing::debug!("a stream of events ended"),
                Err(reason) => tracing::info!(reason, "a stream of events ended"),
            },
            _ = drain => {}
        }
    });
    Ok(Answer::stream(EVENT_STREAM, pieces))
}

/// A stream under way.
struct Stream {
    engine: Arc<Engine>,
    feed: Arc<Feed>,
    app: AppId,
    credentials: HeaderMap,
    selection: Selection,
    out: mpsc::Sender<io::Result<Bytes>>,
}

impl Stream {
    /// Tells page after page until the reader has gone or may not read any more.
    async fn run(&self, mut page: Page, mut waiter: feed::Waiter) -> Result<(), &'static str> {
        let mut retry = "retry: 2000\n";
        let mut heartbeat = Instant::now() + HEARTBEAT;
        loop {
            if !page.events.is_empty() || Instant::now() >= heartbeat || !retry.is_empty() {
                self.send(piece(std::mem::take(&mut retry), &page)).await?;
                heartbeat = Instant::now() + HEARTBEAT;
            }
            if page.is_end {
                tokio::select! {
                    () = waiter.arrival() => {}
                    () = sleep_until(heartbeat) => {}
                    () = self.out.closed() => return Ok(()),
                }
            }
            if !self.may_go_on() {
                return Err("the credentials are not valid any more");
            }
            page = match self.feed.page(&self.app, page.next, &self.selection).await {
                Ok(next) => next,
                Err(error) => {
                    // The reader comes back with its last cursor, and is told what it is then.
                    tracing::debug!(%error, "a page of a stream could not be read");
                    return Err("a page could not be read");
                }
            };
        }
    }

    async fn send(&self, piece: Bytes) -> Result<(), &'static str> {
        match self.out.send_timeout(Ok(piece), READER_WAIT).await {
            Ok(()) => Ok(()),
            Err(_) => Err("the reader has gone or takes nothing"),
        }
    }

    /// Whether the reader's credentials are still those of the app, with the scopes that it needs.
    fn may_go_on(&self) -> bool {
        let Ok((app, _, scopes)) = super::authenticate(&self.engine, &self.credentials) else { return false };
        let needs_more = self.selection.discloses_to.is_some() && !scopes.contains(&ApiScope::Compliance);
        app.id == self.app && scopes.contains(&ApiScope::Server) && !needs_more
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
