//! What the address of a database says, and what it means for each of its servers.

use std::path::Path;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::Error;

/// How long one server may take to open a connection, its handshake and log-in included, unless the address says otherwise
/// (`connect_timeout`, in seconds).
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long a server may leave a probe without an answer, unless the address says otherwise (`silence_timeout`).
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// The longest `silence_timeout`, in seconds.
const SILENCE_SECONDS_MAX: u64 = 600;
/// After how long without an acknowledgement of what was sent the kernel ends a connection (`tcp_user_timeout`).
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);
/// After how long without any traffic the kernel asks whether the other side is there, how often it asks, and how many
/// questions without an answer end the connection (`keepalives_idle`, `keepalives_interval`, `keepalives_retries`).
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(2);
const KEEPALIVES_MAX: u32 = 3;
/// What the driver has where an address names no `keepalives_idle`.
const KEEPALIVE_UNSAID: Duration = Duration::from_secs(2 * 60 * 60);

/// An address, taken apart.
pub(super) struct Address {
    /// What the driver understands of it.
    pub(super) config: Config,
    /// A file of certificates to trust.
    pub(super) roots: Option<String>,
    /// How long a server may leave a probe without an answer.
    pub(super) silence_max: Duration,
    /// How the connection is to be protected, where it says so.
    mode: Option<SslMode>,
}

/// One server of an address.
pub(super) struct Server {
    /// The address with this server alone.
    pub(super) config: Config,
    /// How long it may take to open a connection.
    pub(super) connect_max: Duration,
    /// Its name, for messages.
    pub(super) name: String,
    is_here: bool,
    is_explicit: bool,
}

impl Address {
    pub(super) fn parse(address: &str) -> Result<Self, Error> {
        let names_attributes = address.contains("target_session_attrs=");
        let (address, [roots, mode, silence]) = without(address, ["sslrootcert=", "sslmode=", "silence_timeout="]);
        let mut config: Config = address.parse().map_err(|error: tokio_postgres::Error| {
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Error::Address(cause)
        })?;
        if config.get_application_name().is_none() {
            config.application_name("rollcall");
        }
        if config.get_connect_timeout().is_none_or(Duration::is_zero) {
            config.connect_timeout(CONNECT_MAX);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNACKNOWLEDGED_MAX);
        }
        if config.get_keepalives_idle() == KEEPALIVE_UNSAID {
            config.keepalives_idle(KEEPALIVE_AFTER);
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_interval(KEEPALIVE_EVERY);
        }
        if config.get_keepalives_retries().is_none() {
            config.keepalives_retries(KEEPALIVES_MAX);
        }
        if !names_attributes && config.get_hosts().len().max(config.get_hostaddrs().len()) > 1 {
            // Of several servers one takes writes, and a service can do nothing with another one.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let silence_max = silence.as_deref().map_or(Ok(SILENCE_MAX), seconds)?;
        Ok(Self { config, roots, silence_max, mode: mode.as_deref().map(self::mode).transpose()? })
    }

    /// Each server, in the order of the address.
    pub(super) fn servers(&self) -> Vec<Server> {
        let (hosts, addresses, ports) = (self.config.get_hosts(), self.config.get_hostaddrs(), self.config.get_ports());
        let count = hosts.len().max(addresses.len());
        let fits = |given: usize| given == 0 || given == count;
        if count == 0 || !fits(hosts.len()) || !fits(addresses.len()) || ports.len() > 1 && ports.len() != count {
            // The driver says what is wrong with it.
            let (config, name) = (self.config.clone(), String::new());
            return vec![Server { config, connect_max: CONNECT_MAX, name, is_here: true, is_explicit: true }];
        }
        (0..count).map(|index| self.server(index)).collect()
    }

    fn server(&self, index: usize) -> Server {
        let whole = &self.config;
        let mut config = Config::new();
        // What cannot be taken out of an address is left out of this copy of it.
        copy(whole.get_user(), |user| {
            config.user(user);
        });
        copy(whole.get_password(), |password| {
            config.password(password);
        });
        copy(whole.get_dbname(), |name| {
            config.dbname(name);
        });
        copy(whole.get_options(), |options| {
            config.options(options);
        });
        copy(whole.get_application_name(), |name| {
            config.application_name(name);
        });
        copy(whole.get_connect_timeout(), |limit| {
            config.connect_timeout(*limit);
        });
        copy(whole.get_tcp_user_timeout(), |limit| {
            config.tcp_user_timeout(*limit);
        });
        copy(whole.get_keepalives_interval(), |every| {
            config.keepalives_interval(every);
        });
        copy(whole.get_keepalives_retries(), |retries| {
            config.keepalives_retries(retries);
        });
        config.keepalives(whole.get_keepalives()).keepalives_idle(whole.get_keepalives_idle());
        config.ssl_negotiation(whole.get_ssl_negotiation()).channel_binding(whole.get_channel_binding());
        config.target_session_attrs(whole.get_target_session_attrs());

        let (host, address) = (whole.get_hosts().get(index), whole.get_hostaddrs().get(index));
        let port = whole.get_ports().get(index).or(whole.get_ports().first());
        copy(port, |port| {
            config.port(*port);
        });
        copy(address, |address| {
            config.hostaddr(*address);
        });
        match host {
            Some(Host::Tcp(name)) => {
                config.host(name);
            }
            Some(Host::Unix(path)) => {
                config.host_path(path);
            }
            None => {}
        }
        let is_here = address.map_or_else(|| host.is_some_and(is_here), |address| address.is_loopback());
        let unsaid = if is_here { SslMode::Prefer } else { SslMode::Require };
        config.ssl_mode(self.mode.unwrap_or(unsaid));
        let name = match (host, address) {
            (Some(Host::Tcp(name)), _) => name.clone(),
            (Some(Host::Unix(path)), _) => path.display().to_string(),
            (None, address) => address.map(ToString::to_string).unwrap_or_default(),
        };
        let connect_max = whole.get_connect_timeout().copied().unwrap_or(CONNECT_MAX);
        Server { config, connect_max, name, is_here, is_explicit: self.mode.is_some() }
    }
}

