//! What the address of a `KurrentDB` says.

/// Settings of the client that the log relies on, unless the address has them: a node that does not answer is asked for
/// the cluster's members for a second only, the leader is sought first (every call asks for it), and between two attempts
/// there is no pause of half a second.
const DEFAULTS: [(&str, &str); 3] =
    [("gossipTimeout", "1000"), ("nodePreference", "leader"), ("discoveryInterval", "50")];

/// The address with the settings of the client that it does not have.
pub(super) fn with_defaults(address: &str) -> String {
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let has = |name: &str| parameters(query).any(|(parameter, _)| parameter.eq_ignore_ascii_case(name));
    let mut whole = address.to_owned();
    for (name, value) in DEFAULTS.into_iter().filter(|(name, _)| !has(name)) {
        whole.push(if whole.contains('?') { '&' } else { '?' });
        whole.push_str(&format!("{name}={value}"));
    }
    whole
}

/// The user that the address names.
pub(super) fn user(address: &str) -> Option<&str> {
    let (credentials, _) = authority(address).rsplit_once('@')?;
    let user = credentials.split(':').next().unwrap_or_default();
    (!user.is_empty()).then_some(user)
}

/// What somebody on the way to the server could read or change, as its address is; `None`: nothing.
#[must_use]
pub fn weakness(address: &str) -> Option<String> {
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let hosts = authority(address).rsplit('@').next().unwrap_or_default();
    if hosts.split(',').all(is_here) {
        return None;
    }
    let says_no = |name: &str| {
        parameters(query)
            .any(|(parameter, value)| parameter.eq_ignore_ascii_case(name) && value.eq_ignore_ascii_case("false"))
    };
    if says_no("tls") {
        return Some(format!("the connection to KurrentDB at {hosts} is not encrypted (tls=false)"));
    }
    let verifies = !says_no("tlsVerifyCert");
    (!verifies).then(|| {
        format!("anybody on the way may pass for KurrentDB at {hosts} (tlsVerifyCert=false); name its authority with tlsCaFile")
    })
}

/// User and hosts.
fn authority(address: &str) -> &str {
    let base = address.split('?').next().unwrap_or_default();
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|pair| pair.split_once('='))
}

/// Whether `host` or `host:port` is on the machine this runs on.
fn is_here(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_elsewhere_that_is_not_verified_is_told_and_one_on_this_host_is_not() {
        for weak in [
            "esdb://db:2113?tls=false",
            "esdb://ada:secret@db:2113?TLS=False",
            "esdb://localhost:2113,db:2113?tls=false",
            "kurrentdb+discover://db?nodePreference=leader&tlsVerifyCert=false",
        ] {
            let told = weakness(weak);
            assert!(told.as_ref().is_some_and(|told| !told.contains("secret")), "{weak}: {told:?}");
        }
        for sound in [
            "esdb://db:2113",
            "esdb://db:2113?tls=true&tlsVerifyCert=true",
            "esdb://127.0.0.1:2113?tls=false",
            "esdb://[::1]:2113?tls=false",
            "esdb://localhost?tlsVerifyCert=false",
        ] {
            assert_eq!(weakness(sound), None, "{sound}");
        }
    }

    #[test]
    fn the_user_is_what_stands_before_the_hosts() {
        assert_eq!(user("esdb://ada:secret@db:2113,two:2113?tls=true"), Some("ada"));
        assert_eq!(user("esdb://ada@db"), Some("ada"));
        assert_eq!(user("esdb://db:2113?tls=true&connectionName=a@b"), None);
        assert_eq!(user("esdb://:secret@db"), None);
    }

    #[test]
    fn a_setting_of_the_client_that_the_address_has_is_left_as_it_is() {
        let plain = with_defaults("esdb://db:2113");
        assert_eq!(plain, "esdb://db:2113?gossipTimeout=1000&nodePreference=leader&discoveryInterval=50");
        let named = with_defaults("esdb://db?GOSSIPTIMEOUT=7&discoveryInterval=10");
        assert_eq!(named, "esdb://db?GOSSIPTIMEOUT=7&discoveryInterval=10&nodePreference=leader");
    }
}
