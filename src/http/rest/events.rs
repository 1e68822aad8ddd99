//! The feed of an app: pages, waits for the next event, and a stream of server-sent events, over one cursor.

use std::time::Duration;

use actix_web::http::header::ACCEPT;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::plain::ApiScope;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::Call;
use super::endpoint::Untyped;
use super::paging::ForwardQuery;
use super::problem::{Answer, Problem};
use crate::delivery::event_type::{self, TypePattern};
use crate::delivery::feed::{self, Filter, Page, Selection};
use crate::domain::values::{self, Invalid};
use crate::http::cursor::{Cursor as _, FeedCursor};

mod stream;

/// Longest time that a caller may have its call wait for the next event.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(WAIT_SECONDS_MAX as u64);
const WAIT_SECONDS_MAX: u32 = 60;
/// Most events of a page that tells personal values: each read of a person may be recorded.
const PERSONAL_MAX: usize = 200;
/// Most patterns of types.
const PATTERNS_MAX: usize = 50;

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
        let asked = ForwardQuery::<FeedCursor>::read(call.query)?;
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
    if accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with(stream::EVENT_STREAM)) {
        // A browser that connects again says where it was; the address it asks is the first one.
        if let Some(last) = call.headers.get("last-event-id") {
            let malformed = || Invalid::malformed("Last-Event-ID", "the `id` of an event of this stream");
            let given = last.to_str().ok().and_then(FeedCursor::decode);
            let FeedCursor(after) = given.ok_or_else(|| Problem::Invalid("Last-Event-ID", malformed()))?;
            asked.after = after;
        }
        return stream::begin(call, asked.after, asked.selection).await;
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
