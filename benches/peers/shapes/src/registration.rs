//! What is stored: as large, and as like what was stored before, as what the log's writer has packed.

use clap::ValueEnum;
use rand::rngs::SmallRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};

/// The packed name of a stream: a UUID, and the number of its shape.
pub(crate) type Stream = [u8; 17];

/// Sizes of what a registration's events take, as the log's file of 378,000 registrations has them.
const CORES: [usize; 2] = [218, 39];
const BLOBS: usize = 283;

/// How streams are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Naming {
    /// The time comes first, so that streams that are made together lie beside each other.
    ByTime,
    /// Every stream lies anywhere.
    AtRandom,
}

/// An event as it is stored.
pub(crate) struct Event {
    pub(crate) id: [u8; 16],
    pub(crate) name: u8,
    pub(crate) core: Vec<u8>,
    pub(crate) blobs: Option<Vec<u8>>,
}

/// An append of two events to a stream that is new.
pub(crate) struct Registration {
    pub(crate) stream: Stream,
    pub(crate) recorded_at: i64,
    pub(crate) events: [Event; 2],
}

/// Makes registrations, the same ones each time.
pub(crate) struct Registrations {
    random: SmallRng,
    naming: Naming,
    made: usize,
    streams: Vec<Stream>,
}

impl Registrations {
    pub(crate) fn new(naming: Naming) -> Self {
        Self { random: SmallRng::seed_from_u64(1), naming, made: 0, streams: Vec::new() }
    }

    pub(crate) fn made(&self) -> usize {
        self.made
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    fn text(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    pub(crate) fn make(&mut self, count: usize) -> Vec<Registration> {
        (0..count).map(|_| self.make_one()).collect()
    }

    fn make_one(&mut self) -> Registration {
        // Sixteen of a millisecond.
        let recorded_at = 1_796_000_000_000 + i64::try_from(self.made / 16).unwrap_or(i64::MAX);
        let mut stream: Stream = self.bytes();
        if self.naming == Naming::ByTime {
            stream[..6].copy_from_slice(&recorded_at.to_be_bytes()[2..]);
        }
        stream[16] = 1;
        self.made += 1;
        self.streams.push(stream);
        let [first, second] = CORES;
        let events = [
            Event { id: self.bytes(), name: 3, core: self.text(first), blobs: Some(self.text(BLOBS)) },
            Event { id: self.bytes(), name: 4, core: self.text(second), blobs: None },
        ];
        Registration { stream, recorded_at, events }
    }

    /// So many different streams that were made, wherever they are.
    pub(crate) fn sample(&mut self, count: usize) -> Vec<Stream> {
        let all = self.streams.len();
        let mut sample: Vec<_> = (0..count).map(|_| self.streams[self.random.random_range(0..all)]).collect();
        sample.sort_unstable();
        sample.dedup();
        sample
    }
}
