//! Apps and their secrets, changed while the service is stopped.

use std::path::Path;
use std::process::Output;

use super::{one_sentence, path, rollcall, text};
use crate::support::service::signature;
use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;

fn ended_well(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// What follows `label` on its line.
fn after<'t>(text: &'t str, label: &str) -> &'t str {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    line.unwrap_or_else(|| panic!("no {label:?} in {text}")).trim()
}

fn call(service: &Service, key: &str, secret: &str) -> Reply {
    let headers = [
        ("App-Key", key.to_owned()),
        ("Nonce", "1".into()),
        ("Timestamp", "2".into()),
        ("Signature", signature(secret, "1", "2")),
        ("Content-Type", "application/x-www-form-urlencoded".into()),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value));
    service.request("POST", "/user/getToken.json", &headers, b"userId=ada&name=Ada")
}

/// Fails where a file of the data directory holds one of the texts.
fn nowhere_in_files(data: &Path, texts: &[&str]) {
    for entry in data.read_dir().unwrap() {
        let file = entry.unwrap().path();
        if file.is_file() {
            let bytes = std::fs::read(&file).unwrap();
            for text in texts {
                let found = bytes.windows(text.len()).any(|window| window == text.as_bytes());
                assert!(!found, "{text} is in {}", file.display());
            }
        }
    }
}

#[test]
fn both_secrets_sign_until_the_old_one_is_retired_and_none_is_written_anywhere() {
    let mut service = Service::start(&[APP]);
    call(&service, APP.key, APP.secret).ok();
    service.stop();
    let mut errors = service.errors();
    let rotated = service.command(&["apps", "rotate-secret", APP.key]);
    let new = after(&ended_well(&rotated), "App-Secret 2:").to_owned();
    assert!(ended_well(&service.command(&["apps", "list"])).contains("secrets 1,2"));

    service.restart();
    call(&service, APP.key, APP.secret).ok();
    call(&service, APP.key, &new).ok();
    call(&service, APP.key, "neither").refused(401, 1004);
    service.stop();
    errors += &service.errors();
    let retired = service.command(&["apps", "rotate-secret", APP.key, "--retire", "1"]);
    ended_well(&retired);
    assert!(ended_well(&service.command(&["apps", "list"])).contains("secrets 2"));

    // Not by `restart`, which names the first secret again.
    let data = service.data().to_owned();
    let again = Service::start_in(&data, &[]);
    call(&again, APP.key, APP.secret).refused(401, 1004);
    call(&again, APP.key, &new).ok();
    drop(again);
    errors += &Service::try_start(&data, &[APP], &[]).err().unwrap();
    nowhere_in_files(&data, &[APP.secret, &new]);
    errors += &text(&rotated.stderr);
    errors += &text(&retired.stderr);
    assert!(!errors.contains(APP.secret) && !errors.contains(&new), "{errors}");
}

#[test]
fn the_last_secret_an_unknown_one_and_an_unknown_app_are_refused_in_one_sentence() {
    let mut service = Service::start(&[APP]);
    service.stop();
    for args in [
        &["apps", "rotate-secret", APP.key, "--retire", "1"][..],
        &["apps", "rotate-secret", APP.key, "--retire", "9"],
        &["apps", "rotate-secret", "nobody"],
        &["apps", "rotate-secret", "nobody", "--retire", "1"],
        &["apps", "set", "nobody", "--token-lifetime-seconds", "60"],
    ] {
        one_sentence(&service.command(args), &[]);
    }
    service.restart();
    call(&service, APP.key, APP.secret).ok();
}

#[test]
fn an_app_that_is_created_is_listed_and_serves_and_cannot_be_created_twice() {
    let mut service = Service::start(&[APP]);
    service.stop();
    let args = ["apps", "create", "--key", "second", "--environment", "production", "--plan", "pro"];
    let secret = after(&ended_well(&service.command(&args)), "App-Secret:").to_owned();
    one_sentence(&service.command(&args), &["second", "exists"]);
    let unnamed = ended_well(&service.command(&["apps", "create"]));
    let (key, other) = (after(&unnamed, "App-Key:").to_owned(), after(&unnamed, "App-Secret:").to_owned());
    let listed = ended_well(&service.command(&["apps", "list"]));
    assert!(listed.lines().any(|line| line == "second\tproduction\tpro\tsecrets 1"), "{listed}");
    assert!(listed.contains(&format!("{key}\tdevelopment\tstarter\tsecrets 1")), "{listed}");
    assert!(!listed.contains(&secret) && !listed.contains(&other));
    service.restart();
    call(&service, "second", &secret).ok();
    call(&service, &key, &other).ok();
    call(&service, "second", &other).refused(401, 1004);
    nowhere_in_files(service.data(), &[&secret, &other]);
}

#[test]
fn settings_of_an_app_hold_after_they_are_set_and_what_is_not_given_stays() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    let profile = [("userId", "ada"), ("userExtProfile", r#"{"ext_a":"x"}"#)];
    assert_ne!(service.post(APP, "/user/profile/set.json", &profile).status, 200);
    service.stop();
    ended_well(&service.command(&["apps", "set", APP.key, "--user-field", "ext_a", "--friend-permission", "nobody"]));
    ended_well(&service.command(&["apps", "set", APP.key, "--user-field", "ext_b"]));
    service.restart();
    service.post(APP, "/user/profile/set.json", &profile).ok();
    let add = [("userId", "ada"), ("targetId", "bob"), ("optType", "1")];
    service.post(APP, "/friend/add.json", &add).refused(400, 25471);
}

#[test]
fn what_is_printed_to_nobody_is_no_error_and_what_cannot_be_printed_is_one() {
    let mut service = Service::start(&[APP]);
    service.stop();
    let create = |key: &str| {
        let mut command = rollcall(&["apps", "create", "--key", key, "--data-dir", path(service.data())]);
        command.env("ROLLCALL_LOG", "warn");
        command
    };
    let (reader, nobody_reads) = std::io::pipe().unwrap();
    drop(reader);
    let created = create("one").stdout(nobody_reads).output().unwrap();
    assert!(created.status.success(), "{}", text(&created.stderr));
    assert_eq!(text(&created.stderr), "");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let unprinted = create("two").stdout(full).output().unwrap();
    one_sentence(&unprinted, &["printed", "No space left"]);
    assert_eq!(unprinted.status.code(), Some(74), "none by which a command tells what it found");
    let listed = ended_well(&service.command(&["apps", "list"]));
    assert!(listed.contains("one\t") && listed.contains("two\t"), "{listed}");
}
