//! What an operator chooses of the clients' connections.

use std::time::Duration;

use clap::Args;
use ipnet::IpNet;

use super::Failure;
use crate::http::SocketOptions;
use crate::live::presence::Timing;
use crate::live::registry::Limits;
use crate::open_files;

/// Files that the process has open beside its clients' connections: databases, other connections, read models.
const OTHER_FILES: u64 = 4_096;

/// The settings.
#[derive(Debug, Default, Args)]
pub(super) struct SocketArgs {
    /// WebSockets of clients that this node holds at the same time, from 1 to 200,000 [default: 20000]
    #[arg(long, value_name = "N", env = "ROLLCALL_CLIENT_CONNECTIONS")]
    pub(super) client_connections: Option<usize>,
    /// How many of them may be of one app [default: all]
    #[arg(long, value_name = "N", env = "ROLLCALL_CLIENT_CONNECTIONS_PER_APP")]
    pub(super) client_connections_per_app: Option<usize>,
    /// How many of them may be of one user, where its app allows several devices of a class [default: 16]
    #[arg(long, value_name = "N", env = "ROLLCALL_CLIENT_CONNECTIONS_PER_USER")]
    pub(super) client_connections_per_user: Option<usize>,
    /// How many of them may come from one address [default: 1000]; behind a proxy, name it with --trusted-proxy
    #[arg(long, value_name = "N", env = "ROLLCALL_CLIENT_CONNECTIONS_PER_ADDRESS")]
    pub(super) client_connections_per_address: Option<usize>,
    /// Ask each client for a sign of life every N seconds, from 1 to 600; it has a third of that to give one [default: 25]
    #[arg(long, value_name = "N", env = "ROLLCALL_CLIENT_HEARTBEAT_SECONDS")]
    pub(super) client_heartbeat_seconds: Option<f64>,
    /// Close a WebSocket whose client has not said who it is within N seconds, from 1 to 60 [default: 10]
    #[arg(long, value_name = "N", env = "ROLLCALL_CLIENT_CONNECT_SECONDS")]
    pub(super) client_connect_seconds: Option<f64>,
    /// Requests that a WebSocket may carry in a second on average, from 1 to 10,000; twice as many at once [default: 20]
    #[arg(long, value_name = "N", env = "ROLLCALL_CLIENT_REQUESTS_PER_SECOND")]
    pub(super) client_requests_per_second: Option<u32>,
    /// A node that was killed or cut off keeps its users online for N seconds, from 2 to 60, and closes their WebSockets after three
    /// quarters of that; for all nodes the same [default: 12]
    #[arg(long, value_name = "N", env = "ROLLCALL_PRESENCE_LEASE_SECONDS")]
    pub(super) presence_lease_seconds: Option<f64>,
    /// Believe the X-Forwarded-For of a proxy in this range of addresses, such as 10.0.0.0/8; may be repeated
    #[arg(long = "trusted-proxy", value_name = "RANGE", env = "ROLLCALL_TRUSTED_PROXY", value_delimiter = ',')]
    pub(super) trusted_proxies: Vec<IpNet>,
}

fn within<T: PartialOrd + std::fmt::Display>(name: &str, value: T, min: T, max: T) -> Result<T, Failure> {
    if value >= min && value <= max { Ok(value) } else { Err(format!("{name} must be from {min} to {max}").into()) }
}

impl SocketArgs {
    /// These settings, and those of a file where nothing else is said.
    pub(super) fn over(self, file: Self) -> Self {
        let trusted = if self.trusted_proxies.is_empty() { file.trusted_proxies } else { self.trusted_proxies };
        Self {
            client_connections: self.client_connections.or(file.client_connections),
            client_connections_per_app: self.client_connections_per_app.or(file.client_connections_per_app),
            client_connections_per_user: self.client_connections_per_user.or(file.client_connections_per_user),
            client_connections_per_address: self.client_connections_per_address.or(file.client_connections_per_address),
            client_heartbeat_seconds: self.client_heartbeat_seconds.or(file.client_heartbeat_seconds),
            client_connect_seconds: self.client_connect_seconds.or(file.client_connect_seconds),
            client_requests_per_second: self.client_requests_per_second.or(file.client_requests_per_second),
            presence_lease_seconds: self.presence_lease_seconds.or(file.presence_lease_seconds),
            trusted_proxies: trusted,
        }
    }

    /// How long a node is believed to live.
    ///
    /// # Errors
    /// It is out of its range.
    pub(super) fn timing(&self) -> Result<Timing, Failure> {
        let seconds = self.presence_lease_seconds.unwrap_or(Timing::DEFAULT.lease.as_secs_f64());
        let seconds = within("--presence-lease-seconds", seconds, 2.0, 60.0)?;
        Ok(Timing { lease: Duration::from_secs_f64(seconds) })
    }

    /// What they mean.
    ///
    /// # Errors
    /// One of them is out of its range.
    pub(super) fn read(self) -> Result<(Limits, SocketOptions), Failure> {
        let (limits, usual) = (Limits::default(), SocketOptions::default());
        let node = self.client_connections.unwrap_or(limits.node);
        let node = within("--client-connections", node, 1, 200_000)?;
        let limits = Limits {
            node,
            app: self.client_connections_per_app.unwrap_or(node),
            user: self.client_connections_per_user.unwrap_or(limits.user),
            address: self.client_connections_per_address.unwrap_or(limits.address),
        };
        let (heartbeat, connect) = (usual.heartbeat.as_secs_f64(), usual.connect_wait.as_secs_f64());
        let heartbeat = self.client_heartbeat_seconds.unwrap_or(heartbeat);
        let connect = self.client_connect_seconds.unwrap_or(connect);
        let requests = self.client_requests_per_second.unwrap_or(usual.requests_per_second);
        let options = SocketOptions {
            heartbeat: Duration::from_secs_f64(within("--client-heartbeat-seconds", heartbeat, 1.0, 600.0)?),
            connect_wait: Duration::from_secs_f64(within("--client-connect-seconds", connect, 1.0, 60.0)?),
            requests_per_second: within("--client-requests-per-second", requests, 1, 10_000)?,
            trusted_proxies: self.trusted_proxies,
        };
        Ok((limits, options))
    }
}

/// Has the process open as many files as its connections may need, as far as the system lets it; says so where it does not.
pub(super) fn raise_file_limit(limits: Limits) {
    let wanted = limits.node as u64 + OTHER_FILES;
    let allowed = open_files::allow(wanted);
    if allowed < wanted {
        // There are fewer connections then; that is no reason not to serve.
        tracing::warn!(
            allowed,
            wanted,
            "the system lets this process open fewer files than --client-connections may need; raise the limit (ulimit -n)"
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_setting_out_of_its_range_is_refused_and_a_flag_is_stronger_than_the_file() {
        let file = || SocketArgs { client_connections: Some(5), ..SocketArgs::default() };
        assert_eq!(SocketArgs::default().over(file()).read().unwrap().0.node, 5);
        let flag = SocketArgs { client_connections: Some(7), ..SocketArgs::default() };
        let (limits, _) = flag.over(file()).read().unwrap();
        assert_eq!((limits.node, limits.app), (7, 7));
        let wrong = SocketArgs { client_heartbeat_seconds: Some(f64::NAN), ..SocketArgs::default() };
        assert!(wrong.read().is_err());
    }
}
