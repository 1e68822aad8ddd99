//! Whoever has every byte that is left and a list of likely userIds and names cannot tell who was erased.

use std::collections::HashSet;
use std::path::Path;

use aws_lc_rs::{digest, hmac};

use crate::support::{App, Service, rollcall};

const APP: App = App::PRODUCTION;
const KEY: &str = "testkey";
const CANDIDATES: usize = 100_000;
/// So many bytes of a hash say that it is one.
const WINDOW: usize = 8;

fn user_id(number: usize) -> String {
    format!("user-{number:06}")
}

fn files(dir: &Path) -> Vec<Vec<u8>> {
    let entries: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    let read = |path: std::path::PathBuf| if path.is_dir() { files(&path) } else { vec![std::fs::read(path).unwrap()] };
    entries.into_iter().flat_map(read).collect()
}

/// Every run of eight bytes that is left, and every one that is written as hexadecimal digits.
fn windows(dir: &Path) -> HashSet<[u8; WINDOW]> {
    let mut all = HashSet::new();
    for file in files(dir) {
        for window in file.windows(WINDOW) {
            all.insert(window.try_into().unwrap());
        }
        for digits in file.windows(2 * WINDOW) {
            let mut bytes = [0; WINDOW];
            if hex::decode_to_slice(digits, &mut bytes).is_ok() {
                all.insert(bytes);
            }
        }
    }
    all
}

/// Keys an attacker would try: everything of the length of a key or an id that is written down on purpose.
fn known_keys(dir: &Path) -> Vec<Vec<u8>> {
    let vault = rusqlite::Connection::open(dir.join("vault.db")).unwrap();
    let id: Vec<u8> = vault.query_row("select vault from vault", [], |row| row.get(0)).unwrap();
    let cell = std::fs::read(dir.join("root.cell")).unwrap();
    let log = rusqlite::Connection::open(dir.join("log.db")).unwrap();
    // A stream of a user is the subject's bytes and the number of its shape.
    let subject = "select substr(stream, 1, 16) from event join event_name on event_name.number = event.name
        where event_name.name like 'user.%' order by position limit 1";
    let subject: [u8; 16] = log.query_row(subject, [], |row| row.get(0)).unwrap();
    let mut keys = vec![id, KEY.as_bytes().to_vec(), APP.secret.as_bytes().to_vec(), subject.to_vec()];
    keys.extend(cell.chunks(4_096).map(|slot| slot[32..64].to_vec()));
    keys
}

/// How many hashes of a candidate, in any likely form and under any known key, stand somewhere.
fn score(candidate: &str, keys: &[Vec<u8>], left: &HashSet<[u8; WINDOW]>) -> usize {
    let forms = [candidate.to_owned(), format!("\"{candidate}\""), format!("{KEY}{candidate}")];
    let mut score = 0;
    for form in &forms {
        let mut hashes = vec![
            digest::digest(&digest::SHA256, form.as_bytes()).as_ref().to_vec(),
            digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, form.as_bytes()).as_ref().to_vec(),
        ];
        for key in keys {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            hashes.push(hmac::sign(&key, form.as_bytes()).as_ref().to_vec());
        }
        score += hashes.iter().filter(|hash| left.contains(&hash[..WINDOW])).count();
    }
    score
}

#[test]
fn a_dictionary_of_a_hundred_thousand_user_ids_does_not_tell_who_was_erased() {
    let mut service = Service::start(&[APP]);
    let erased = 73_421;
    service.register(APP, &[&user_id(erased), "bystander"]);
    service.stop();
    let forgotten = rollcall(&["erasure", "request", KEY, &user_id(erased), "--forget"], service.data());
    assert!(forgotten.status.success(), "{}", String::from_utf8_lossy(&forgotten.stderr));

    let keys = known_keys(service.data());
    let left = windows(service.data());
    let scores: Vec<usize> = (0..CANDIDATES).map(|number| score(&user_id(number), &keys, &left)).collect();
    let better = scores.iter().filter(|score| **score > scores[erased]).count();
    let equal = scores.iter().filter(|score| **score == scores[erased]).count();
    assert_eq!(scores[erased], 0, "a hash of the erased userId is left");
    assert!(better + equal > CANDIDATES / 2, "the erased stands out: {better} score better, {equal} the same");

    // The control: an unkeyed hash, or one under a key that lies beside it, gives the erased away at once.
    let sha = digest::digest(&digest::SHA256, user_id(erased).as_bytes());
    let keyed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &keys[0]), user_id(erased).as_bytes());
    for leak in [sha.as_ref(), keyed.as_ref()] {
        std::fs::write(service.data().join("leak"), leak).unwrap();
        let left = windows(service.data());
        let found: Vec<_> = (0..CANDIDATES).filter(|number| score(&user_id(*number), &keys, &left) > 0).collect();
        assert_eq!(found, [erased]);
    }
}
