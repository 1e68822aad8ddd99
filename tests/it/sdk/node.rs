//! npm `rongcloud-sdk`, with the specification it ships.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{PACKAGES, said};
use crate::support::{App, Service};

/// The specification's key, secret and host stand in one helper file; nothing else of the package is touched.
fn copy_pointed_at(service: &Service, app: App, to: &Path) {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            if from.is_dir() {
                copy(&from, &to);
            } else {
                fs::copy(from, to).unwrap();
            }
        }
    }
    copy(&PACKAGES.join("node/node_modules/rongcloud-sdk"), to);
    let helper = to.join("spec/helpers/data.js");
    let text = fs::read_to_string(&helper).unwrap();
    let pointed = text
        .replace("let appkey = '8luwapkvucoil';", &format!("let appkey = '{}';", app.key))
        .replace("let secret = 'y0icysjl4h3LWz';", &format!("let secret = '{}';", app.secret))
        .replace(
            "    secret: secret\n  });",
            &format!("    secret: secret,\n    api: 'http://{}'\n  }});", service.address),
        );
    assert_eq!(pointed.matches(app.key).count(), 1, "the helper is not as it was: {text}");
    assert_eq!(pointed.matches("api: 'http://").count(), 1, "the helper is not as it was: {text}");
    fs::write(helper, pointed).unwrap();
}

#[test]
fn the_node_sdk_passes_all_41_of_its_own_user_specs() {
    let service = Service::start(&[App::PRODUCTION]);
    let dir = tempfile::tempdir().unwrap();
    let package = dir.path().join("rongcloud-sdk");
    copy_pointed_at(&service, App::PRODUCTION, &package);
    let modules = PACKAGES.join("node/node_modules");
    let output = Command::new("node")
        .arg(modules.join("jasmine/bin/jasmine.js"))
        .arg("spec/userSpec.js")
        .current_dir(&package)
        .env("NODE_PATH", &modules)
        .output()
        .unwrap();
    assert!(said(&output).contains("41 specs, 0 failures"), "{}", said(&output));
    assert!(!service.errors().contains("panicked"), "{}", service.errors());
}
