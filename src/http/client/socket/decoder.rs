//! Bytes made messages: the web server's library decodes frames, here their parts are put together and what waits is bounded.

use actix_http::ws::{Codec, Frame, Item, ProtocolError};
use bytes::BytesMut;
use tokio_util::codec::Decoder as _;

use super::FRAME_MAX;
use crate::live::close::Close;

/// Bytes that the head of a frame may have.
const HEAD_MAX: usize = 14;

/// What came from a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A text.
    Text(String),
    /// A sign of life.
    Sign,
    /// It asks for a sign of life.
    Ping(Vec<u8>),
    /// It has ended the connection.
    End,
    /// What no client may send. What follows is not understood.
    Fault(Close),
}

impl Received {
    fn text(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or(Self::Fault(Close::PROTOCOL), Self::Text)
    }
}

/// What a client has sent and is no whole message yet. Of a client that is silent nothing is kept.
pub(super) struct Decoder {
    codec: Codec,
    bytes: BytesMut,
    /// What came of a text in several frames.
    text: Vec<u8>,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { codec: Codec::new().max_size(FRAME_MAX), bytes: BytesMut::new(), text: vec![] }
    }

    /// Adds what has come.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Drops what has come.
    pub(super) fn clear(&mut self) {
        self.bytes = BytesMut::new();
    }

    /// The next message; `None`: more has to come first.
    pub(super) fn next(&mut self) -> Option<Received> {
        loop {
            let frame = match self.codec.decode(&mut self.bytes) {
                Ok(Some(frame)) => frame,
                Ok(None) if self.bytes.is_empty() => {
                    self.clear();
                    return None;
                }
                // The library looks at the length of a frame once all of it is there.
                Ok(None) if self.bytes.len() > HEAD_MAX + FRAME_MAX => return Some(Received::Fault(Close::TOO_LARGE)),
                Ok(None) => return None,
                Err(ProtocolError::Overflow) => return Some(Received::Fault(Close::TOO_LARGE)),
                Err(_) => return Some(Received::Fault(Close::PROTOCOL)),
            };
            if let Some(received) = self.received(frame) {
                return Some(received);
            }
        }
    }

    fn received(&mut self, frame: Frame) -> Option<Received> {
        Some(match frame {
            Frame::Text(bytes) => Received::text(bytes.to_vec()),
            Frame::Binary(_) => Received::Fault(Close::PROTOCOL),
            Frame::Continuation(item) => return self.part(item),
            Frame::Ping(bytes) => Received::Ping(bytes.to_vec()),
            Frame::Pong(_) => Received::Sign,
            Frame::Close(_) => Received::End,
        })
    }

    /// A part of a message; that it follows another one is looked at by the library.
    fn part(&mut self, item: Item) -> Option<Received> {
        let (bytes, is_last) = match item {
            Item::FirstBinary(_) => return Some(Received::Fault(Close::PROTOCOL)),
            Item::FirstText(bytes) | Item::Continue(bytes) => (bytes, false),
            Item::Last(bytes) => (bytes, true),
        };
        if self.text.len() + bytes.len() > FRAME_MAX {
            return Some(Received::Fault(Close::TOO_LARGE));
        }
        self.text.extend_from_slice(&bytes);
        is_last.then(|| Received::text(std::mem::take(&mut self.text)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const FINAL_TEXT: u8 = 0x81;

    /// A frame as clients send it, with a mask of zeros.
    fn frame(first: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap();
        [&[first, 0x80 | 126][..], &length.to_be_bytes(), &[0; 4], body].concat()
    }

    fn all(bytes: &[u8]) -> Vec<Received> {
        let mut decoder = Decoder::new();
        decoder.push(bytes);
        std::iter::from_fn(|| decoder.next()).take(100).collect()
    }

    #[test]
    fn a_text_in_several_frames_is_one_message_and_control_frames_may_come_between_them() {
        let bytes =
            [frame(0x01, b"he"), frame(0x89, b"?"), frame(0x00, b"ll"), frame(0x8a, b""), frame(0x80, b"o")].concat();
        let expected = [Received::Ping(b"?".to_vec()), Received::Sign, Received::Text("hello".into())];
        assert_eq!(all(&bytes), expected);
        assert_eq!(all(&frame(0x88, b"")), [Received::End]);
    }

    #[test]
    fn what_is_too_large_is_refused_in_one_frame_in_many_and_before_all_of_it_has_come() {
        let too_large = Some(Received::Fault(Close::TOO_LARGE));
        let most = frame(FINAL_TEXT, &vec![b'x'; FRAME_MAX]);
        assert_eq!(all(&most), [Received::Text("x".repeat(FRAME_MAX))]);
        assert_eq!(all(&frame(FINAL_TEXT, &vec![b'x'; FRAME_MAX + 1])).into_iter().next(), too_large);
        let parts = [frame(0x01, &vec![b'x'; FRAME_MAX]), frame(0x80, b"x")].concat();
        assert_eq!(all(&parts).into_iter().next(), too_large);

        let mut decoder = Decoder::new();
        // It says that 2⁶² bytes follow.
        decoder.push(&[&[FINAL_TEXT, 0xff, 0x40][..], &[0; 7], &[0; 4]].concat());
        let pushed = std::iter::repeat_with(|| {
            decoder.push(&[b'x'; 1_024]);
            decoder.next()
        });
        let (before, refused) = pushed.enumerate().find_map(|(n, next)| Some((n, next?))).unwrap();
        assert_eq!((before, Some(refused)), (FRAME_MAX / 1_024, too_large), "and no more is kept than that");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let parted_binary = frame(0x02, b"x");
        let unmasked = vec![FINAL_TEXT, 1, b'x'];
        let (begun_twice, never_begun) = ([frame(0x01, b"x"), frame(0x01, b"x")].concat(), frame(0x80, b"x"));
        let broken = [frame(0x82, b"x"), frame(FINAL_TEXT, b"\xff"), frame(0x83, b""), frame(0xc1, b"x")];
        for bytes in broken.into_iter().chain([parted_binary, unmasked, begun_twice, never_begun]) {
            assert_eq!(all(&bytes).into_iter().next(), Some(Received::Fault(Close::PROTOCOL)), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn messages_are_the_same_however_their_bytes_are_cut(
            texts in prop::collection::vec("\\PC{0,40}", 1..8), cuts in prop::collection::vec(1_usize..50, 1..200),
        ) {
            let bytes: Vec<u8> = texts.iter().flat_map(|text| frame(FINAL_TEXT, text.as_bytes())).collect();
            let (mut decoder, mut received, mut rest) = (Decoder::new(), vec![], &bytes[..]);
            for cut in cuts.into_iter().chain([bytes.len()]) {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                decoder.push(now);
                received.extend(std::iter::from_fn(|| decoder.next()));
                rest = later;
            }
            prop_assert_eq!(received, texts.into_iter().map(Received::Text).collect::<Vec<_>>());
            prop_assert_eq!(decoder.bytes.capacity(), 0, "nothing is kept");
        }

        #[test]
        fn any_bytes_are_messages_or_faults(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut decoder = Decoder::new();
            decoder.push(&bytes);
            while let Some(received) = decoder.next() {
                if matches!(received, Received::Fault(_)) {
                    decoder.clear();
                }
            }
        }
    }
}
