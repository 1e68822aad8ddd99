//! What others may do to the log in KurrentDB, and what a server says that does not let us in.

use std::path::Path;
use std::time::Duration;

use rollcall::eventlog::Error;
use rollcall::eventlog::embedded::Embedded;
use rollcall::eventlog::kurrentdb::Kurrent;
use rollcall::eventlog::{Append, EventLog, Item, NewEvent};
use rollcall_schemas::Event;

use super::{Double, STREAM, all, connect};
use crate::cli::{path, rollcall as command, text};
use crate::eventlog_contract::{append, event, runtime};
use crate::support::{App, Service};

const APP: App = App::PRODUCTION;
/// Of the user ada with the password secret.
const ADA: &str = "Basic YWRhOnNlY3JldA==";

async fn refused(url: &str, dir: &Path) -> String {
    Kurrent::connect(url, STREAM, &dir.join("replica.db")).await.err().expect("it must be refused").to_string()
}

#[test]
fn a_stream_of_which_the_server_forgets_entries_is_refused_and_found_by_the_doctor() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    let doctor = || {
        let address = double.url();
        let data = dir.path().join("none");
        let output = command(&["doctor", "--data-dir", path(&data), "--kurrentdb", &address]).output().unwrap();
        (output.status.success(), text(&output.stdout))
    };
    let (sound, said) = doctor();
    assert!(sound && said.contains("none: every entry is kept"), "{said}");
    for danger in [r#"{"$maxCount":5}"#, r#"{"$maxAge":3600}"#, r#"{"$tb":7}"#] {
        double.state().set_metadata(STREAM, danger);
        let said = runtime().block_on(refused(&double.url(), dir.path()));
        assert!(said.contains("forgets entries") && said.contains(&danger[2..5]), "{said}");
        let (sound, said) = doctor();
        assert!(!sound && said.contains("BAD   retention"), "{said}");
    }
    // What was set is set off again.
    double.state().set_metadata(STREAM, "{}");
    runtime().block_on(connect(&double.url(), STREAM, &dir.path().join("replica.db")));
}

#[test]
fn a_log_of_which_the_server_begins_to_forget_entries_is_not_used_any_more() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let often = Duration::from_millis(20);
        let replica = dir.path().join("replica.db");
        let log = Kurrent::connect_and_inspect(&double.url(), STREAM, &replica, often).await.unwrap();
        log.append(vec![append("a", 0, vec![event(1, None)])]).await.unwrap();
        let seen = double.state().reads;
        while double.state().reads < seen + 2 {
            tokio::time::sleep(often).await;
        }
        assert!(log.broken().is_none());
        double.state().set_metadata(STREAM, r#"{"$maxCount":5}"#);
        while log.broken().is_none() {
            tokio::time::sleep(often).await;
        }
        let told = log.append(vec![append("a", 1, vec![event(2, None)])]).await;
        assert!(matches!(&told, Err(Error::Corrupt { reason, .. }) if reason.contains("$maxCount = 5")), "{told:?}");
    });
}

#[test]
fn a_new_stream_is_closed_to_others_where_the_address_has_a_user() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    double.state().authorization = Some(ADA.into());
    let claim = async |stream: &str, url: &str| {
        let log = Kurrent::connect(url, stream, &dir.path().join(format!("{stream}.db"))).await.unwrap();
        log.claim([1; 16]).await.unwrap()
    };
    runtime().block_on(async {
        assert_eq!(claim("new", &double.url_of("ada:secret@")).await, [1; 16]);
        let set: serde_json::Value = serde_json::from_str(&double.state().metadata("new").unwrap()).unwrap();
        for right in ["$r", "$w", "$d", "$mr", "$mw"] {
            assert_eq!(set["$acl"][right], serde_json::json!(["ada", "$admins"]), "{right}");
        }
        // Rules that an administrator has made before are left as they are.
        double.state().set_metadata("ruled", r#"{"$acl":{"$w":["ada","bob"]}}"#);
        claim("ruled", &double.url_of("ada:secret@")).await;
        assert_eq!(double.state().metadata("ruled").unwrap(), r#"{"$acl":{"$w":["ada","bob"]}}"#);
        double.state().authorization = None;
        claim("open", &double.url()).await;
        assert_eq!(double.state().metadata("open"), None);
    });
}

#[test]
fn a_server_that_will_never_let_us_in_is_not_asked_again_and_again() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    double.state().authorization = Some(ADA.into());
    runtime().block_on(async {
        for user in ["ada:wrong@", ""] {
            let said = refused(&double.url_of(user), dir.path()).await;
            assert!(said.contains("password") && !said.contains("wrong@"), "{said}");
        }
        let said = refused(&double.url().replace("tls=false", "tls=true"), dir.path()).await;
        assert!(said.contains("does not speak TLS"), "{said}");
        let said =
            refused(&format!("{}&tlsCaFile=/nowhere", double.url().replace("tls=false", "tls=true")), dir.path()).await;
        assert!(said.contains("cannot be made"), "{said}");
    });
    assert_eq!(double.state().asked, 2);
}

