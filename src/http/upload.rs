//! A body that is dealt with while it arrives, whatever its length: bounded in bytes, in memory, and in how long it may stand
//! still.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, Read};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::web;
use bytes::{Buf as _, Bytes};
use flate2::read::MultiGzDecoder;
use futures_util::StreamExt as _;
use rollcall_schemas::ids::AppId;
use tokio::sync::mpsc;

use super::BODY_WAIT;
use super::bodies::{Bodies, Reserved};

/// Bytes that such a body may have, without its compression.
pub(super) const UPLOAD_MAX: u64 = 256 * 1024 * 1024;
/// How long it may take to deal with one.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(3_600);
/// What one takes of the memory for bodies: pieces that wait, records under way, and those that are told again.
const MEMORY: usize = 4 * 1024 * 1024;
/// How long the rest of one is read and dropped that is not wanted.
const DISCARD_WAIT: Duration = Duration::from_secs(10);
/// Pieces that wait to be read.
const PIECES_MAX: usize = 4;

/// A body that whoever answers the request reads, if it does.
pub(super) struct Upload {
    payload: RefCell<Option<web::Payload>>,
    is_whole: Cell<bool>,
    /// Its length, as the head of the request announces it.
    pub(super) length: Option<u64>,
}

/// What arrives: a piece, a failure, or `None` at its end.
type Piece = Option<io::Result<Bytes>>;

/// The side of a body that is read. Its reader must be on a thread that may wait.
pub(super) struct Body {
    pub(super) reader: Box<dyn Read + Send>,
    /// Bytes that were read, as they arrived.
    pub(super) received: Arc<AtomicU64>,
    /// Takes what arrives to the reader; it must be polled meanwhile.
    pub(super) pump: Pump,
}

/// The side of a body that arrives.
pub(super) struct Pump {
    upload: Rc<Upload>,
    payload: web::Payload,
    pieces: mpsc::Sender<Piece>,
    _reserved: Reserved,
}

impl Upload {
    pub(super) fn new(payload: Option<web::Payload>, length: Option<u64>) -> Rc<Self> {
        Rc::new(Self { payload: RefCell::new(payload), is_whole: Cell::new(false), length })
    }

    /// Gives back what nobody began to read.
    pub(super) fn untouched(&self) -> Option<web::Payload> {
        self.payload.take()
    }

    /// Whether it was read to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.is_whole.get()
    }

    /// Begins to read it; `None`: other bodies take the memory, or it was begun.
    pub(super) fn open(self: &Rc<Self>, bodies: &Bodies, app: &AppId, is_gzip: bool) -> Option<Body> {
        let reserved = bodies.reserve(app, MEMORY)?;
        let payload = self.payload.take()?;
        let (pieces, arriving) = mpsc::channel(PIECES_MAX);
        let received = Arc::<AtomicU64>::default();
        let arriving = Arriving { pieces: arriving, piece: Bytes::new(), has_ended: false, received: received.clone() };
        let plain: Box<dyn Read + Send> =
            if is_gzip { Box::new(Gzip::Arriving(Some(arriving))) } else { Box::new(arriving) };
        let reader = Box::new(Limited { reader: plain, left: UPLOAD_MAX });
        Some(Body { reader, received, pump: Pump { upload: self.clone(), payload, pieces, _reserved: reserved } })
    }
}

impl Pump {
    /// Takes what arrives to the reader until the body ends, breaks off, or stands still for too long; `false`: the reader wants
    /// no more.
    pub(super) async fn run(&mut self) -> bool {
        loop {
            let piece = match tokio::time::timeout(BODY_WAIT, self.payload.next()).await {
                Err(_) => Some(Err(ErrorKind::TimedOut.into())),
                Ok(None) => {
                    self.upload.is_whole.set(true);
                    None
                }
                Ok(Some(Ok(bytes))) => Some(Ok(bytes)),
                Ok(Some(Err(_))) => Some(Err(ErrorKind::UnexpectedEof.into())),
            };
            let is_last = !matches!(piece, Some(Ok(_)));
            let is_wanted = self.pieces.send(piece).await.is_ok();
            if is_last || !is_wanted {
                return is_last;
            }
        }
    }

    /// Reads and drops the rest, for as long as that may take, so that a caller who is still sending gets the answer: a
    /// connection that is closed over unread bytes may lose it.
    pub(super) async fn discard(mut self) {
        let rest = async {
            while let Some(piece) = self.payload.next().await {
                if piece.is_err() {
                    return false;
                }
            }
            true
        };
        if tokio::time::timeout(DISCARD_WAIT, rest).await == Ok(true) {
            self.upload.is_whole.set(true);
        }
    }
}

/// What arrives, as a reader has it.
struct Arriving {
    pieces: mpsc::Receiver<Piece>,
    piece: Bytes,
    has_ended: bool,
    received: Arc<AtomicU64>,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            if self.has_ended {
                return Ok(0);
            }
            match self.pieces.blocking_recv() {
                Some(Some(piece)) => self.piece = piece?,
                Some(None) => self.has_ended = true,
                // Nobody brings the rest.
                None => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        self.received.fetch_add(count.try_into().unwrap_or_default(), Ordering::Relaxed);
        Ok(count)
    }
}

/// A compressed body. Its decoder reads the first bytes when it is made, which must be on the thread that may wait.
enum Gzip {
    Arriving(Option<Arriving>),
    Decoding(Box<MultiGzDecoder<Arriving>>),
}

impl Read for Gzip {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Self::Arriving(arriving) = self
            && let Some(arriving) = arriving.take()
        {
            *self = Self::Decoding(Box::new(MultiGzDecoder::new(arriving)));
        }
        match self {
            Self::Decoding(decoder) => decoder.read(buffer),
            Self::Arriving(_) => Ok(0),
        }
    }
}

/// Refuses what is too long, which a compressed body does not tell beforehand.
struct Limited<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        let left = self.left.checked_sub(count.try_into().unwrap_or(u64::MAX));
        self.left = left.ok_or(ErrorKind::FileTooLarge)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use actix_web::test::TestRequest;
    use tokio::time::Instant;

    use super::*;
    use crate::http::exchange::tests::stalled;

    #[tokio::test(start_paused = true)]
    async fn an_upload_that_stands_still_for_ten_seconds_is_given_up_and_its_reader_is_told() {
        let (bodies, app) = (Bodies::default(), "chat".parse().unwrap());
        let request = TestRequest::default().to_http_request();
        let upload = Upload::new(Some(stalled(&request, b"one line\n").await), None);
        let Body { mut reader, mut pump, .. } = upload.open(&bodies, &app, false).unwrap();
        let reads = std::thread::spawn(move || {
            let mut lines = String::new();
            (reader.read_to_string(&mut lines).map_err(|error| error.kind()), lines)
        });
        let began = Instant::now();
        assert!(pump.run().await, "that was the last of it");
        assert_eq!(began.elapsed().as_secs(), 10);
        assert_eq!(reads.join().unwrap(), (Err(ErrorKind::TimedOut), "one line\n".to_owned()));
        assert!(!upload.is_whole());
    }
}
