//! Whether a file system lets a file be overwritten: some write every change to a new place and keep the old one.

use std::path::{Path, PathBuf};

use crate::privacy::Error;

const MOUNTS: &str = "/proc/self/mountinfo";

/// What speaks against a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// An overwritten root would survive.
    Unsuitable(String),
    /// Good enough for trying things out.
    Doubtful(String),
}

/// What speaks against keeping a root at an absolute path.
pub(super) fn doubt_about(path: &Path) -> Option<Doubt> {
    // Without the list of mounts, as on systems other than Linux, nothing can be known.
    doubt(&std::fs::read_to_string(MOUNTS).ok()?, path)
}

/// Refuses a path on an unsuitable mount, unless it is allowed.
pub(super) fn check(path: &Path, allow_unsuitable: bool) -> Result<(), Error> {
    let (why, refused) = match doubt_about(path) {
        None => return Ok(()),
        Some(Doubt::Doubtful(why)) => (why, false),
        Some(Doubt::Unsuitable(why)) => (why, !allow_unsuitable),
    };
    if refused {
        return Err(Error::Unsuitable { path: path.into(), why });
    }
    tracing::warn!(path = %path.display(), "the root cell's file system: {why}");
    Ok(())
}

struct Mount<'m> {
    point: PathBuf,
    kind: &'m str,
    options: [&'m str; 2],
}

fn doubt(mounts: &str, path: &Path) -> Option<Doubt> {
    let over = mounts.lines().filter_map(mount).filter(|mount| path.starts_with(&mount.point));
    // Of mounts on one point the last one is seen.
    let mount = over.max_by_key(|mount| mount.point.as_os_str().len())?;
    let option = |name: &str| mount.options.iter().any(|list| list.split(',').any(|option| option == name));
    let unsuitable =
        |how: &str| Some(Doubt::Unsuitable(format!("{} {how}, so an overwritten root survives", mount.kind)));
    let doubtful = |why: &str| Some(Doubt::Doubtful(format!("{} {why}", mount.kind)));
    match mount.kind {
        "btrfs" | "zfs" | "bcachefs" | "nilfs2" | "f2fs" => unsuitable("writes every change to a new place"),
        "ext3" | "ext4" if option("data=journal") => unsuitable("with data=journal keeps a second copy in its journal"),
        "overlay" => doubtful("hides what it writes to; keep the data directory on a volume of ext4 or xfs"),
        "tmpfs" | "ramfs" => doubtful("forgets everything when the machine stops"),
        _ => None,
    }
}

/// One line: `id parent device root point options [tags…] - kind source options`.
fn mount(line: &str) -> Option<Mount<'_>> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(4);
    let (point, options) = (unescape(before.next()?), before.next()?);
    let mut after = after.split(' ');
    let kind = after.next()?;
    Some(Mount { point, kind, options: [options, after.nth(1).unwrap_or_default()] })
}

/// Blanks and backslashes of a path stand as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let text = text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\");
    PathBuf::from(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MOUNTS: &str = r"22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
30 27 0:31 / /pool rw,noatime shared:2 master:3 - zfs pool/data rw,xattr
31 27 0:32 /@home /home rw,relatime - btrfs /dev/sdb1 rw,ssd,subvol=/@home
32 31 8:17 / /home/ada/keys\040and\134more rw,relatime - xfs /dev/sdb2 rw,attr2
33 27 8:33 / /journalled rw,relatime - ext4 /dev/sdc1 rw,data=journal
34 27 8:34 / /ordered rw,relatime - ext4 /dev/sdc2 rw,data=ordered
35 27 8:35 / /flash rw - f2fs /dev/sdd rw
36 27 8:36 / /cow rw - bcachefs /dev/sde rw
37 27 8:37 / /log rw - nilfs2 /dev/sdf rw
40 27 0:40 / /container rw - overlay overlay rw,upperdir=/x
41 27 0:41 / /tmp rw,nosuid - tmpfs tmpfs rw
42 27 0:42 / /twice rw - btrfs /dev/sdg rw
43 42 0:43 / /twice rw - ext4 /dev/sdh rw
44 27 0:44 / /disguised\040-\040ext4 rw - btrfs /dev/sdi rw
";

    fn verdict(path: &str) -> &'static str {
        match doubt(MOUNTS, Path::new(path)) {
            None => "suitable",
            Some(Doubt::Doubtful(_)) => "doubtful",
            Some(Doubt::Unsuitable(_)) => "unsuitable",
        }
    }

    #[test]
    fn a_mount_that_keeps_what_is_overwritten_is_unsuitable_and_the_nearest_mount_counts() {
        for (path, expected) in [
            ("/var/lib/rollcall/root.cell", "suitable"),
            ("/pool/root.cell", "unsuitable"),
            ("/poolside/root.cell", "suitable"),
            ("/home/ada/root.cell", "unsuitable"),
            (r"/home/ada/keys and\more/root.cell", "suitable"),
            ("/journalled/root.cell", "unsuitable"),
            ("/ordered/root.cell", "suitable"),
            ("/flash/root.cell", "unsuitable"),
            ("/cow/root.cell", "unsuitable"),
            ("/log/root.cell", "unsuitable"),
            ("/container/root.cell", "doubtful"),
            ("/tmp/root.cell", "doubtful"),
            ("/twice/root.cell", "suitable"),
            ("/disguised - ext4/root.cell", "unsuitable"),
        ] {
            assert_eq!(verdict(path), expected, "{path}");
        }
    }

    #[test]
    fn what_cannot_be_read_of_the_mounts_speaks_against_nothing() {
        for mounts in ["", "nonsense", "1 2 3 - btrfs", "1 2 3 4 5 6 7 8 9", " - ", "1 0 0:1 / / rw - "] {
            assert_eq!(doubt(mounts, Path::new("/root.cell")), None, "{mounts:?}");
        }
    }

    #[test]
    fn the_reason_names_the_file_system() {
        let Some(Doubt::Unsuitable(why)) = doubt(MOUNTS, Path::new("/pool/root.cell")) else { panic!("suitable") };
        assert!(why.starts_with("zfs "), "{why}");
    }
}
