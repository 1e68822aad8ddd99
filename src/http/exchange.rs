//! What every face needs of HTTP itself: bounded bodies, request ids, compression.

use std::future::ready;
use std::io::Write as _;
use std::time::Duration;

use actix_web::body::SizedStream;
use actix_web::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, VARY,
};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{StreamExt as _, stream};
use uuid::Uuid;

use super::BODY_WAIT;

/// Bytes a body may have.
pub(super) const BODY_MAX: usize = 256 * 1024;

/// Bytes from which on an answer is worth compressing.
const GZIP_MIN: usize = 4 * 1024;

/// How long an answer may take to leave before its connection ends.
const LAST_WORDS: Duration = Duration::from_millis(250);

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why a body could not be read. Whatever is left of it is never read: the connection ends with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is longer than [`BODY_MAX`].
    TooLarge,
    /// It did not arrive in time.
    Stalled,
    /// It broke off.
    Broken,
}

/// Reads the whole body.
///
/// # Errors
/// It is too large, too slow or breaks off.
pub(super) async fn body(request: &HttpRequest, payload: web::Payload) -> Result<Bytes, Unread> {
    let announced = request.headers().get(&CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > BODY_MAX as u64) {
        return Err(Unread::TooLarge);
    }
    tokio::time::timeout(BODY_WAIT, collect(payload)).await.unwrap_or(Err(Unread::Stalled))
}

async fn collect(mut payload: web::Payload) -> Result<Bytes, Unread> {
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

/// An answer behind which the connection ends, even in the middle of a body: the web server would keep the socket of a
/// caller that stalls inside a chunk for as long as the caller likes.
pub(super) fn last_words(mut response: HttpResponseBuilder, body: Vec<u8>) -> HttpResponse {
    let length = body.len() as u64;
    let said = stream::once(ready(Ok(Bytes::from(body))));
    let end = stream::once(async {
        tokio::time::sleep(LAST_WORDS).await;
        Err(std::io::Error::from(std::io::ErrorKind::TimedOut))
    });
    response.force_close();
    response.body(SizedStream::new(length, said.chain(Box::pin(end))))
}

/// The caller's `X-Request-ID`, where it can be echoed: at most 36 printable characters.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let id = headers.get(&REQUEST_ID)?;
    let printable = id.as_bytes().iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    (printable && (1..=36).contains(&id.len())).then_some(id)
}

/// What ties the events of a request together: the caller's id where it is a UUID, else a fresh one.
pub(super) fn correlation(request_id: Option<&HeaderValue>) -> Uuid {
    let given = request_id.and_then(|id| Uuid::try_parse_ascii(id.as_bytes()).ok());
    given.unwrap_or_else(Uuid::new_v4)
}

/// Echoes the caller's request id.
pub(super) fn echo(response: &mut HttpResponseBuilder, request: &HttpRequest) {
    if let Some(id) = request_id(request.headers()) {
        response.insert_header((REQUEST_ID.clone(), id.clone()));
    }
}

/// The body, compressed where the client takes gzip and it pays. Short answers, nearly all, are left as they are.
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

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
            let headers = headers(&REQUEST_ID, text);
            assert_eq!(correlation(request_id(&headers)), uuid);
        }
        assert_ne!(correlation(None), correlation(None));
    }

    #[test]
    fn a_long_request_id_is_not_echoed() {
        assert!(request_id(&headers(&REQUEST_ID, "1234567890123456789012345678901234567")).is_none());
        assert!(request_id(&headers(&REQUEST_ID, "any text")).is_some());
    }
}
