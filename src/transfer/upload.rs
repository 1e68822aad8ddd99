//! Brings in the records that a caller sends, as an operation whose progress is recorded.
//!
//! The records are taken from the body while it arrives, and none is kept on the way: what was not done yet is in the
//! caller's hands, who sends the same records again under the same idempotency key to go on. So there is no copy of personal
//! data that an erasure would have to reach.

use std::io::Read;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use rollcall_schemas::ids::ImportId;
use rollcall_schemas::import::{Kind, OnConflict};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::apply::{Outcome, execute_patiently};
use super::checkpoint::Counts;
use super::handle::{Handled, Handler, Numbered, reported};
use super::order::Order;
use super::source::read_records;
use super::{Error, Format, Why};
use crate::crash_point;
use crate::domain::import::Progress;
use crate::engine::{self, Caller, Engine, IdempotencyKey};
use crate::tasks;

/// Records of one import that are under way at the same time: far fewer than the decider takes at once, so that the
/// commands of others stand between them.
const AT_ONCE_MAX: usize = 16;
/// Records that are read ahead.
const READ_AHEAD: usize = 16;
/// The longest record, in bytes.
pub const RECORD_MAX: u64 = 1 << 16;
/// After so many records, or so long after the first of them, it is recorded what became of them.
const CHUNK: usize = 500;
const RECORDED_EVERY: Duration = Duration::from_secs(1);
/// So many refused records, or bytes of them, are answered at once. Then the import waits for the next call.
const REFUSED_MAX: usize = 1_000;
const REFUSED_BYTES_MAX: usize = 1 << 20;
/// What the body is called in errors.
const BODY: &str = "the body";

/// An import that a caller sends.
pub struct Upload<'u> {
    /// What records it.
    pub engine: &'u Engine,
    /// Who sends it.
    pub caller: &'u Caller,
    /// What the records are about.
    pub kind: Kind,
    /// How they are written.
    pub format: Format,
    /// What happens to a record about something that is there already.
    pub on_conflict: OnConflict,
    /// Which import, and how many records it has dealt with: these are not done again. `None`: every record is only checked.
    pub import: Option<(ImportId, u64)>,
    /// How a refused record is told in what is recorded.
    pub word: fn(&Why) -> &'static str,
}

/// What became of the records that one call sent.
#[derive(Debug)]
pub struct Sent {
    /// How many came to what.
    pub counts: Counts,
    /// Those that were refused, with number and problem. Corrected, they can be imported.
    pub refused: Vec<Map<String, Value>>,
    /// Whether the whole body was dealt with.
    pub is_complete: bool,
    /// The log holds what was recorded up to this position.
    pub position: u64,
}

/// Records whose results are recorded together.
struct Chunk {
    /// How many records of the import were dealt with before.
    from: u64,
    counts: Counts,
    refused: Vec<(u64, String)>,
}

impl Chunk {
    fn after(from: u64) -> Self {
        Self { from, counts: Counts::default(), refused: vec![] }
    }
}

/// Why a chunk has no further records.
enum Filled {
    /// It has as many as are recorded together, or they took long enough.
    Chunk,
    /// The body has none.
    Last,
    /// The service stops, or too many were refused.
    Early,
    /// The service cannot take one.
    Failed(Error),
}

