//! The process is killed under load, again and again: what was acknowledged stays, exactly once.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::service::parse;
use crate::support::soundness::{log_is_gapless, rebuilt, recorded, verified};
use crate::support::{App, Reply, Service};

mod interrupted;
mod matrix;
mod power_loss;
mod threads;

const APP: App = App::PRODUCTION;
const ROUNDS: u64 = 8;
const THREADS: u64 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Register,
    Ban,
    Block,
    Befriend,
    Deactivate,
}

/// A command that was sent, and whether its caller was told that it is done.
#[derive(Debug, Clone)]
struct Sent {
    kind: Kind,
    who: String,
    /// The other user, where the command has one.
    target: String,
    acknowledged: bool,
}

/// Sends a signed form; none where the connection ends before the answer.
fn attempt(address: SocketAddr, path: &str, form: &[(&str, &str)]) -> Option<Reply> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let mut request = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    APP.headers().iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
    request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    // What broke off in the middle is no acknowledgement.
    parse(&answer).filter(|reply| serde_json::from_str::<serde_json::Value>(&reply.text).is_ok())
}

fn name_of(user_id: &str) -> String {
    format!("Name of {user_id}")
}

fn send(address: SocketAddr, kind: Kind, who: &str, target: &str) -> Sent {
    let name = name_of(who);
    let reply = match kind {
        Kind::Register => attempt(address, "/user/getToken.json", &[("userId", who), ("name", &name)]),
        Kind::Ban => attempt(address, "/user/block.json", &[("userId", who), ("minute", "600")]),
        Kind::Block => attempt(address, "/user/blacklist/add.json", &[("userId", who), ("blackUserId", target)]),
        Kind::Befriend => {
            attempt(address, "/friend/add.json", &[("userId", who), ("targetId", target), ("optType", "2")])
        }
        Kind::Deactivate => attempt(address, "/user/deactivate.json", &[("userId", who)]),
    };
    if let Some(reply) = &reply {
        assert!(matches!(reply.status, 200 | 503), "{kind:?} {who} {target}: {} {}", reply.status, reply.text);
    }
    let acknowledged = reply.is_some_and(|reply| reply.status == 200);
    Sent { kind, who: who.into(), target: target.into(), acknowledged }
}

/// Sends commands one after the other until told to stop, or until one is not acknowledged.
fn load(address: SocketAddr, prefix: &str, stop: &AtomicBool) -> Vec<Sent> {
    let mut all = vec![];
    for n in 0_u32.. {
        let (who, before) = (format!("{prefix}n{n}"), format!("{prefix}n{}", n.saturating_sub(1)));
        let mut steps = vec![(Kind::Register, who.clone(), String::new())];
        if n > 0 {
            steps.push((Kind::Befriend, who.clone(), before.clone()));
            steps.push((Kind::Block, before, who.clone()));
        }
        if n % 2 == 0 {
            steps.push((Kind::Ban, who.clone(), String::new()));
        }
        if n % 5 == 0 {
            let leaving = format!("{prefix}d{n}");
            steps.push((Kind::Register, leaving.clone(), String::new()));
            steps.push((Kind::Deactivate, leaving, String::new()));
        }
        for (kind, who, target) in steps {
            if stop.load(Ordering::Relaxed) {
                return all;
            }
            all.push(send(address, kind, &who, &target));
            if !all.last().unwrap().acknowledged {
                return all;
            }
        }
    }
    all
}

