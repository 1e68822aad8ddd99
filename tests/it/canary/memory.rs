//! What the memory of the running service still holds after an erasure.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use rusqlite::Connection;

use super::{LEAVER, LEAVES, deactivate, planted};
use crate::support::Service;

/// Hands over every readable part of a process's memory.
fn each_region(pid: u32, mut visit: impl FnMut(&[u8])) {
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    for line in std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap().lines() {
        let mut words = line.split_whitespace();
        let (range, access) = (words.next().unwrap(), words.next().unwrap());
        // Only what can be written holds data of ours.
        if !access.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        if memory.read_exact_at(&mut bytes, from).is_ok() {
            visit(&bytes);
        }
    }
}

/// How often each of these stands in the memory of the service.
fn count(service: &Service, needles: &[&[u8]]) -> Vec<usize> {
    let mut counts = vec![0; needles.len()];
    each_region(service.pid(), |region| {
        for (count, needle) in counts.iter_mut().zip(needles) {
            *count += memchr::memmem::find_iter(region, needle).count();
        }
    });
    counts
}

fn open(key: &[u8], associated: &[u8], sealed: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, key).unwrap());
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().unwrap();
    let mut buffer = rest.to_vec();
    key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(associated), &mut buffer).unwrap().to_vec()
}

/// A key of a subject, as the vault derives it from the key of its page.
fn derive(key: &[u8], info: &[&[u8]]) -> Vec<u8> {
    let mut derived = [0; 32];
    let key = Prk::new_less_safe(HKDF_SHA256, key);
    key.expand(info, HKDF_SHA256).and_then(|okm| okm.fill(&mut derived)).unwrap();
    derived.to_vec()
}

/// The root of the vault in this directory, the shard key of a subject, the key of its page, and the subject's keys by
/// class: what somebody finds out who has the whole directory before the erasure.
fn keys(dir: &Path, subject: [u8; 16]) -> (Vec<u8>, Vec<u8>, Vec<u8>, Vec<Vec<u8>>) {
    let vault = Connection::open(dir.join("vault.db")).unwrap();
    let (id, generation, tree): (Vec<u8>, u64, Vec<u8>) = vault
        .query_row("select vault, generation, page from vault", [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    let cell = std::fs::read(dir.join("root.cell")).unwrap();
    let is_it = |slot: &&[u8]| slot[8..24] == id && slot[24..32] == generation.to_be_bytes();
    let root = cell.chunks(4_096).find(is_it).unwrap()[32..64].to_vec();
    let tree = open(&root, &[id.as_slice(), &generation.to_be_bytes()].concat(), &tree);
    let shard = usize::from(subject[0]) << 2 | usize::from(subject[1] >> 6);
    let shard = tree[shard * 32..][..32].to_vec();
    let page = [&subject[..6], &[0; 10]].concat();
    let wrapped: Vec<u8> = vault
        .query_row("select wrapped from subject_key where subject = ?1 and epoch = 0", [&page], |row| row.get(0))
        .unwrap();
    let page = open(&shard, &page, &wrapped);
    let class = |number: u8| derive(&page, &[b"rollcall subject key", &subject, &[number]]);
    let classes = (0..4).map(class).collect();
    (root, shard, page, classes)
}

/// The subject of a registered user: the one whose stream the n-th registration is in.
fn subject(dir: &Path, registration: u32) -> [u8; 16] {
    let log = Connection::open(dir.join("log.db")).unwrap();
    let query = "select substr(stream, 1, 16) from event join event_name on event_name.number = event.name
        where event_name.name = 'user.registered' order by position limit 1 offset ?1";
    log.query_row(query, [registration], |row| row.get(0)).unwrap()
}

#[test]
fn no_key_of_an_erased_user_is_in_memory_and_what_is_left_of_the_values_is_counted() {
    let service = planted();
    // The leaver is the first who was registered.
    service.post(super::APP, "/user/info.json", &[("userId", LEAVER)]).ok();
    // Whether a value that was told is still in a buffer depends on what else was asked: a request that has not ended surely is.
    let mut unended = TcpStream::connect(service.address).unwrap();
    unended.write_all(format!("GET / HTTP/1.1\r\nX-Note: {LEAVES}").as_bytes()).unwrap();
    service.eventually("it is read", |service| count(service, &[LEAVES.as_bytes()])[0] > 0);
    let (root, shard, page, classes) = keys(service.data(), subject(service.data(), 0));
    let [profile, identity, moderation] = [&classes[0], &classes[1], &classes[2]];
    let destroyed: [&[u8]; 5] = [&root, &shard, &page, profile, moderation];
    let before = count(&service, &[&destroyed[..], &[identity, LEAVES.as_bytes()]].concat());
    assert!(before[1] > 0 && before[2] > 0, "the control: keys that live are found: {before:?}");
    assert!(before[6] > 0, "the control: a value in a buffer is found");
    drop(unended);

    deactivate(&service);
    let after = count(&service, &[&destroyed[..], &[identity, LEAVES.as_bytes()]].concat());
    assert_eq!(after[..5], [0; 5], "root, shard, page, profile, moderation");
    assert!(after[5] > 0, "the control: the key of the userId still lives and is found");
    // A value that was told is left in buffers of requests and answers until they are used again.
    println!("plaintext in memory: {} before, {} after the erasure", before[6], after[6]);
}