impl Upload<'_> {
    /// Deals with the records of a body until it ends, too many were refused, or `stop`. `bytes` counts what was received.
    ///
    /// # Errors
    /// The body breaks off or is not of the expected form, the service cannot take commands, or another call sends the same
    /// import. What was done is recorded, and a call that sends the same records goes on from there.
    pub async fn run(
        &self,
        body: impl Read + Send + 'static,
        bytes: Arc<AtomicU64>,
        stop: impl Future<Output = ()>,
    ) -> Result<Sent, Error> {
        let (import, skipped) = self.import.map_or((Uuid::nil(), 0), |(import, reached)| (import.0, reached));
        let (reading, mut records) = read_ahead(body, self.format, skipped);
        let caller = &Caller { correlation: import, ..self.caller.clone() };
        let handler = Handler {
            engine: self.engine,
            caller,
            kind: self.kind.into(),
            from: None,
            on_conflict: self.on_conflict.into(),
            dry_run: self.import.is_none(),
            import,
            order: Order::default(),
        };
        let mut stop = pin!(stop);
        let recorder = Recorder { upload: self, caller, attempt: Uuid::new_v4(), bytes: &bytes };
        let mut sent = Sent { counts: Counts::default(), refused: vec![], is_complete: true, position: 0 };
        let (mut chunk, mut report_bytes) = (Chunk::after(skipped), 0);
        let failed = loop {
            let filling = (&mut chunk, &mut sent, &mut report_bytes);
            match self.fill(&handler, &mut records, filling, stop.as_mut()).await {
                Filled::Chunk => chunk = recorder.record(chunk, false, &mut sent).await?,
                Filled::Last => {
                    break reading.await.map_err(|error| engine::Error::Unavailable(error.to_string()))?.err();
                }
                Filled::Early => {
                    sent.is_complete = false;
                    break None;
                }
                Filled::Failed(error) => break Some(error),
            }
        };
        recorder.record(chunk, failed.is_none() && sent.is_complete, &mut sent).await?;
        failed.map_or(Ok(sent), Err)
    }

    /// Deals with the records of one chunk. When it answers, none is under way: one that waits for its turn may hold what is needed
    /// to record the chunk, such as a connection to the log.
    async fn fill(
        &self,
        handler: &Handler<'_>,
        records: &mut mpsc::Receiver<Numbered>,
        (chunk, sent, report_bytes): (&mut Chunk, &mut Sent, &mut usize),
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Filled {
        {
            let due = tokio::time::sleep(RECORDED_EVERY);
            let source = stream::unfold(&mut *records, async |records| Some((records.recv().await?, records)));
            let some = source.take_until(due).take(CHUNK);
            let mut handled = pin!(some.map(|record| handler.handle(record)).buffered(AT_ONCE_MAX));
            loop {
                let next = tokio::select! {
                    next = handled.next() => next,
                    () = &mut stop => return Filled::Early,
                };
                match next {
                    None => break,
                    Some(Err(error)) => return Filled::Failed(error),
                    Some(Ok(next)) => *report_bytes += self.settle(next, chunk, sent),
                }
                crash_point::reach("import.handled");
                if sent.refused.len() >= REFUSED_MAX || *report_bytes >= REFUSED_BYTES_MAX {
                    return Filled::Early;
                }
            }
        }
        if records.is_closed() && records.is_empty() { Filled::Last } else { Filled::Chunk }
    }

    /// Counts a record; answers how many bytes it adds to the answer.
    fn settle(&self, handled: Handled, chunk: &mut Chunk, sent: &mut Sent) -> usize {
        chunk.counts.add(&handled.outcome);
        sent.counts.add(&handled.outcome);
        let (Outcome::Refused(why, problem), Some(record)) = (handled.outcome, handled.refused) else { return 0 };
        chunk.refused.push((handled.number, format!("refused:{}", (self.word)(&why))));
        let line = reported(handled.number, record, &problem);
        let length = serde_json::to_vec(&line).map_or(0, |line| line.len());
        sent.refused.push(line);
        length
    }
}

/// Records what became of the records of one call.
struct Recorder<'r> {
    upload: &'r Upload<'r>,
    caller: &'r Caller,
    /// Tells this call's recordings from those of another one.
    attempt: Uuid,
    bytes: &'r AtomicU64,
}

impl Recorder<'_> {
    /// Records a chunk and answers the next one. Of a dry run nothing is recorded.
    async fn record(&self, chunk: Chunk, ends: bool, sent: &mut Sent) -> Result<Chunk, Error> {
        let Chunk { from, counts, refused, .. } = chunk;
        let reached = from + counts.records();
        if let Some((import, _)) = self.upload.import.filter(|_| counts.records() > 0 || ends) {
            let key = format!("import\n{import}\n{from}\n{ends}\n{}", self.attempt);
            let idempotency = Some(IdempotencyKey { key, content: vec![] });
            let caller = Caller { idempotency, ..self.caller.clone() };
            let (Counts { done, skipped, .. }, bytes) = (counts, self.bytes.load(Ordering::Relaxed));
            let progress = Progress { import, from, done, skipped, refused, bytes, ends };
            let recorded = execute_patiently(self.upload.engine, &caller, &progress).await?;
            crash_point::reach("import.recorded");
            sent.position = sent.position.max(recorded.position);
        }
        Ok(Chunk::after(reached))
    }
}

type Reading = tasks::Started<Result<(), Error>>;

/// Reads the body on a thread of its own; the first `skipped` records are left out.
fn read_ahead(body: impl Read + Send + 'static, format: Format, skipped: u64) -> (Reading, mpsc::Receiver<Numbered>) {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let reading = tasks::spawn_blocking(move || {
        let mut number = 0;
        read_records(Path::new(BODY), body, format, RECORD_MAX, &mut |found| {
            number += 1;
            number <= skipped || sender.blocking_send((number, found)).is_ok()
        })
    });
    (reading, receiver)
}
