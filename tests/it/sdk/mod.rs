//! The official SDKs, unmodified, pointed at the service. A package that is missing is installed, or the test fails.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

mod captured;
mod node;
mod python;

/// Where the packages are; installed once per run.
pub(super) static PACKAGES: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("tests/it/sdk/install.sh")).output().unwrap();
    assert!(output.status.success(), "the SDK packages cannot be installed: {}", said(&output));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("sdk")
});

pub(super) fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
