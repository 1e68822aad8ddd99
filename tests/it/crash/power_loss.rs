//! Read models are not flushed while the service runs: only where the machine itself went down are they built anew.

use super::APP;
use crate::support::Service;
use crate::support::soundness::verified;

const ANEW: &str = "they are built anew";

/// Has the mark beside the read models say that they were written under another boot, and tears their file.
fn lose_power(service: &Service) {
    let mark = service.data().join("read.db-unflushed");
    let marked = std::fs::read_to_string(&mark).unwrap();
    let (_, inode) = marked.split_once(' ').unwrap();
    std::fs::write(&mark, format!("4e4f1d0c-0000-4000-8000-000000000000 {inode}")).unwrap();
    let file = service.data().join("read.db");
    let mut pages = std::fs::read(&file).unwrap();
    pages.chunks_mut(4096).skip(1).step_by(2).for_each(|page| page.fill(0));
    std::fs::write(file, pages).unwrap();
}

#[test]
fn a_kill_costs_no_rebuild_and_a_power_cut_costs_one() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve"]);
    service.post(APP, "/user/deactivate.json", &[("userId", "eve")]).ok();
    service.kill();
    assert!(service.data().join("read.db-unflushed").exists());
    service.restart();
    assert!(!service.errors().contains(ANEW), "{}", service.errors());
    service.kill();

    lose_power(&service);
    service.restart();
    assert!(service.errors().contains(ANEW), "{}", service.errors());
    let info = service.post(APP, "/user/info.json", &[("userId", "ada")]).ok().json();
    assert_eq!(info["userName"], "Name of ada", "{info}");
    service.stop();
    assert!(!service.data().join("read.db-unflushed").exists(), "a clean stop flushes");
    verified(&service);
}
