//! The examples of `deploy/` that name settings of ours.

use std::path::Path;
use std::process::Command;

use rollcall::cli::config;

fn example(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

#[test]
fn the_settings_of_the_patroni_example_are_read() {
    let settings = config::read(&example("patroni/rollcall.toml")).unwrap();
    let database = settings.database.unwrap().0;
    assert!(database.has_several_servers());
    assert!(database.weaknesses().is_empty());
    assert!(settings.request_timeout_seconds.is_some());
}

#[test]
fn the_patroni_example_commits_on_two_servers_and_elects_in_time() {
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let read = Command::new("python3").args(["-c", script]).arg(example("patroni/patroni.yaml")).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let patroni: serde_json::Value = serde_json::from_slice(&read.stdout).unwrap();
    let dcs = &patroni["bootstrap"]["dcs"];
    for setting in ["synchronous_mode", "synchronous_mode_strict"] {
        assert_eq!(dcs[setting], true, "{setting}");
    }
    let seconds = |setting: &str| dcs[setting].as_u64().unwrap();
    assert!(seconds("ttl") >= seconds("loop_wait") + 2 * seconds("retry_timeout"));
    assert_eq!(dcs["postgresql"]["parameters"]["synchronous_commit"], "on");
    assert_eq!(patroni["watchdog"]["mode"], "required");
}
