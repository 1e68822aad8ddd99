//! A thread that dies takes the process along, with a word about it: a service that looks well and does nothing helps
//! nobody.

use std::net::TcpStream;

use rollcall::supervision::THREADS;

use crate::support::{App, Service};

const APP: App = App::PRODUCTION;

#[test]
fn a_thread_that_dies_ends_the_process_with_its_name_and_a_failure() {
    for name in THREADS {
        let dir = tempfile::tempdir().unwrap();
        // New keys are made at the start, and again once some hundred were used.
        let times = if *name == "vault-pages" { 2 } else { 12 };
        let told = format!("ROLLCALL_PANIC_AT={name}:{times}");
        let mut service = Service::try_start(&dir.path().join("data"), &[APP], &["env", &told]).unwrap();
        let mut number = 0;
        while TcpStream::connect(service.address).is_ok() {
            Service::registers(service.address, APP, &format!("user-{number}"));
            number += 1;
            assert!(number < 5_000, "{name} does not die");
        }
        let (status, errors) = service.ended();
        assert_eq!(status.code(), Some(1), "{name}: {errors}");
        assert!(errors.contains(&format!("{name} ended: it panicked")), "{name}: {errors}");
        let again = Service::start_in(&dir.path().join("data"), &[APP]);
        again.register(APP, &["ada"]);
    }
}
