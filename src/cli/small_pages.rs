//! Keeps the kernel from giving this process huge pages.

use rustix::thread::disable_transparent_huge_pages;

/// Has memory come in pages of 4 KiB. The allocator asks for huge pages, of which the kernel clears 2 MiB at a time while
/// somebody waits, and which stay whole for whatever little is used of them. A service with 19,500 connections takes a fifth more
/// memory with them, and a registration a third more of the kernel's time: measured against an allocator that does not ask.
///
/// A kernel that refuses is no reason not to run.
pub(super) fn use_small_pages() {
    let _ = disable_transparent_huge_pages(true);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rustix::thread::transparent_huge_pages_are_disabled;

    #[test]
    fn the_process_is_given_no_huge_pages() {
        super::use_small_pages();
        assert!(transparent_huge_pages_are_disabled().unwrap());
    }
}