fn copy<T>(value: Option<T>, set: impl FnOnce(T)) {
    if let Some(value) = value {
        set(value);
    }
}

/// Whether this host is the one this program runs on.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()),
        Host::Unix(path) => Path::new("/") != path,
    }
}

/// Whoever asks for TLS gets one that is worth something: the server's certificate and name are always verified.
fn mode(text: &str) -> Result<SslMode, Error> {
    match text {
        "disable" => Ok(SslMode::Disable),
        "prefer" => Ok(SslMode::Prefer),
        "require" | "verify-ca" | "verify-full" => Ok(SslMode::Require),
        other => Err(Error::Address(format!("sslmode={other} is none of disable, prefer, require and verify-full"))),
    }
}

fn seconds(text: &str) -> Result<Duration, Error> {
    match text.parse() {
        Ok(seconds @ 1..=SILENCE_SECONDS_MAX) => Ok(Duration::from_secs(seconds)),
        _ => Err(Error::Address(format!(
            "silence_timeout={text} is no number of seconds from 1 to {SILENCE_SECONDS_MAX}"
        ))),
    }
}

/// The address without these parameters, which the driver does not know as they are meant here, and their values.
fn without<const N: usize>(address: &str, parameters: [&str; N]) -> (String, [Option<String>; N]) {
    let mut values = [const { None }; N];
    let mut keep = |pair: &&str| {
        for (value, parameter) in values.iter_mut().zip(parameters) {
            if let Some(said) = pair.strip_prefix(parameter) {
                *value = Some(said.to_owned());
                return false;
            }
        }
        true
    };
    let kept = match address.split_once('?') {
        Some((base, query)) => {
            let kept: Vec<_> = query.split('&').filter(&mut keep).collect();
            if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) }
        }
        None => address.split(' ').filter(&mut keep).collect::<Vec<_>>().join(" "),
    };
    (kept, values)
}

impl Server {
    /// What an eavesdropper on the way to it would see or could do; `None`: nothing.
    pub(super) fn weakness(&self) -> Option<String> {
        let name = &self.name;
        match self.config.get_ssl_mode() {
            _ if self.is_here => None,
            SslMode::Disable => Some(format!(
                "the connection to the database at {name} is not encrypted (sslmode=disable); use sslmode=verify-full"
            )),
            SslMode::Prefer => Some(format!(
                "the connection to the database at {name} is encrypted only where nobody on the way says otherwise \
                 (sslmode=prefer); use sslmode=verify-full"
            )),
            _ => None,
        }
    }

    /// What went wrong, and what to do where TLS was not asked for.
    pub(super) fn explain(&self, error: &tokio_postgres::Error) -> String {
        let said = super::describe(error);
        if self.is_here || self.is_explicit || error.as_db_error().is_some() || !said.contains("TLS") {
            return said;
        }
        format!(
            "{said}. The address names no sslmode, and {} is not this host: then its certificate must be valid \
             (sslmode=verify-full). Name the authority that issued it with sslrootcert=FILE, or choose another sslmode",
            self.name
        )
    }

    pub(super) fn silent(&self) -> String {
        format!("the database at {} does not answer", self.name)
    }

    /// Why it is not used although it takes writes.
    pub(super) fn former(&self, timeline: u32, newest: u32) -> String {
        format!(
            "the database at {} is on timeline {timeline}, and another server was on timeline {newest}: it was the primary \
             before, and must be made a standby (pg_rewind) or be stopped",
            self.name
        )
    }