/// A random number from a seed, the same each time.
fn random(seed: u64) -> u64 {
    let mixed = (seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 32
}

fn strings(reply: &Reply, list: &str, member: Option<&str>) -> Vec<String> {
    let json = reply.json();
    let one = |value: &serde_json::Value| match member {
        Some(member) => value[member].as_str().unwrap().to_owned(),
        None => value.as_str().unwrap().to_owned(),
    };
    json[list].as_array().unwrap().iter().map(one).collect()
}

/// Every page of a list, each member counted.
fn counted(service: &Service, path: &str, (page, size): (&str, &str), member: Option<&str>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for number in 1.. {
        let reply = service.post(APP, path, &[(page, &number.to_string()), (size, "50")]).ok();
        let members = strings(&reply, "users", member);
        let last = members.len() < 50;
        members.into_iter().for_each(|user| *counts.entry(user).or_default() += 1);
        if last {
            break;
        }
    }
    counts
}

fn times(list: &[String], user: &str) -> usize {
    list.iter().filter(|one| *one == user).count()
}

/// How many times the effect of a command can be seen, from every side it can be seen from.
fn seen(service: &Service, sent: &Sent, banned: &HashMap<String, usize>, left: &HashMap<String, usize>) -> Vec<usize> {
    let friends = |who: &str| {
        let reply = service.post(APP, "/friend/get.json", &[("userId", who)]).ok();
        let list = strings(&reply, "friendList", Some("userId"));
        assert_eq!(reply.json()["totalCount"].as_u64().unwrap(), list.len() as u64);
        list
    };
    let named = |who: &str| {
        let reply = service.post(APP, "/user/info.json", &[("userId", who)]);
        if reply.status == 200 {
            // All of it or nothing.
            assert_eq!(reply.json()["userName"], name_of(who).as_str());
            return 1;
        }
        reply.refused(400, 400);
        0
    };
    let who = sent.who.as_str();
    match sent.kind {
        // A user that left is registered, too, only not shown.
        Kind::Register => vec![named(who) + left.get(who).copied().unwrap_or_default()],
        Kind::Ban => vec![banned.get(who).copied().unwrap_or_default()],
        Kind::Block => {
            let reply = service.post(APP, "/user/blacklist/query.json", &[("userId", who)]).ok();
            vec![times(&strings(&reply, "users", None), &sent.target)]
        }
        Kind::Befriend => vec![times(&friends(who), &sent.target), times(&friends(&sent.target), who)],
        Kind::Deactivate => {
            let times = left.get(who).copied().unwrap_or_default();
            assert_eq!(named(who), usize::from(times == 0), "{who} is neither here nor gone");
            vec![times]
        }
    }
}

fn check(service: &Service, all: &[Sent]) {
    let banned = counted(service, "/user/block/query.json", ("page", "size"), Some("userId"));
    let left = counted(service, "/user/deactivate/query.json", ("pageNo", "pageSize"), None);
    for sent in all {
        let seen = seen(service, sent, &banned, &left);
        if sent.acknowledged {
            assert!(seen.iter().all(|times| *times == 1), "{sent:?} is seen {seen:?} times");
        } else {
            assert!(seen.iter().all(|times| times == &seen[0] && *times <= 1), "{sent:?} is seen {seen:?} times");
        }
    }
}

/// Runs the load until a moment that the seed names, then kills the process.
fn round(service: &mut Service, number: u64) -> Vec<Sent> {
    let (address, stop) = (service.address, AtomicBool::new(false));
    let sent = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let stop = &stop;
                scope.spawn(move || load(address, &format!("r{number}t{thread}"), stop))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(200 + random(number) % 700));
        service.kill();
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    service.restart();
    sent
}

#[test]
fn what_was_acknowledged_is_there_exactly_once_after_every_kill() {
    let mut service = Service::start(&[APP]);
    let mut all = vec![];
    for number in 0..ROUNDS {
        let sent = round(&mut service, number);
        check(&service, &sent);
        all.extend(sent);
    }
    let acknowledged = all.iter().filter(|sent| sent.acknowledged).count();
    assert!(acknowledged > 100, "too little happened: {acknowledged}");
    for kind in [Kind::Register, Kind::Ban, Kind::Block, Kind::Befriend, Kind::Deactivate] {
        assert!(all.iter().any(|sent| sent.kind == kind && sent.acknowledged), "no {kind:?}");
    }
    check(&service, &all);
    let events = |name: &str| recorded(service.data(), name);
    service
        .eventually("every erasure comes to its end", |_| events("erasure.requested") == events("erasure.finalised"));
    for step in ["erasure.relations_ended", "erasure.scrubbed"] {
        assert_eq!(events(step), events("erasure.requested"), "{step}");
    }
    service.stop();
    assert!(log_is_gapless(service.data()) > acknowledged as u64);
    verified(&service);
    rebuilt(&service);
    verified(&service);
    service.restart();
    check(&service, &all);
}
