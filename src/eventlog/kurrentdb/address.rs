//! The address of a log in `KurrentDB`: that of the server, and the stream.

use std::path::{Path, PathBuf};

use super::STREAM;

const PARAMETER: &str = "stream";
const NAME_MAX: usize = 64;

/// An address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// What the client understands of it.
    pub server: String,
    /// The stream that holds the log.
    pub stream: String,
}

impl Address {
    /// Takes an address apart; without `stream=NAME` it is [`STREAM`].
    ///
    /// # Errors
    /// The stream's name is none.
    pub fn parse(address: &str) -> Result<Self, String> {
        let Some((base, query)) = address.split_once('?') else {
            return Ok(Self { server: address.into(), stream: STREAM.into() });
        };
        let named = |pair: &&str| pair.split_once('=').is_some_and(|(name, _)| name.eq_ignore_ascii_case(PARAMETER));
        let (of_stream, others): (Vec<_>, Vec<_>) = query.split('&').partition(named);
        let stream = match of_stream.as_slice() {
            [] => STREAM,
            [pair] => pair.split_once('=').map_or("", |(_, name)| name),
            _ => return Err("the address of KurrentDB names two streams".into()),
        };
        let fits = (1..=NAME_MAX).contains(&stream.len())
            && stream.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !fits {
            return Err(format!("a stream's name is 1 to {NAME_MAX} letters, digits, `-`, `_` and `.`"));
        }
        let query = others.join("&");
        let server = if query.is_empty() { base.to_owned() } else { format!("{base}?{query}") };
        Ok(Self { server, stream: stream.into() })
    }

    /// Where the replica of the stream lies in a data directory.
    #[must_use]
    pub fn replica(&self, dir: &Path) -> PathBuf {
        match self.stream.as_str() {
            STREAM => dir.join("replica.db"),
            stream => dir.join(format!("replica-{stream}.db")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_may_name_the_stream() {
        for (address, server, stream) in [
            ("esdb://a:2113", "esdb://a:2113", STREAM),
            ("esdb://a:2113?tls=false", "esdb://a:2113?tls=false", STREAM),
            (
                "esdb://a?tls=false&stream=log-2&discoveryInterval=10",
                "esdb://a?tls=false&discoveryInterval=10",
                "log-2",
            ),
            ("esdb://a?Stream=log.2", "esdb://a", "log.2"),
        ] {
            let parsed = Address::parse(address).unwrap();
            assert_eq!((parsed.server.as_str(), parsed.stream.as_str()), (server, stream), "{address}");
        }
        for none in ["esdb://a?stream=", "esdb://a?stream=$all", "esdb://a?stream=../x/y", "esdb://a?stream=a&stream=b"]
        {
            assert!(Address::parse(none).is_err(), "{none}");
        }
    }

    #[test]
    fn every_stream_has_a_replica_of_its_own() {
        let of = |address: &str| Address::parse(address).unwrap().replica(Path::new("/data"));
        assert_eq!(of("esdb://a"), Path::new("/data/replica.db"));
        assert_eq!(of("esdb://a?stream=b"), Path::new("/data/replica-b.db"));
    }
}
