//! Switches Nagle's algorithm off on the connections to `KurrentDB`, which the client leaves on: each small call would wait
//! 40 ms for an acknowledgement of TCP.
//!
//! The client gives nobody its sockets, so they are found among the files of this process, and each is duplicated by
//! sending it through a pair of sockets: an option of the duplicate is one of the connection. Where that cannot be done
//! (no `/proc`), calls are slower and nothing else. To be deleted once the client does it itself
//! (docs/decisions/0026-kurrentdb-failover.md).

use std::collections::HashSet;
use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, getpeername, recvmsg, sockopt};

/// The connections of this process to certain ports.
#[derive(Debug, Default)]
pub(super) struct Connections {
    ports: HashSet<u16>,
    /// Inodes of sockets that are no connection to these ports: they are not looked at again.
    others: HashSet<u64>,
}

impl Connections {
    /// The connections to these ports, whatever the host.
    pub(super) fn to(ports: impl IntoIterator<Item = u16>) -> Self {
        Self { ports: ports.into_iter().collect(), others: HashSet::new() }
    }

    /// Connections to this port too.
    pub(super) fn and_to(&mut self, port: u16) {
        if self.ports.insert(port) {
            self.others.clear();
        }
    }

    /// Switches Nagle's algorithm off on all that are open now; answers how many these are.
    ///
    /// # Errors
    /// The files of this process cannot be listed, or none of them can be duplicated.
    pub(super) fn switch_nagle_off(&mut self) -> io::Result<usize> {
        let pair = UnixStream::pair()?;
        let (mut found, mut others) = (0, HashSet::new());
        for entry in fs::read_dir("/proc/self/fd")? {
            let Ok(entry) = entry else { continue };
            let number = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
            let (Some(number), Some(inode)) = (number, socket_inode(&entry)) else { continue };
            if self.others.contains(&inode) {
                others.insert(inode);
                continue;
            }
            let Some(socket) = duplicate(number, &pair)? else { continue };
            match getpeername(&socket).map(|peer| peer.and_then(|peer| SocketAddr::try_from(peer).ok())) {
                // One that is being connected yet is looked at again.
                Err(_) => {}
                Ok(Some(peer)) if self.ports.contains(&peer.port()) => {
                    found += usize::from(sockopt::set_tcp_nodelay(&socket, true).is_ok());
                }
                Ok(_) => drop(others.insert(inode)),
            }
        }
        self.others = others;
        Ok(found)
    }
}

/// The inode of an open file, if it is a socket.
fn socket_inode(entry: &fs::DirEntry) -> Option<u64> {
    let target = fs::read_link(entry.path()).ok()?;
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Another descriptor of the socket with this number; `None`: the number is of nothing, or of something else by now.
fn duplicate(number: RawFd, (here, there): &(UnixStream, UnixStream)) -> io::Result<Option<OwnedFd>> {
    let rights = [number];
    let message = [ControlMessage::ScmRights(&rights)];
    match sendmsg::<()>(here.as_raw_fd(), &[IoSlice::new(&[0])], &message, MsgFlags::empty(), None) {
        Err(nix::errno::Errno::EBADF) => return Ok(None),
        sent => drop(sent?),
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(there, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut received = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    let Some(file) = received.next().and_then(|mut files| files.next()) else { return Ok(None) };
    if sockopt::socket_type(&file).is_err() {
        // The number was given to a file meanwhile. Closing any descriptor of a file ends every lock that this process has
        // on it, such as those of a database: this one stays open.
        std::mem::forget(file);
        return Ok(None);
    }
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn only_connections_to_the_ports_are_changed() {
        let (ours, other) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let mut connections = Connections::to([ours.local_addr().unwrap().port()]);
        let near = TcpStream::connect(ours.local_addr().unwrap()).unwrap();
        let far = TcpStream::connect(other.local_addr().unwrap()).unwrap();
        assert_eq!(connections.switch_nagle_off().unwrap(), 1);
        assert!(near.nodelay().unwrap() && !far.nodelay().unwrap());

        // What was looked at once is not again, unless there is another port; what is new is.
        let again = TcpStream::connect(ours.local_addr().unwrap()).unwrap();
        assert_eq!(connections.switch_nagle_off().unwrap(), 2);
        assert!(again.nodelay().unwrap() && !far.nodelay().unwrap());
        connections.and_to(other.local_addr().unwrap().port());
        assert_eq!(connections.switch_nagle_off().unwrap(), 3);
        assert!(far.nodelay().unwrap());
    }

    #[test]
    fn a_number_that_is_of_nothing_or_of_a_file_is_left_alone() {
        let (pair, file) = (UnixStream::pair().unwrap(), tempfile::tempfile().unwrap());
        assert!(duplicate(1_000_000, &pair).unwrap().is_none());
        assert!(duplicate(file.as_raw_fd(), &pair).unwrap().is_none());
        assert!(duplicate(pair.0.as_raw_fd(), &pair).unwrap().is_some());
    }
}
