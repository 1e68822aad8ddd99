//! PyPI `rc-server-sdk` and PyPI `rongcloud`, which speak v1, and PyPI `ncsdk`, which speaks v4.

use std::path::Path;
use std::process::Command;

use super::{PACKAGES, said};
use crate::support::{App, Service};

fn run(environment: &str, script: &str) {
    let service = Service::start(&[App::PRODUCTION]);
    let output = Command::new(PACKAGES.join(environment).join("bin/python"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/sdk").join(script))
        .env("APP_KEY", App::PRODUCTION.key)
        .env("APP_SECRET", App::PRODUCTION.secret)
        .env("RC_API", format!("http://{}", service.address))
        .output()
        .unwrap();
    assert!(output.status.success() && said(&output).contains("\nOK"), "{}", said(&output));
    assert!(!service.errors().contains("panicked"), "{}", service.errors());
}

#[test]
fn rc_server_sdk_registers_bans_blocks_allows_and_tags() {
    run("rc-server-sdk", "rc_server_sdk.py");
}

#[test]
fn rongcloud_2_registers_bans_and_blocks_and_passes_its_own_user_tests() {
    run("rongcloud", "rongcloud_2.py");
}

#[test]
fn ncsdk_goes_through_all_its_methods_of_the_user_area() {
    run("ncsdk", "ncsdk_user_area.py");
}
