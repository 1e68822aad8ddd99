//! The log was not changed: tampering is named, rolling back is refused.

use std::sync::Arc;

use rollcall::audit::tree::{Error, Keeper};
use rollcall::wiring::DataDir;
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use super::{APP, Service, refused, rollcall, succeeds, text, with_history};

/// Changes the log behind the service's back, as somebody would who can write to the disk.
fn tamper(service: &Service, sql: &str) {
    let log = Connection::open(service.data().join("log.db")).unwrap();
    let triggers: Vec<String> = log
        .prepare("select name from sqlite_master where type = 'trigger'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    for trigger in triggers {
        log.execute_batch(&format!("drop trigger {trigger}")).unwrap();
    }
    assert!(log.execute(sql, []).unwrap() > 0, "{sql}");
}

#[test]
fn a_walk_finds_a_whole_log_whole_and_says_how_much_it_saw() {
    let service = with_history(20);
    let said = succeeds(&["audit", "verify"], service.data());
    assert!(said.starts_with("whole: "), "{said}");
    let checkpoint = succeeds(&["audit", "checkpoint"], service.data());
    let events: u64 = checkpoint.lines().nth(1).unwrap().parse().unwrap();
    assert!(said.contains(&format!("{events} events")), "{said}");
    assert!(!said.contains("and 0 attached"), "{said}");
}

#[test]
fn a_walk_names_the_first_broken_position_whatever_was_broken() {
    for (sql, expected) in [
        (
            "update event set core = cast(substr(core, 1, length(core) - 1) || x'01' as blob) where position = 17",
            "position 17",
        ),
        // The key of the app is written once, and every event that names it changes with it.
        (
            "update term set bytes = cast(replace(bytes, 'testkey', 'testkez') as blob) where bytes = x'746573746b6579'",
            "position",
        ),
        ("update event set recorded_at = recorded_at + 1 where position in (9, 30)", "position 9"),
        (
            "update event set blobs = cast(substr(blobs, 1, length(blobs) - 1) || x'ff' as blob)
                where position = 12 and blobs is not null or position = 13 and blobs is not null",
            "position 1",
        ),
        ("update event set id = randomblob(16) where position = 25", "position 25"),
    ] {
        let service = with_history(20);
        tamper(&service, sql);
        let output = rollcall(&["audit", "verify"], service.data());
        assert!(!output.status.success(), "{sql}: {}", text(&output.stdout));
        refused(&output, &["the log is broken at", expected]);
    }
}

#[test]
fn a_log_that_was_rewritten_together_with_its_tree_does_not_have_the_root_that_was_signed() {
    let service = with_history(20);
    tamper(&service, "update event set recorded_at = recorded_at + 1 where position = 9");
    // Whoever can write files can make them anew; nobody can sign them or change what the vault has seen.
    for entry in service.data().join("tree").read_dir().unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let said = Service::try_start(service.data(), &[APP], &[]).err().unwrap();
    assert!(said.contains("the log was changed or exchanged") && said.contains("the vault"), "{said}");
    refused(&rollcall(&["audit", "verify"], service.data()), &["broken between position 1 and"]);
}

#[test]
fn a_log_that_lost_its_end_is_refused_and_the_copy_of_the_checkpoint_knows_it_too() {
    let service = with_history(20);
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("checkpoint");
    let whole = tempfile::tempdir().unwrap();
    super::copy_dir(service.data(), whole.path());
    // Later, the service goes on with a copy of its checkpoint kept elsewhere.
    std::fs::write(&copy, "").unwrap();
    let args = ["--checkpoint-copy", copy.to_str().unwrap()];
    let mut later = Service::try_start_with(service.data(), &[APP], &args).unwrap();
    later.register(APP, &["later"]);
    later.stop();
    assert!(std::fs::read_to_string(&copy).unwrap().starts_with("rollcall/"));
    // Everything is put back, the vault included: only the copy elsewhere can know.
    assert!(Service::try_start(whole.path(), &[APP], &[]).is_ok());
    let said = Service::try_start_with(whole.path(), &[APP], &args).err().unwrap();
    assert!(said.contains("was put back to an earlier state") && said.contains(copy.to_str().unwrap()), "{said}");
}

#[test]
fn a_proof_convinces_whoever_has_the_key_and_nothing_else_does() {
    let service = with_history(20);
    let keys = succeeds(&["audit", "keys"], service.data());
    let earlier = succeeds(&["audit", "checkpoint"], service.data());
    let since = earlier.lines().nth(1).unwrap().to_owned();
    let mut later = Service::start_in(service.data(), &[APP]);
    later.register(APP, &["more-1", "more-2"]);
    later.stop();
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let proof = succeeds(&["audit", "prove", "7", "--since", &since], service.data());
    let (keys, earlier) = (file("keys", &keys), file("earlier", &earlier));
    let check = |proof: &str| {
        let binary = env!("CARGO_BIN_EXE_rollcall");
        let args = ["audit", "check", &file("proof", proof), "--key", &keys, "--earlier", &earlier];
        std::process::Command::new(binary).args(args).output().unwrap()
    };
    let checked = check(&proof);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert!(text(&checked.stdout).starts_with("event 7 is in the log rollcall/"));
    refused(&check(&proof.replace(r#""position":7"#, r#""position":8"#)), &["does not hold this event"]);
    refused(&check(&proof.replace(r#"\"revision\":1"#, r#"\"revision\":2"#)), &["does not hold this event"]);
    let other = with_history(3);
    let others = file("keys-of-another", &succeeds(&["audit", "keys"], other.data()));
    let unknown = std::process::Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(["audit", "check", &file("proof", &proof), "--key", &others])
        .output()
        .unwrap();
    refused(&unknown, &["not signed by the given key"]);
}

/// The tree of a data directory, opened without what is added to it after the service has begun to listen.
async fn opened_behind(data: &DataDir) -> Result<Keeper, Error> {
    Keeper::open_within(&data.tree(), None, data.log.clone(), data.vault.clone(), 0).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_was_lost_is_built_while_the_service_listens_and_proves_nothing_before() {
    let service = with_history(20);
    std::fs::remove_dir_all(service.data().join("tree")).unwrap();
    let data = DataDir::create(&crate::support::place(service.data())).unwrap();
    let keeper = Arc::new(opened_behind(&data).await.unwrap());
    assert!(!keeper.is_proven() && keeper.latest().is_none() && keeper.tiles().size() == 0);
    assert!(matches!(keeper.close().await, Err(Error::Behind)), "keys are destroyed only once it is proven");
    assert!(matches!(keeper.covering(1).await, Err(Error::Behind)));
    let stop = CancellationToken::new();
    let running = tokio::spawn(keeper.clone().run(stop.clone()));
    while !keeper.is_proven() {
        tokio::task::yield_now().await;
    }
    assert_eq!(keeper.covering(1).await.unwrap().checkpoint.size, data.log.head());
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_rewritten_and_lost_its_tree_ends_the_keeper() {
    let service = with_history(20);
    tamper(&service, "update event set recorded_at = recorded_at + 1 where position = 9");
    std::fs::remove_dir_all(service.data().join("tree")).unwrap();
    let data = DataDir::create(&crate::support::place(service.data())).unwrap();
    let keeper = Arc::new(opened_behind(&data).await.unwrap());
    let ended = keeper.clone().run(CancellationToken::new()).await;
    assert!(matches!(ended, Err(Error::Rewritten { .. })), "{ended:?}");
    assert!(!keeper.is_proven());
}
