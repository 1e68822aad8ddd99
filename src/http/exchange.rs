//! What every face needs of HTTP itself: bounded bodies, request ids, compression.

use std::future::ready;
use std::io::Write as _;
use std::ops::Deref;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use actix_web::body::{MessageBody as _, SizedStream};
use actix_web::http::ConnectionType;
use actix_web::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, VARY,
};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt as _, stream};
use rollcall_schemas::ids::AppId;
use uuid::Uuid;

use super::BODY_WAIT;
use super::bodies::{Bodies, Reserved};
use super::upload::Upload;
use crate::engine;

/// Bytes a body may have.
pub(super) const BODY_MAX: usize = 256 * 1024;

/// Shorter answers are not compressed: they leave in one or two packets anyway.
const GZIP_MIN: usize = 1_024;

/// Longest unread body that is read and dropped, so that a caller that was refused can use its connection again.
const DISCARD_MAX: usize = 64 * 1024;
/// How long a caller that was refused may take to send them.
const DISCARD_WAIT: Duration = Duration::from_secs(2);
/// How long an answer may take that reads the log from its beginning.
pub(super) const REPLAY_MAX: Duration = Duration::from_secs(600);
/// How long an answer may take to leave before its connection ends.
const LAST_WORDS: Duration = Duration::from_millis(250);

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why a body could not be read. The rest of it is not read: the connection is closed after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is longer than [`BODY_MAX`].
    TooLarge,
    /// It did not arrive in time.
    Stalled,
    /// It broke off.
    Broken,
    /// The bodies of other calls use all the memory that is allowed for bodies.
    NoSpace,
}

/// The length of the body, as the head of the request announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Announced {
    Bytes(u64),
    /// In chunks; their sum is not known before the last one.
    Chunks,
}

impl Announced {
    fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key(&TRANSFER_ENCODING) {
            return Self::Chunks;
        }
        let length = headers.get(&CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Self::Bytes(length.unwrap_or(0))
    }
}

/// What became of the body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nothing of it was read.
    Untouched,
    /// All of it was read.
    Whole,
    /// It could not be read to its end.
    GivenUp,
}

/// The body of a request. It is read only after the head was accepted.
pub(super) struct Incoming {
    announced: Announced,
    /// Absent once somebody else reads it.
    payload: Option<web::Payload>,
    progress: Progress,
    /// Where whoever answers reads the body while it arrives.
    upload: Option<Rc<Upload>>,
}

/// A body, with the memory that is reserved for it.
pub(super) struct Body {
    bytes: Bytes,
    _reserved: Reserved,
}

impl Body {
    /// That of a request whose body is read while it arrives.
    pub(super) fn none(bodies: &Bodies, app: &AppId) -> Option<Self> {
        Some(Self { bytes: Bytes::new(), _reserved: bodies.reserve(app, 0)? })
    }
}

impl Deref for Body {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Incoming {
    pub(super) fn new(request: &HttpRequest, payload: web::Payload) -> Self {
        let announced = Announced::of(request.headers());
        let progress = if announced == Announced::Bytes(0) { Progress::Whole } else { Progress::Untouched };
        Self { announced, payload: Some(payload), progress, upload: None }
    }

    /// Gives what comes after the head to somebody else, who reads it; `None`: it was read.
    pub(super) fn take(&mut self) -> Option<web::Payload> {
        self.progress = Progress::Whole;
        self.payload.take()
    }

    /// Leaves the body to whoever answers the request.
    pub(super) fn upload(&mut self) -> Rc<Upload> {
        let length = if let Announced::Bytes(length) = self.announced { Some(length) } else { None };
        let upload = Upload::new(self.payload.take(), length);
        self.upload = Some(upload.clone());
        upload
    }

    /// Reads the whole body of a call of an app.
    ///
    /// # Errors
    /// It is too large, too slow or breaks off, or there is no memory for it at the moment.
    pub(super) async fn read(&mut self, bodies: &Bodies, app: &AppId) -> Result<Body, Unread> {
        let length = match self.announced {
            Announced::Chunks => BODY_MAX,
            Announced::Bytes(length) => match usize::try_from(length) {
                Ok(length) if length <= BODY_MAX => length,
                _ => {
                    self.progress = Progress::GivenUp;
                    return Err(Unread::TooLarge);
                }
            },
        };
        let mut reserved = bodies.reserve(app, length).ok_or(Unread::NoSpace)?;
        let read =
            tokio::time::timeout(BODY_WAIT, collect(self.payload.as_mut())).await.unwrap_or(Err(Unread::Stalled));
        self.progress = if read.is_ok() { Progress::Whole } else { Progress::GivenUp };
        let bytes = read?;
        reserved.shrink_to(bytes.len());
        Ok(Body { bytes, _reserved: reserved })
    }