    /// The address with this server alone, as it is probed: also while it takes no writes.
    pub(super) fn probed(&self) -> Config {
        let mut config = self.config.clone();
        config.target_session_attrs(TargetSessionAttrs::Any).application_name("rollcall-probe");
        config
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn modes(address: &str) -> Vec<SslMode> {
        let servers = Address::parse(address).unwrap().servers();
        servers.iter().map(|server| server.config.get_ssl_mode()).collect()
    }

    #[test]
    fn a_server_elsewhere_must_show_a_valid_certificate_unless_the_address_says_otherwise() {
        for here in ["host=/run/pg", "host=localhost", "host=127.0.0.1", "host=db hostaddr=127.0.0.1", "host=::1"] {
            assert_eq!(modes(here), [SslMode::Prefer], "{here}");
        }
        assert_eq!(modes("host=db"), [SslMode::Require]);
        assert_eq!(modes("host=localhost hostaddr=10.0.0.1"), [SslMode::Require]);
        assert_eq!(modes("host=/run/pg,db"), [SslMode::Prefer, SslMode::Require]);
        for (said, meant) in [
            ("disable", SslMode::Disable),
            ("prefer", SslMode::Prefer),
            ("require", SslMode::Require),
            ("verify-ca", SslMode::Require),
            ("verify-full", SslMode::Require),
        ] {
            assert_eq!(modes(&format!("postgres://a@db/c?sslmode={said}")), [meant], "{said}");
        }
        let refused = Address::parse("host=db sslmode=maybe").err().unwrap().to_string();
        assert!(refused.contains("verify-full"), "{refused}");
    }

    #[test]
    fn a_weaker_connection_to_another_host_is_told_and_one_on_this_host_is_not() {
        let weak = |address| Address::parse(address).unwrap().servers().iter().filter_map(Server::weakness).count();
        assert_eq!(weak("host=a,b sslmode=disable"), 2);
        assert_eq!(weak("host=a,localhost sslmode=prefer"), 1);
        assert_eq!(weak("host=a sslmode=require") + weak("host=a") + weak("host=localhost sslmode=disable"), 0);
    }

    #[test]
    fn each_server_of_an_address_has_its_own_port_and_all_that_they_share() {
        let address = "host=a,b port=1,2 user=u password=p dbname=d target_session_attrs=read-write options='-c x=1'";
        let servers = Address::parse(address).unwrap().servers();
        let ports: Vec<_> = servers.iter().map(|server| server.config.get_ports().to_vec()).collect();
        assert_eq!(ports, [[1], [2]]);
        for Server { config, .. } in &servers {
            let whole = Address::parse(address).unwrap().config;
            assert_eq!(config.get_hosts().len(), 1);
            assert_eq!((config.get_user(), config.get_password()), (whole.get_user(), whole.get_password()));
            assert_eq!((config.get_dbname(), config.get_options()), (whole.get_dbname(), whole.get_options()));
            assert_eq!(config.get_target_session_attrs(), whole.get_target_session_attrs());
        }
    }

    #[test]
    fn an_address_may_say_how_long_a_server_may_be_silent() {
        let parsed = |address: &str| Address::parse(address).map_err(|error| error.to_string());
        let said = parsed("postgres://a@b/c?connect_timeout=7&tcp_user_timeout=8&silence_timeout=9&keepalives_idle=11");
        let said = said.unwrap();
        assert_eq!(said.silence_max, Duration::from_secs(9));
        assert_eq!(said.servers()[0].connect_max, Duration::from_secs(7));
        assert_eq!(said.config.get_keepalives_idle(), Duration::from_secs(11));
        assert!(said.config.get_tcp_user_timeout().is_some_and(|limit| *limit != UNACKNOWLEDGED_MAX));
        let unsaid = parsed("postgres://a@b/c").unwrap();
        assert_eq!((unsaid.silence_max, unsaid.servers()[0].connect_max), (SILENCE_MAX, CONNECT_MAX));
        assert_eq!(unsaid.config.get_keepalives_idle(), KEEPALIVE_AFTER);
        for wrong in ["0", "601", "-1", "x", ""] {
            let refused = parsed(&format!("host=b silence_timeout={wrong}")).err().unwrap();
            assert!(refused.contains("from 1 to 600"), "{wrong}: {refused}");
        }
    }

    #[test]
    fn of_several_servers_one_that_takes_writes_is_meant_unless_the_address_says_otherwise() {
        let attributes = |address: &str| Address::parse(address).unwrap().config.get_target_session_attrs();
        assert_eq!(attributes("host=a"), TargetSessionAttrs::Any);
        assert_eq!(attributes("postgres://u@a,b/c"), TargetSessionAttrs::ReadWrite);
        assert_eq!(attributes("host=a,b target_session_attrs=any"), TargetSessionAttrs::Any);
    }

    #[test]
    fn an_address_may_name_the_certificates_it_trusts() {
        let roots = |address| Address::parse(address).unwrap().roots;
        assert_eq!(roots("postgres://a@b/c?sslmode=require&sslrootcert=/x.pem").unwrap(), "/x.pem");
        assert_eq!(roots("host=b sslrootcert=/x.pem user=a").unwrap(), "/x.pem");
        assert_eq!(roots("postgres://a@b/c"), None);
    }
}
