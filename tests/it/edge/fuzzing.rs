//! What takes bytes from strangers, over a kept corpus and what a mutator makes of it. `cargo fuzz` runs the same functions for
//! longer; what it finds is added to the corpus.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rollcall::http::fuzzing::TARGETS;

/// Inputs that are made of the corpus of each target.
const MUTATIONS: usize = 20_000;
/// Bytes of the longest input.
const LENGTH_MAX: usize = 4_096;
/// What mutations put in: pieces that parsers treat in ways of their own.
const PIECES: &[&[u8]] = &[
    b"",
    b"\0",
    b"\n",
    b"%",
    b"%00",
    b"%ff",
    b"\xff",
    b"\xc3\x28",
    b"{}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b"\\u0000",
    b"null",
    b"-1",
    b"18446744073709551616",
    b"1e999",
    b"=",
    b"==",
    b"&",
    b",",
    b".",
    b"*",
    b"//",
    b"@",
    b"\xef\xbf\xbd",
    b"AAAA",
];

/// SplitMix64: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % (bound.max(1) as u64)).unwrap()
    }
}

/// Changes an input in one place: a bit, a byte, a piece, a cut, a repetition, or the rest of another input.
fn mutate(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], numbers: &mut Numbers) {
    let at = numbers.below(bytes.len() + 1);
    let end = at + numbers.below(bytes.len() + 1 - at);
    match numbers.below(7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
        1 if at < bytes.len() => bytes[at] = u8::try_from(numbers.below(256)).unwrap(),
        2 => drop(bytes.drain(at..end)),
        3 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        4 => {
            let other = &corpus[numbers.below(corpus.len())];
            bytes.truncate(at);
            bytes.extend_from_slice(&other[numbers.below(other.len() + 1)..]);
        }
        _ => drop(bytes.splice(at..end, PIECES[numbers.below(PIECES.len())].iter().copied())),
    }
    bytes.truncate(LENGTH_MAX);
}

#[test]
fn no_bytes_of_a_stranger_break_what_reads_them() {
    let corpus_of = |target: &str| {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|file| std::fs::read(file).unwrap()).collect::<Vec<_>>()
    };
    for (target, run) in TARGETS {
        let corpus = corpus_of(target);
        assert!(!corpus.is_empty(), "{target} has no corpus");
        let tried = |bytes: &[u8]| {
            let outcome = catch_unwind(AssertUnwindSafe(|| run(bytes)));
            assert!(outcome.is_ok(), "{target} breaks on {:?}", String::from_utf8_lossy(bytes));
        };
        corpus.iter().for_each(|bytes| tried(bytes));
        let mut numbers = Numbers(7);
        for _ in 0..MUTATIONS {
            let mut bytes = corpus[numbers.below(corpus.len())].clone();
            (0..=numbers.below(5)).for_each(|_| mutate(&mut bytes, &corpus, &mut numbers));
            tried(&bytes);
        }
    }
}

#[test]
fn every_kept_event_is_one() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/event");
    for file in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let mut lines = text.splitn(3, '\n');
        let (name, version, json) = (lines.next().unwrap(), lines.next().unwrap(), lines.next().unwrap());
        let decoded = rollcall_schemas::Event::decode(name, version.parse().unwrap(), json.as_bytes());
        assert!(decoded.is_ok(), "{}: {:?}", file.display(), decoded.err());
    }
}

#[test]
fn every_target_is_one_that_cargo_fuzz_runs() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(dir.join("Cargo.toml")).unwrap();
    for (target, _) in TARGETS {
        let source = std::fs::read_to_string(dir.join(format!("fuzz_targets/{target}.rs"))).unwrap();
        assert!(source.contains(&format!("fuzzing::{target}(bytes)")), "{target}");
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target}");
    }
}
