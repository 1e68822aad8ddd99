//! The service in a process of its own, so that its memory is its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::bench::Error;

/// A node that serves.
pub(super) struct Child {
    process: std::process::Child,
    pub(super) address: SocketAddr,
}

/// Runs a command of this program to its end; answers what it printed.
pub(super) fn command(args: &[String]) -> Result<String, Error> {
    let output = Command::new(std::env::current_exe()?).args(args).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(Error::Constant(format!("`rollcall {}` failed", args.join(" "))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Child {
    /// Starts a node and waits until it serves.
    pub(super) fn start(args: &[String]) -> Result<Self, Error> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["serve", "--listen", "127.0.0.1:0", "--drain-seconds", "0"])
            .args(args)
            .env("ROLLCALL_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(process.stdout.take().ok_or_else(unready)?).lines();
        let said = lines.by_ref().map_while(Result::ok);
        let address = said.filter_map(|line| line.strip_prefix("listening on http://")?.parse().ok()).next();
        // What it prints later must not fill the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        match address {
            Some(address) => Ok(Self { process, address }),
            None => {
                process.kill()?;
                process.wait()?;
                Err(unready())
            }
        }
    }

    /// Memory that is its own, in KiB.
    pub(super) fn memory_kib(&self) -> Result<u64, Error> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        kib.ok_or_else(|| Error::Constant("the system does not tell the memory of a process".into()))
    }
}

fn unready() -> Error {
    Error::Constant("the service did not start".into())
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
