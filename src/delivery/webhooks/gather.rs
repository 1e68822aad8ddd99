//! Has head and body of a request leave together: written one after the other, as the HTTP client does it, they wake their
//! receiver twice, and cost twice the system calls.

use std::fmt;
use std::mem;

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Bytes that are held back at most.
const HELD_MAX: usize = 64 * 1024;

/// Makes connections that gather what is sent.
#[derive(Debug)]
pub(super) struct Gathering;

impl<T: Transport> Connector<T> for Gathering {
    type Out = Gathered<T>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<T>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| Gathered { inner, held: vec![] }))
    }
}

/// A connection that holds back what is sent until an answer is awaited.
pub(super) struct Gathered<T> {
    inner: T,
    held: Vec<u8>,
}

// What is sent may be personal.
impl<T> fmt::Debug for Gathered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathered").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl<T: Transport> Gathered<T> {
    fn send(&mut self, timeout: NextTimeout) -> Result<(), Error> {
        // Nothing of it stays here.
        let held = mem::take(&mut self.held);
        let mut left = &held[..];
        while !left.is_empty() {
            let output = self.inner.buffers().output();
            if output.is_empty() {
                return Err(Error::Io(std::io::ErrorKind::WriteZero.into()));
            }
            let (now, later) = left.split_at(left.len().min(output.len()));
            output[..now.len()].copy_from_slice(now);
            self.inner.transmit_output(now.len(), timeout)?;
            left = later;
        }
        Ok(())
    }
}

impl<T: Transport> Transport for Gathered<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.held.extend_from_slice(&self.inner.buffers().output()[..amount]);
        if self.held.len() > HELD_MAX { self.send(timeout) } else { Ok(()) }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.send(timeout)?;
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.held.is_empty() && self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use ureq::unversioned::transport::LazyBuffers;

    use super::*;

    #[derive(Debug)]
    struct Sent {
        buffers: LazyBuffers,
        pieces: Vec<Vec<u8>>,
    }

    impl Transport for Sent {
        fn buffers(&mut self) -> &mut dyn Buffers {
            &mut self.buffers
        }

        fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
            self.pieces.push(self.buffers.output()[..amount].to_vec());
            Ok(())
        }

        fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
            Ok(true)
        }

        fn is_open(&mut self) -> bool {
            true
        }
    }

    #[test]
    fn head_and_body_leave_together_when_the_answer_is_awaited_and_what_is_long_leaves_before() {
        let timeout = NextTimeout::default();
        let inner = Sent { buffers: LazyBuffers::new(16, 16), pieces: vec![] };
        let mut gathered = Gathered { inner, held: vec![] };
        let send = |gathered: &mut Gathered<Sent>, bytes: &[u8]| {
            gathered.buffers().output()[..bytes.len()].copy_from_slice(bytes);
            gathered.transmit_output(bytes.len(), timeout).unwrap();
        };
        send(&mut gathered, b"a head, ");
        send(&mut gathered, b"a body");
        assert!(gathered.inner.pieces.is_empty() && !gathered.is_open(), "it is not to be used for anything else");
        assert!(gathered.await_input(timeout).unwrap() && gathered.is_open());
        assert_eq!(gathered.inner.pieces, [b"a head, a body"]);
        for _ in 0..=HELD_MAX / 16 {
            send(&mut gathered, &[b'x'; 16]);
        }
        assert_eq!(gathered.inner.pieces[1..].concat().len(), HELD_MAX + 16);
        assert_eq!(format!("{gathered:?}"), "Gathered { held: 0, .. }");
    }
}