    /// Called with the answer before it is sent. A small body that was not read is read and dropped, so that the connection
    /// can carry the next request; otherwise the connection is closed after the answer. Closing always would be simpler,
    /// but clients with a connection pool report a closed connection as a failure.
    pub(super) async fn settle(mut self, mut response: HttpResponse) -> HttpResponse {
        if let Some(upload) = self.upload.take() {
            self.payload = upload.untouched();
            if self.payload.is_none() {
                self.progress = if upload.is_whole() { Progress::Whole } else { Progress::GivenUp };
            }
        }
        if self.progress == Progress::Untouched {
            let small = !matches!(self.announced, Announced::Bytes(length) if length > DISCARD_MAX as u64);
            let discarded = tokio::time::timeout(DISCARD_WAIT, discard(self.payload.as_mut()));
            if small && discarded.await == Ok(true) {
                self.progress = Progress::Whole;
            }
        }
        match (self.progress, self.announced) {
            (Progress::Whole, _) => response,
            // The web server would go on reading for as long as the caller sends.
            (_, Announced::Chunks) => last_words(response),
            (_, Announced::Bytes(_)) => {
                response.head_mut().set_connection_type(ConnectionType::Close);
                response
            }
        }
    }
}

/// Reads a small body to its end without keeping it; `false`: it is not small, or broke off.
async fn discard(payload: Option<&mut web::Payload>) -> bool {
    let Some(payload) = payload else { return false };
    let mut discarded = 0;
    while let Some(chunk) = payload.next().await {
        discarded += match chunk {
            Ok(chunk) => chunk.len(),
            Err(_) => return false,
        };
        if discarded > DISCARD_MAX {
            return false;
        }
    }
    true
}

async fn collect(payload: Option<&mut web::Payload>) -> Result<Bytes, Unread> {
    let Some(payload) = payload else { return Err(Unread::Broken) };
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Unread::Broken)?;
        if first.len() + rest.len() + chunk.len() > BODY_MAX {
            return Err(Unread::TooLarge);
        }
        // Nearly every body arrives in one piece, which is then not copied.
        if first.is_empty() && rest.is_empty() {
            first = chunk;
            continue;
        }
        if rest.is_empty() {
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&chunk);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// Closes the connection after the answer, even if the request's body has not ended: the web server would keep the
/// connection of a caller that stalls inside a chunk open for as long as the caller likes.
fn last_words(mut response: HttpResponse) -> HttpResponse {
    response.head_mut().set_connection_type(ConnectionType::Close);
    response.map_body(|_, body| match body.try_into_bytes() {
        Ok(bytes) => {
            let length = bytes.len() as u64;
            let said = stream::once(ready(Ok(bytes)));
            let end = stream::once(async {
                tokio::time::sleep(LAST_WORDS).await;
                Err(std::io::Error::from(std::io::ErrorKind::TimedOut))
            });
            SizedStream::new(length, said.chain(Box::pin(end))).boxed()
        }
        Err(body) => body,
    })
}

/// An answer, if it is made in time. What was begun for it is given up; a command that was taken goes on by itself, and it
/// is not known here whether it was recorded.
///
/// # Errors
/// It was not made in time.
pub(super) async fn in_time<T>(max: Duration, answer: impl Future<Output = T>) -> Result<T, engine::Error> {
    let late = |_| engine::Error::Ambiguous(format!("the request was not answered within {} s", max.as_secs_f32()));
    let mut answer = pin!(answer);
    // Many queries are answered from memory at once: then no timer is made.
    match futures_util::poll!(answer.as_mut()) {
        Poll::Ready(answered) => Ok(answered),
        Poll::Pending => tokio::time::timeout(max, answer).await.map_err(late),
    }
}

/// The caller's `X-Request-ID`, where it can be echoed: at most 36 printable characters.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let id = headers.get(&REQUEST_ID)?;
    let printable = id.as_bytes().iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    (printable && (1..=36).contains(&id.len())).then_some(id)
}

/// What a request is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestName {
    /// What ties its events and its lines in the log together: the caller's id where it is a UUID, else a fresh one. The log
    /// does not hold what else a caller may have written there.
    pub(super) correlation: Uuid,
}

impl RequestName {
    /// Names a request; its handlers find the name again.
    pub(super) fn give(request: &HttpRequest) -> Self {
        let given = request_id(request.headers()).and_then(|id| Uuid::try_parse_ascii(id.as_bytes()).ok());
        let name = Self { correlation: given.unwrap_or_else(Uuid::new_v4) };
        request.extensions_mut().insert(name);
        name
    }

