//! Which stream of a server holds the log: an address may name one, as `stream=NAME` among its parameters.

use std::path::{Path, PathBuf};

use super::STREAM;

const PARAMETER: &str = "stream";
const NAME_MAX: usize = 64;

fn is_stream(pair: &str) -> bool {
    pair.split_once('=').is_some_and(|(name, _)| name.eq_ignore_ascii_case(PARAMETER))
}

/// The names of streams in an address.
fn named(address: &str) -> impl Iterator<Item = &str> {
    let parameters = address.split_once('?').map_or("", |(_, parameters)| parameters);
    parameters.split('&').filter(|pair| is_stream(pair)).filter_map(|pair| Some(pair.split_once('=')?.1))
}

/// The stream that holds the log: [`STREAM`] where the address names none.
#[must_use]
pub fn stream(address: &str) -> &str {
    named(address).next().unwrap_or(STREAM)
}

/// Checks the name of the stream.
///
/// # Errors
/// There are two, or it is none.
pub fn check_stream(address: &str) -> Result<(), String> {
    if named(address).count() > 1 {
        return Err("the address of KurrentDB names two streams".into());
    }
    let name = stream(address);
    let fits = (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if fits { Ok(()) } else { Err(format!("a stream's name is 1 to {NAME_MAX} letters, digits, `-`, `_` and `.`")) }
}

/// Where the replica of the stream lies in a data directory.
#[must_use]
pub fn replica(address: &str, dir: &Path) -> PathBuf {
    match stream(address) {
        STREAM => dir.join("replica.db"),
        stream => dir.join(format!("replica-{stream}.db")),
    }
}

/// The address without the stream, as the client understands it.
pub(super) fn server(address: &str) -> String {
    let Some((base, parameters)) = address.split_once('?') else { return address.into() };
    let others: Vec<_> = parameters.split('&').filter(|pair| !is_stream(pair)).collect();
    if others.is_empty() { base.into() } else { format!("{base}?{}", others.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_name_the_stream() {
        for (address, without, named) in [
            ("esdb://a:2113", "esdb://a:2113", STREAM),
            ("esdb://a:2113?tls=false", "esdb://a:2113?tls=false", STREAM),
            (
                "esdb://a?tls=false&stream=log-2&discoveryInterval=10",
                "esdb://a?tls=false&discoveryInterval=10",
                "log-2",
            ),
            ("esdb://a?Stream=log.2", "esdb://a", "log.2"),
        ] {
            assert_eq!((server(address).as_str(), stream(address)), (without, named), "{address}");
            assert_eq!(check_stream(address), Ok(()));
        }
        for none in ["esdb://a?stream=", "esdb://a?stream=$all", "esdb://a?stream=../x/y", "esdb://a?stream=a&stream=b"]
        {
            assert!(check_stream(none).is_err(), "{none}");
        }
    }

    #[test]
    fn every_stream_has_a_replica_of_its_own() {
        assert_eq!(replica("esdb://a", Path::new("/data")), Path::new("/data/replica.db"));
        assert_eq!(replica("esdb://a?stream=b", Path::new("/data")), Path::new("/data/replica-b.db"));
    }
}
