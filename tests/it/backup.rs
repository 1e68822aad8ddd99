//! A machine is lost; its service goes on elsewhere, from a backup and a replica of the keys.

use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{App, Service, rollcall};

const APP: App = App::PRODUCTION;

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn back_up(data: &Path, to: &Path) -> Output {
    rollcall(&["backup", to.to_str().unwrap()], data)
}

fn restore(from: &Path, data: &Path) -> Output {
    rollcall(&["restore", from.to_str().unwrap()], data)
}

/// What a mirrored disk holds of the keys at the moment a machine is lost.
fn replicate_keys(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for name in ["vault.db", "vault.db-wal", "root.cell"] {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

fn name_of(service: &Service, user: &str) -> String {
    let info = service.post(APP, "/user/info.json", &[("userId", user)]);
    info.json()["userName"].as_str().map_or_else(|| info.text.clone(), str::to_owned)
}

#[test]
fn a_lost_machine_is_restored_from_a_backup_taken_under_load_and_what_was_erased_since_stays_erased() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new, backup) = (dir.path().join("old"), dir.path().join("new"), dir.path().join("backup"));
    let mut service = Service::start_in(&old, &[APP]);
    service.register(APP, &["ada", "bob"]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                service.register(APP, &[&format!("during{number}")]);
                number += 1;
            }
        });
        let taken = back_up(&old, &backup);
        stop.store(true, Ordering::Relaxed);
        assert!(taken.status.success() && said(&taken).contains("whole"), "{}", said(&taken));
        assert!(said(&taken).contains("The keys are not in"), "{}", said(&taken));
    });
    let holds: Vec<_> = fs::read_dir(&backup).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!holds.iter().any(|name| name == "vault.db" || name == "root.cell"), "{holds:?}");
    assert!(back_up(&old, &backup).status.code() == Some(1), "an earlier backup is not overwritten");

    service.register(APP, &["after"]);
    service.post(APP, "/user/deactivate.json", &[("userId", "ada")]).ok();
    service.eventually("ada is erased", |service| {
        let bearer = format!("Bearer {}:{}", APP.key, APP.secret);
        let headers = [("Authorization".to_owned(), bearer)];
        let events = service.request("GET", "/api/v1/events?type=rollcall.erasure.finalised.v1", &headers, b"");
        events.json()["events"].as_array().is_some_and(|events| events.len() == 1)
    });
    service.kill();

    // Without keys, or with those of another service, a backup is not put back.
    let refused = restore(&backup, &new);
    assert!(!refused.status.success() && said(&refused).contains("has no keys"), "{}", said(&refused));
    replicate_keys(&old, &new);
    let damaged = dir.path().join("damaged");
    fs::create_dir(&damaged).unwrap();
    for entry in fs::read_dir(&backup).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), damaged.join(entry.file_name())).unwrap();
    }
    let mut bytes = fs::read(damaged.join("log.db")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(damaged.join("log.db"), bytes).unwrap();
    let refused = restore(&damaged, &new);
    assert!(
        !refused.status.success() && said(&refused).contains("log.db in the backup is damaged"),
        "{}",
        said(&refused)
    );

    let restored = restore(&backup, &new);
    assert!(
        restored.status.success() && said(&restored).contains("which had been acknowledged"),
        "{}",
        said(&restored)
    );
    assert!(said(&restored).contains("1 erasures hold"), "{}", said(&restored));
    assert!(!restore(&backup, &new).status.success(), "a log that is there is not overwritten");
    let verified = rollcall(&["verify"], &new);
    assert!(verified.status.success(), "{}", said(&verified));
    let service = Service::try_start(&new, &[APP], &[]).unwrap();
    assert_eq!(name_of(&service, "bob"), "Name of bob");
    assert_eq!(name_of(&service, "during0"), "Name of during0");
    assert!(!name_of(&service, "ada").contains("Name of"), "{}", name_of(&service, "ada"));
    assert!(
        name_of(&service, "after").contains("not"),
        "it was registered after the backup: {}",
        name_of(&service, "after")
    );
    service.register(APP, &["after"]);
}

#[test]
fn a_backup_is_not_put_beside_the_keys_of_another_service() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other, backup) = (dir.path().join("one"), dir.path().join("other"), dir.path().join("backup"));
    let mut service = Service::start_in(&one, &[APP]);
    service.register(APP, &["ada"]);
    service.stop();
    assert!(back_up(&one, &backup).status.success());
    Service::start_in(&other, &[APP]).stop();
    fs::remove_file(other.join("log.db")).unwrap();
    let refused = restore(&backup, &other);
    assert!(!refused.status.success() && said(&refused).contains("nothing of it could be read"), "{}", said(&refused));
}