    /// Tells the caller: by its own id, or by the one that was made.
    pub(super) fn tell(self, request: &HttpRequest, response: &mut HttpResponse) {
        let made = || HeaderValue::try_from(self.correlation.to_string()).ok();
        if let Some(id) = request_id(request.headers()).cloned().or_else(made) {
            response.headers_mut().insert(REQUEST_ID.clone(), id);
        }
    }
}

/// What ties the events of a request together.
pub(super) fn correlation(request: &HttpRequest) -> Uuid {
    let named = request.extensions().get::<RequestName>().copied();
    named.unwrap_or_else(|| RequestName::give(request)).correlation
}

/// Compresses the body if it is long enough and the client accepts gzip. It must tell no secret: how long a compressed answer is
/// reveals what it has in common with what the caller sent (BREACH). Answers of the Server API that tell a token are too short.
pub(super) fn compressed(response: &mut HttpResponseBuilder, request: &HttpRequest, body: Bytes) -> Bytes {
    if body.len() < GZIP_MIN {
        return body;
    }
    response.insert_header((VARY, HeaderValue::from_static("accept-encoding")));
    if !takes_gzip(request.headers()) {
        return body;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 3), Compression::fast());
    match encoder.write_all(&body).and_then(|()| encoder.finish()) {
        Ok(gzip) => {
            response.insert_header((CONTENT_ENCODING, HeaderValue::from_static("gzip")));
            gzip.into()
        }
        Err(_) => body,
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(&ACCEPT_ENCODING).filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = quality.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok()) == Some(0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use actix_web::FromRequest as _;
    use actix_web::dev;
    use actix_web::test::TestRequest;
    use tokio::time::Instant;

    use super::*;

    /// A body of which this comes, and then nothing.
    pub(in crate::http) async fn stalled(request: &HttpRequest, first: &'static [u8]) -> web::Payload {
        let arrives = stream::once(ready(Ok(Bytes::from_static(first)))).chain(stream::pending());
        let mut payload = dev::Payload::Stream { payload: arrives.boxed_local() };
        web::Payload::from_request(request, &mut payload).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up_after_ten_seconds_and_one_that_nobody_wants_after_two() {
        let (bodies, app, began) = (Bodies::default(), "chat".parse().unwrap(), Instant::now());
        let request = TestRequest::default().insert_header((CONTENT_LENGTH, "100")).to_http_request();
        let mut incoming = Incoming::new(&request, stalled(&request, b"a=").await);
        assert_eq!(incoming.read(&bodies, &app).await.err(), Some(Unread::Stalled));
        assert_eq!(began.elapsed().as_secs(), 10);
        assert!(bodies.reserve(&app, BODY_MAX).is_some(), "its memory is given back");
        let settled = incoming.settle(HttpResponse::Ok().finish()).await;
        assert_eq!(settled.head().connection_type(), ConnectionType::Close);
        let (unwanted, began) = (Incoming::new(&request, stalled(&request, b"a=").await), Instant::now());
        let settled = unwanted.settle(HttpResponse::Ok().finish()).await;
        assert_eq!((settled.head().connection_type(), began.elapsed().as_secs()), (ConnectionType::Close, 2));
    }

    fn headers(name: &HeaderName, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name.clone(), HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn gzip_is_taken_only_by_who_names_it_without_refusing_it() {
        for (value, takes) in
            [("gzip", true), ("br, GZIP;q=0.5", true), ("gzip;q=0", false), ("identity", false), ("deflate", false)]
        {
            assert_eq!(takes_gzip(&headers(&ACCEPT_ENCODING, value)), takes, "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_uuid_given_as_request_id_is_the_correlation_in_either_form() {
        let uuid = Uuid::parse_str("86cb8660-c842-1895-47b5-e7a3f51c776f").unwrap();
        for text in ["86cb8660c842189547b5e7a3f51c776f", "86cb8660-c842-1895-47b5-e7a3f51c776f"] {
            let request = TestRequest::default().insert_header((REQUEST_ID.clone(), text)).to_http_request();
            assert_eq!(correlation(&request), uuid);
        }
        let [one, other] = [(); 2].map(|()| TestRequest::default().to_http_request());
        assert_eq!(correlation(&one), correlation(&one));
        assert_ne!(correlation(&one), correlation(&other));
    }

    #[test]
    fn a_long_request_id_is_not_echoed() {
        assert!(request_id(&headers(&REQUEST_ID, "1234567890123456789012345678901234567")).is_none());
        assert!(request_id(&headers(&REQUEST_ID, "any text")).is_some());
    }
}
