//! The disk is full: commands are turned away clearly, nothing that was acknowledged is lost, and the service goes on
//! by itself once there is room.

use std::path::Path;
use std::process::Command;

use crate::support::small_disk::SmallDisk;
use crate::support::soundness::{log_is_gapless, recorded, verified};
use crate::support::{App, Reply, Service};

pub const APP: App = App::PRODUCTION;
/// An app that sends no command while the disk is full.
const QUIET: App = App::OTHER;
/// So many refusals in a row mean that it is full.
const REFUSALS: usize = 12;
/// More commands than the little room there is can take.
const COMMANDS_MAX: usize = 50_000;

/// Fails unless it is a success or the clear answer of a service that cannot write; answers which.
#[track_caller]
pub fn done_or_busy(reply: &Reply) -> bool {
    if reply.status == 200 {
        assert_eq!(reply.code(), 200);
        return true;
    }
    reply.clone().refused(503, 1050);
    assert!(reply.header("retry-after").is_some(), "{:?}", reply.headers);
    false
}

pub fn register(service: &Service, user_id: &str) -> Reply {
    let (name, portrait) = (format!("Name of {user_id}"), "p".repeat(900));
    service.post(APP, "/user/getToken.json", &[("userId", user_id), ("name", &name), ("portraitUri", &portrait)])
}

fn info(service: &Service, app: App, user_id: &str) -> Reply {
    service.post(app, "/user/info.json", &[("userId", user_id)])
}

pub fn name(service: &Service, user_id: &str) -> Option<String> {
    let reply = info(service, APP, user_id);
    if reply.code() == 400 {
        return None;
    }
    Some(reply.ok().json()["userName"].as_str().unwrap().to_owned())
}

/// Registers and bans until it is full; answers who was registered, who was banned, and who was turned away.
pub fn fill(service: &Service) -> (Vec<String>, Vec<String>, Vec<String>) {
    let (mut registered, mut banned, mut refused) = (vec![], vec![], vec![]);
    let mut in_a_row = 0;
    for n in 0..COMMANDS_MAX {
        let user_id = format!("user{n}");
        if done_or_busy(&register(service, &user_id)) {
            in_a_row = 0;
            if done_or_busy(&service.post(APP, "/user/block.json", &[("userId", &user_id), ("minute", "600")])) {
                banned.push(user_id.clone());
            }
            registered.push(user_id);
        } else {
            refused.push(user_id);
            in_a_row += 1;
            if in_a_row == REFUSALS {
                return (registered, banned, refused);
            }
        }
    }
    panic!("it never was full");
}

fn banned_users(service: &Service) -> Vec<String> {
    let mut all = vec![];
    for page in 1.. {
        let page = page.to_string();
        let reply = service.post(APP, "/user/block/query.json", &[("page", &page), ("size", "1000")]).ok();
        let users = reply.json()["users"].as_array().unwrap().clone();
        let last = users.len() < 1_000;
        all.extend(users.iter().map(|user| user["userId"].as_str().unwrap().to_owned()));
        if last {
            break;
        }
    }
    all.sort_unstable();
    all
}

/// From an empty directory through fullness to a restart.
fn lives_through_a_full_disk(data: &Path, wrapper: &[&str], make_room: impl Fn(&Service)) {
    let mut service = Service::try_start(data, &[APP, QUIET], wrapper).unwrap();
    service.register(QUIET, &["reader"]);
    info(&service, QUIET, "reader").ok();
    let (registered, mut banned, refused) = fill(&service);
    assert!(registered.len() > 10, "it was full from the beginning: {}", registered.len());

    // Full, and not dead. Where a command was acknowledged that the read models have no room for, a read rather waits
    // in vain than show what was before it; every other app is served.
    info(&service, QUIET, "reader").ok();
    done_or_busy(&info(&service, APP, &registered[0]));
    assert_eq!(service.request("GET", "/health/live", &[], b"").status, 200);
    assert!(!done_or_busy(&register(&service, "one-more")));
    let leaves = [("userId", registered[0].as_str())];
    let mut left = done_or_busy(&service.post(APP, "/user/deactivate.json", &leaves));

    make_room(&service);
    service.eventually("a command is taken again", |service| done_or_busy(&register(service, "after")));
    for user_id in &refused {
        register(&service, user_id).ok();
        assert_eq!(name(&service, user_id), Some(format!("Name of {user_id}")));
    }
    service.eventually("a deactivation is taken, if not before", |service| {
        left = left || done_or_busy(&service.post(APP, "/user/deactivate.json", &leaves));
        left
    });
    service.eventually("its erasure is finished", |service| recorded(service.data(), "erasure.finalised") == 1);

    service.kill();
    let mut service = Service::start_in(data, &[APP, QUIET]);
    assert_eq!(name(&service, &registered[0]), None);
    for user_id in registered.iter().skip(1).chain(&refused) {
        assert_eq!(name(&service, user_id), Some(format!("Name of {user_id}")));
    }
    banned.sort_unstable();
    assert_eq!(banned_users(&service), banned);
    assert!(!service.errors().contains("panicked"), "{}", service.errors());
    service.stop();
    log_is_gapless(data);
    verified(&service);
}

#[test]
fn a_full_filesystem_turns_commands_away_and_takes_them_again_once_there_is_room() {
    let Some(disk) = SmallDisk::mount(12) else { return };
    lives_through_a_full_disk(&disk.data(), &[], |_| disk.enlarge());
}

#[test]
fn files_that_may_not_grow_turn_commands_away_and_take_them_again_once_they_may() {
    let dir = tempfile::tempdir().unwrap();
    // The soft limit only, so that it can be raised again; the signal would end the process.
    let limited = ["sh", "-c", "trap '' XFSZ; exec prlimit --fsize=3000000: \"$@\"", "limited"];
    lives_through_a_full_disk(&dir.path().join("data"), &limited, |service| {
        let pid = service.pid().to_string();
        assert!(Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:"]).status().unwrap().success());
    });
}
