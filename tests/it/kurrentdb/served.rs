//! The whole service with its log in KurrentDB.

use super::server::Double;
use crate::support::{App, Service};

const APP: App = App::PRODUCTION;

#[test]
fn a_service_keeps_its_log_there_and_loses_nothing_with_its_replica() {
    let double = Double::start();
    let (url, dir) = (double.url(), tempfile::tempdir().unwrap());
    let start = || Service::try_start_with(dir.path(), &[APP], &["--kurrentdb", &url]).unwrap();
    let name = |service: &Service| {
        let info = service.post(APP, "/user/info.json", &[("userId", "ada")]).ok();
        info.json()["userName"].as_str().unwrap().to_owned()
    };
    let mut service = start();
    service.register(APP, &["ada"]);
    assert_eq!(name(&service), "Name of ada");
    service.kill();
    for file in ["replica.db", "replica.db-wal", "replica.db-shm", "read.db", "read.db-wal", "read.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(file));
    }
    assert_eq!(name(&start()), "Name of ada");
    assert!(!dir.path().join("log.db").exists(), "nothing is kept beside it");
}
