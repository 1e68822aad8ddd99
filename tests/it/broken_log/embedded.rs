//! The log in the data directory.

use rollcall::eventlog::EventLog as _;
use rollcall::eventlog::embedded::Embedded;

use super::{APP, known, said, walk};
use crate::postgres::history::item;
use crate::support::Service;

#[tokio::test]
async fn of_a_log_that_went_on_another_way_everything_since_then_is_lost() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    service.stop();
    let (file, old) = (service.data().join("log.db"), service.data().join("old.db"));
    let head = || Embedded::open(&file).unwrap().head();
    let kept = head();
    std::fs::copy(&file, &old).unwrap();
    service.restart();
    service.register(APP, &["bob", "eve"]);
    service.stop();
    let seen = head();
    std::fs::rename(&old, &file).unwrap();
    let log = Embedded::open(&file).unwrap();
    log.append(vec![item("user-7f2c1e0a-5d3b-4a8e-9c6f-0b1d2e3f4a5b", 0, 2)]).await.unwrap();
    drop(log);
    let recovered = walk("Go on without the lost end", service.data(), &[]);
    let lost = format!("lost: the {} events at the positions {} to {seen}", seen - kept, kept + 1);
    assert!(recovered.status.success() && said(&recovered).contains(&lost), "{lost:?}: {}", said(&recovered));
    let again = walk("Go on without the lost end", service.data(), &[]);
    assert!(said(&again).contains("nothing is lost of what is known"), "{}", said(&again));
    service.restart();
    assert_eq!(known(&service, &["ada", "bob"]), ["ada"]);
}