#[test]
fn a_log_in_kurrentdb_is_refused_with_the_keys_of_another_service_before_it_listens() {
    let (double, ours, other) = (Double::start(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = double.url();
    let start = |dir: &Path| Service::try_start_with(dir, &[APP], &["--kurrentdb", &url]);
    let mut service = start(ours.path()).unwrap();
    service.register(APP, &["ada"]);
    service.stop();
    assert_eq!(double.state().types(STREAM)[0], "rollcall.vault");
    let said = start(other.path()).err().expect("it must not start");
    assert!(said.contains("belongs to the vault") && said.contains("--vault-database"), "{said}");
    // A replica that was deleted says it again.
    for file in ["replica.db", "replica.db-wal", "replica.db-shm"] {
        let _ = std::fs::remove_file(other.path().join(file));
    }
    assert!(start(other.path()).err().unwrap().contains("belongs to the vault"));
    start(ours.path()).unwrap();
}

#[test]
fn the_example_of_a_cluster_has_an_address_that_we_and_the_client_read() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kurrentdb");
    let compose = std::fs::read_to_string(shipped.join("compose.yaml")).unwrap();
    let line = compose.lines().find_map(|line| line.trim().strip_prefix("ROLLCALL_KURRENTDB: ")).unwrap();
    let address = line.trim_matches('"').replace("${ROLLCALL_KURRENTDB_PASSWORD:?choose one}", "secret");
    assert_eq!(rollcall::wiring::places::kurrentdb(&address).unwrap(), address);
    assert_eq!(rollcall::eventlog::kurrentdb::weakness(&address), None);
    assert!(rollcall::eventlog::kurrentdb::has_user(&address));
    let settings: eventstore::ClientSettings = address.parse().unwrap();
    let hosts: Vec<_> = settings.hosts().iter().map(|host| (host.host.clone(), host.port)).collect();
    for (node, host) in ["kurrentdb1", "kurrentdb2", "kurrentdb3"].into_iter().zip(hosts) {
        assert_eq!(host, (node.to_owned(), 2113));
        assert!(compose.contains(&format!("\n  {node}:\n")) && compose.contains(&format!("CLIENT_AS: {node}\n")));
    }
    assert!(settings.is_secure_mode_enabled() && settings.is_tls_certificate_verification_enabled());
    assert_eq!(settings.tls_ca_file().unwrap(), "/authority/ca.crt");
    for script in ["certificates.sh", "user.sh"] {
        assert!(compose.contains(&format!("./{script}:/{script}:ro")) && shipped.join(script).is_file());
    }
}

/// A stream as versions wrote it that did not say whose it is: with the events of a log in a file.
fn written_before(double: &Double, file: &Path) {
    runtime().block_on(async {
        let (from, dir) = (Embedded::open(file).unwrap(), tempfile::tempdir().unwrap());
        let to = connect(&double.url(), STREAM, &dir.path().join("replica.db")).await;
        for event in all(&from).await {
            let name = Event::declarations().find(|known| known.name == event.name).unwrap().name;
            let new = NewEvent {
                id: event.id,
                name,
                version: event.version,
                recorded_at: event.recorded_at,
                core: event.core,
                blobs: event.blobs,
            };
            let appends =
                vec![Append { stream: event.stream.to_string(), expected: event.revision - 1, events: vec![new] }];
            to.append(vec![Item { appends, ..Item::default() }]).await.unwrap();
        }
    });
    let is_silent = |kind: &String| kind != "rollcall.vault";
    assert!(double.state().types(STREAM).iter().all(is_silent));
}

#[test]
fn a_stream_from_before_becomes_that_of_the_first_keys_that_open_it() {
    let (double, other) = (Double::start(), tempfile::tempdir().unwrap());
    let url = double.url();
    let mut service = Service::start(&[APP]);
    let data = service.data().to_owned();
    service.register(APP, &["ada"]);
    service.stop();
    written_before(&double, &data.join("log.db"));
    let start = |dir: &Path| Service::try_start_with(dir, &[APP], &["--kurrentdb", &url]);
    let said = start(other.path()).err().expect("it must not start");
    assert!(said.contains("written with another vault"), "{said}");
    let there = start(&data).unwrap();
    let info = there.post(APP, "/user/info.json", &[("userId", "ada")]).ok();
    assert_eq!(info.json()["userName"], "Name of ada");
    assert!(double.state().types(STREAM).contains(&"rollcall.vault".to_owned()));
}

#[test]
fn a_log_that_is_copied_to_kurrentdb_belongs_to_the_vault_it_came_from() {
    let (double, other) = (Double::start(), tempfile::tempdir().unwrap());
    let url = double.url();
    let mut service = Service::start(&[APP]);
    let data = service.data().to_owned();
    service.register(APP, &["ada"]);
    service.stop();
    let copied = command(&["copy", "--data-dir", path(&data), "--to", &url]).output().unwrap();
    assert!(copied.status.success(), "{}", text(&copied.stderr));
    let said = Service::try_start_with(other.path(), &[APP], &["--kurrentdb", &url]).err().unwrap();
    assert!(said.contains("belongs to the vault"), "{said}");
    let mut other = Service::start(&[APP]);
    let data = other.data().to_owned();
    other.stop();
    let refused = command(&["copy", "--data-dir", path(&data), "--to", &url]).output().unwrap();
    assert!(text(&refused.stderr).contains("belongs to the vault"), "{}", text(&refused.stderr));
}
