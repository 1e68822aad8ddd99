//! A data directory that belongs to somebody else, as a volume of an orchestrator does.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use crate::support::{App, Service};

const APP: App = App::PRODUCTION;
/// Who the service runs as: nobody in particular, in a group of its own.
const OTHER: u32 = 10_001;
const AS_OTHER: [&str; 6] =
    ["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", "--bounding-set=-all", "--"];

/// A volume of root, given to the group of the service, with this mode; nothing where the tests do not run as root.
fn volume(mode: u32) -> Option<(tempfile::TempDir, PathBuf)> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let volume = dir.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    if chown(&volume, Some(0), Some(OTHER)).is_err() {
        return None;
    }
    std::fs::set_permissions(&volume, std::fs::Permissions::from_mode(mode)).unwrap();
    Some((dir, volume))
}

fn serve(data: &Path) -> Result<Service, String> {
    Service::try_start(data, &[APP], &AS_OTHER)
}

#[test]
fn a_volume_of_root_that_the_group_may_use_and_nobody_else_is_served_from() {
    let Some((_dir, volume)) = volume(0o2770) else { return };
    let mut service = serve(&volume).unwrap();
    service.register(APP, &["ada"]);
    service.stop();
    assert_eq!(volume.metadata().unwrap().permissions().mode() & 0o7777, 0o2770);
}

#[test]
fn a_volume_of_root_that_everybody_may_read_is_refused_and_a_directory_in_it_is_not() {
    let Some((_dir, volume)) = volume(0o2775) else { return };
    let said = serve(&volume).err().unwrap();
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(said.contains("mode 775") && said.contains("--data-dir"), "{said}");
    assert_eq!(volume.read_dir().unwrap().count(), 0);
    let inside = volume.join("rollcall");
    serve(&inside).unwrap().register(APP, &["ada"]);
    assert_eq!(inside.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}
