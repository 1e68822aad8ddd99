//! Many at once: a storm of connects, a user whom thousands follow, a ban in the middle of a handshake.

use std::sync::Barrier;

use serde_json::json;

use super::presence::{online, told};
use super::{APP, Socket, call, token};
use crate::support::Service;
use crate::support::service::SERVER;

/// Memory that is a process's own, in KiB.
fn own_memory(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Twenty thousand of them are to take less than a gigabyte. `rollcall bench --live` measures it; here is a build with checks and
/// without optimisation, whose futures are larger.
#[test]
fn a_connection_that_is_idle_takes_little_memory() {
    const CONNECTIONS: usize = 500;
    const KIB_MAX: usize = 32;
    let dir = tempfile::tempdir().unwrap();
    let args = ["--client-connections-per-user", "1000", "--client-heartbeat-seconds", "600"];
    let data = dir.path().join("data");
    let mut service = Service::try_start_with(&data, &[APP], &args).unwrap();
    let ada = token(&service, APP, "ada");
    service.stop();
    let set = service.command(&["apps", "set", APP.key, "--client-devices", "several"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let service = Service::try_start_with(&data, &[APP], &args).unwrap();
    let connect = |count: usize| (0..count).map(|_| Socket::connect(&service, &ada).0).collect::<Vec<_>>();
    // What the first ones need stays for the others.
    let _first = connect(100);
    let before = own_memory(service.pid());
    let idle = connect(CONNECTIONS);
    let each = own_memory(service.pid()).saturating_sub(before) / CONNECTIONS;
    println!("{each} KiB for each of {} connections", idle.len());
    assert!(each <= KIB_MAX, "an idle connection takes {each} KiB");
}

#[test]
fn a_storm_of_connects_is_shed_by_the_limit_and_everybody_comes_in_at_last() {
    const STORM: usize = 48;
    let dir = tempfile::tempdir().unwrap();
    let args = ["--client-connections", "12"];
    let service = Service::try_start_with(&dir.path().join("data"), &[APP], &args).unwrap();
    let tokens: Vec<_> = (0..STORM).map(|number| token(&service, APP, &format!("u{number}"))).collect();
    let (barrier, shed) = (Barrier::new(STORM), std::sync::atomic::AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for token in &tokens {
            let (service, barrier, shed) = (&service, &barrier, &shed);
            scope.spawn(move || {
                barrier.wait();
                loop {
                    match Socket::try_open(service) {
                        Ok(mut socket) => {
                            let answer = socket.ask("connect", &json!({"token": token, "platform": "web"}));
                            assert!(answer["result"].is_object(), "{answer}");
                            std::thread::sleep(std::time::Duration::from_millis(20));
                            return;
                        }
                        Err(status) => {
                            assert_eq!(status, 503);
                            shed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                            std::thread::sleep(std::time::Duration::from_millis(10));
                        }
                    }
                }
            });
        }
    });
    assert!(shed.into_inner() > 0, "nobody had to wait: the storm was none");
    assert_eq!(call(&service, &tokens[0], "GET", "me", "").status, 200);
}

#[test]
fn a_ban_in_the_middle_of_a_handshake_leaves_nobody_connected() {
    let service = Service::start(&[APP]);
    for number in 0..12 {
        let user = format!("u{number}");
        let token = token(&service, APP, &user);
        let mut socket = Socket::open(&service);
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                service.post(APP, "/user/block.json", &[("userId", &user), ("minute", "5")]).ok();
            });
            barrier.wait();
            socket.send(
                &json!({"jsonrpc": "2.0", "id": 1, "method": "connect", "params": {"token": token, "platform": "web"}})
                    .to_string(),
            );
        });
        let closed = socket.closed();
        assert!(["31009", "31011"].contains(&closed.number()), "{closed:?}");
    }
}

#[test]
fn a_user_whom_thousands_follow_and_who_comes_and_goes_is_told_to_those_who_are_connected_and_seldom() {
    // The followers are put into the file that one node keeps.
    if std::env::var_os(SERVER).is_some() {
        return;
    }
    let service = Service::start(&[APP]);
    let (ada, bob) = (token(&service, APP, "ada"), token(&service, APP, "bob"));
    let (mut follower, _) = Socket::connect(&service, &bob);
    follower.ask("subscriptions.add", &json!({"user_ids": ["ada"], "seconds": 600}));
    assert_eq!(told(&mut follower), online("ada", &[]));
    let mut file = rusqlite::Connection::open(service.data().join("live.db")).unwrap();
    let on = file.transaction().unwrap();
    let bobs: Vec<u8> = on.query_row("select subscriber from subscription", [], |row| row.get(0)).unwrap();
    for number in 1..5_000_u128 {
        let other = uuid::Uuid::from_u128(number);
        let copy = "insert into subscription select ?1, kind, target, since, seconds, expires_at from subscription
            where subscriber = ?2";
        on.execute(copy, [other.as_bytes().as_slice(), &bobs]).unwrap();
    }
    on.commit().unwrap();
    let third = token(&service, APP, "eve");
    let full = call(&service, &third, "PUT", "subscriptions", r#"{"user_ids": ["ada"], "seconds": 600}"#).json();
    assert_eq!(full, json!({"full": ["ada"]}));
    for _ in 0..40 {
        drop(Socket::connect(&service, &ada));
    }
    let mut pushes = vec![told(&mut follower)];
    while pushes.last() != Some(&online("ada", &[])) {
        pushes.push(told(&mut follower));
    }
    assert!(pushes.len() < 10, "forty times she came and went: {pushes:?}");
}
