//! Looks up the names that webhooks are sent to, and vets every address that they have.
//!
//! What was vetted is kept for a few seconds: a webhook that is told a thousand events a second has its name looked up once and not
//! for each of them. Only these addresses are connected to meanwhile: a name that has another address a moment later changes
//! nothing.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::Scheme;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::address::{Allowed, written};

/// For how long what a name resolved to is believed.
const KEPT_FOR: Duration = Duration::from_secs(5);
/// Of how many names that is kept.
const KEPT_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1_023);

/// The addresses of a name, all of them vetted, and when they were looked up.
type Kept = (Instant, Vec<SocketAddr>);

/// Resolves names to addresses that may be sent to.
pub(super) struct Vetting<R = DefaultResolver> {
    allowed: Allowed,
    inner: R,
    /// By scheme, name and port.
    kept: Mutex<LruCache<String, Kept>>,
}

impl<R> fmt::Debug for Vetting<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vetting").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl<R: Resolver> Vetting<R> {
    pub(super) fn new(allowed: Allowed, inner: R) -> Self {
        Self { allowed, inner, kept: Mutex::new(LruCache::new(KEPT_MAX)) }
    }

    fn kept(&self) -> MutexGuard<'_, LruCache<String, Kept>> {
        // It is whole after every statement: a panic elsewhere does not make it wrong.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The addresses of a URL. `look_up` is asked where it has a name of which nothing is known at `now`.
    fn addresses(
        &self,
        uri: &Uri,
        now: Instant,
        look_up: impl FnOnce() -> Result<Vec<SocketAddr>, ureq::Error>,
    ) -> Result<Vec<SocketAddr>, ureq::Error> {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return look_up() };
        let has_tls = *scheme == Scheme::HTTPS;
        let vetted = |found: Vec<SocketAddr>| {
            let vet = |address: &SocketAddr| self.allowed.vet(address.ip(), has_tls);
            found.iter().try_for_each(vet).map_err(|refused| ureq::Error::Other(Box::new(refused)))?;
            Ok(found)
        };
        if let Some(address) = written(authority.host()) {
            let port = authority.port_u16().unwrap_or(if has_tls { 443 } else { 80 });
            return vetted(vec![SocketAddr::new(address, port)]);
        }
        let name = format!("{scheme}://{authority}");
        let is_fresh = |(at, _): &&Kept| now.saturating_duration_since(*at) < KEPT_FOR;
        if let Some((_, addresses)) = self.kept().get(&name).filter(is_fresh) {
            return Ok(addresses.clone());
        }
        let found = vetted(look_up()?)?;
        self.kept().put(name, (now, found.clone()));
        Ok(found)
    }
}

impl<R: Resolver> Resolver for Vetting<R> {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let look_up = || self.inner.resolve(uri, config, timeout).map(|found| found.to_vec());
        let found = self.addresses(uri, Instant::now(), look_up)?;
        let mut addresses = self.empty();
        found.into_iter().for_each(|address| addresses.push(address));
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::cell::Cell;

    use super::*;
    use crate::delivery::webhooks::address::Refused;

    fn is_refused(found: Result<Vec<SocketAddr>, ureq::Error>) -> bool {
        matches!(found, Err(ureq::Error::Other(refused)) if refused.is::<Refused>())
    }

    #[test]
    fn a_name_is_looked_up_once_in_five_seconds_and_what_it_is_then_is_vetted_again() {
        let vetting = Vetting::new(Allowed::default(), DefaultResolver::default());
        let (asked, start) = (Cell::new(0), Instant::now());
        let after = |seconds: u64, url: &str, answers: &str| {
            let answers = answers.parse().unwrap();
            vetting.addresses(&url.parse().unwrap(), start + Duration::from_secs(seconds), || {
                asked.set(asked.get() + 1);
                Ok(vec![answers])
            })
        };
        let hook = "https://hook.example/path";
        let good = vec!["93.184.216.34:443".parse().unwrap()];
        assert_eq!(after(0, hook, "93.184.216.34:443").unwrap(), good);
        assert_eq!(after(4, "https://hook.example/other", "10.0.0.1:443").unwrap(), good, "it rebinds: pinned");
        assert_eq!(asked.get(), 1);
        for seconds in [5, 6] {
            assert!(is_refused(after(seconds, hook, "10.0.0.1:443")));
        }
        assert_eq!(asked.get(), 3, "a refusal is not remembered");
        assert_eq!(after(7, hook, "93.184.216.34:443").unwrap(), good);
        // Another port or scheme is another name: what may be sent with TLS may not without.
        assert!(is_refused(after(7, "http://hook.example/path", "93.184.216.34:80")));
        assert_eq!(asked.get(), 5);
    }

    #[test]
    fn an_address_that_is_written_in_a_url_is_vetted_and_looked_up_nowhere() {
        let vetting = Vetting::new(Allowed::default(), DefaultResolver::default());
        let of = |url: &str| vetting.addresses(&url.parse().unwrap(), Instant::now(), || panic!("{url} is looked up"));
        for (url, address) in [
            ("https://93.184.216.34/", "93.184.216.34:443"),
            ("https://93.184.216.34:8443/", "93.184.216.34:8443"),
            ("https://[2606:2800:220:1::1]/", "[2606:2800:220:1::1]:443"),
        ] {
            assert_eq!(of(url).unwrap(), [address.parse().unwrap()], "{url}");
        }
        for url in ["https://127.0.0.1/", "https://[::ffff:10.0.0.1]/", "http://93.184.216.34/"] {
            assert!(is_refused(of(url)), "{url}");
        }
    }
}
