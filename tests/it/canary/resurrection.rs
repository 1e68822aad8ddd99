//! Every old log with every old vault and every root that can still be had: none of it brings an erased person back.

use std::path::Path;

use rollcall::engine::journal;
use rollcall::eventlog::{self, EventLog as _, RawEvent};
use rollcall::privacy::key_tree::{KeyTree, Options};
use rollcall::privacy::{self, Vault as _};
use rollcall_schemas::ids::SubjectRef;

use crate::support::{App, Service, rollcall};

const APP: App = App::PRODUCTION;
const KEY: &str = "testkey";
const PEOPLE: usize = 10;

fn copy(from: &Path, to: &Path, parts: &[&str]) {
    std::fs::create_dir_all(to).unwrap();
    for part in parts {
        for name in [part.to_string(), format!("{part}-wal")] {
            if from.join(&name).exists() {
                std::fs::copy(from.join(&name), to.join(&name)).unwrap();
            }
        }
    }
}

fn events(dir: &Path) -> Vec<RawEvent> {
    let log = eventlog::embedded::Embedded::open(&dir.join("log.db")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(log.read_all(0, 100_000)).unwrap()
}

/// How many profile values about a subject a vault opens.
fn opened(vault: &KeyTree, events: &[RawEvent], subject: SubjectRef) -> usize {
    let values = events.iter().flat_map(|event| journal::sealed_values(event).unwrap());
    let of_subject = values.filter(|(header, _)| header.subject == subject);
    let opens = |(header, sealed): &(_, _)| match vault.open(header, sealed) {
        Ok(_) => true,
        Err(privacy::Error::Erased) => false,
        Err(error) => panic!("{error}"),
    };
    of_subject.filter(opens).count()
}

#[test]
fn no_copy_of_the_log_and_the_keys_opens_anything_of_the_erased_with_a_root_that_can_be_had() {
    let mut service = Service::start(&[APP]);
    let names: Vec<String> = (0..PEOPLE + 2).map(|number| format!("person-{number}")).collect();
    service.register(APP, &names.iter().map(String::as_str).collect::<Vec<_>>());
    service.stop();
    let data = service.data();
    let registered: Vec<SubjectRef> = {
        let events = events(data);
        let registrations = events.iter().filter(|event| event.name == "user.registered");
        registrations.map(|event| SubjectRef(event.stream.strip_prefix("user-").unwrap().parse().unwrap())).collect()
    };
    let backups = tempfile::tempdir().unwrap();
    let backup = |number: usize| backups.path().join(number.to_string());
    let keep = |number: usize| copy(data, &backup(number), &["log.db", "vault.db", "root.cell"]);
    for (number, name) in names[..PEOPLE].iter().enumerate() {
        keep(number);
        let erased = rollcall(&["erasure", "request", KEY, name, "--forget"], data);
        assert!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
    }
    keep(PEOPLE);
    let logs: Vec<_> = (0..=PEOPLE).map(|number| events(&backup(number))).collect();

    let (mut tried, mut vaults_opened) = (0, 0);
    for vault in 0..=PEOPLE {
        // What can still be had of roots: today's cell, a cell with its slots exchanged, an empty one, and no cell at all.
        let today = std::fs::read(data.join("root.cell")).unwrap();
        let exchanged = [&today[4_096..], &today[..4_096]].concat();
        for root in [Some(today.clone()), Some(exchanged), Some(vec![0; today.len()]), None] {
            let dir = tempfile::tempdir().unwrap();
            copy(&backup(vault), dir.path(), &["vault.db"]);
            if let Some(root) = root {
                std::fs::write(dir.path().join("root.cell"), root).unwrap();
            }
            let opens = KeyTree::open(dir.path(), &Options::default());
            vaults_opened += usize::from(opens.is_ok());
            for subject in &registered[..PEOPLE] {
                for log in &logs {
                    tried += 1;
                    if let Ok(vault) = &opens {
                        assert_eq!(opened(vault, log, *subject), 0, "the vault of {subject}");
                    }
                }
            }
            // Bystanders lose nothing where the vault is today's.
            if let Ok(vault) = &opens {
                for stayer in &registered[PEOPLE..] {
                    assert!(logs.iter().all(|log| opened(vault, log, *stayer) > 0));
                }
            }
        }
    }
    assert!(tried >= 1_000, "{tried}");
    assert_eq!(vaults_opened, 2, "only today's vault opens, with today's root in either slot");

    // The control: whoever had a root copied before an erasure opens what was sealed before it.
    for number in 0..PEOPLE {
        let vault = KeyTree::open(&backup(number), &Options::default()).unwrap();
        for (index, subject) in registered[..PEOPLE].iter().enumerate() {
            let opens = opened(&vault, &logs[0], *subject) > 0;
            assert_eq!(opens, index >= number, "person {index} with the keys and the root before erasure {number}");
        }
    }
}
