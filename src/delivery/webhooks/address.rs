//! Where a webhook may be sent to: which addresses, and which URLs as far as they tell by themselves. What a name resolves to is
//! vetted whenever it is looked up (`resolver`).
//!
//! Refused is what is not on the public internet, in every spelling that IPv6 has for an IPv4 address. An operator may allow
//! ranges; only to these is anything sent without TLS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use ureq::http::Uri;
use ureq::http::uri::Scheme;

/// Longest URL, in bytes.
const URL_LENGTH_MAX: usize = 2_048;

/// IPv4 ranges that are not on the public internet, and addresses there at which clouds answer questions about a machine.
const NOT_PUBLIC_V4: &[(Ipv4Addr, u8)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// IPv6 ranges inside 2000::/3 that are not on the public internet or lead elsewhere: protocol assignments with Teredo
/// among them, documentation, 6to4.
const NOT_PUBLIC_V6: &[(Ipv6Addr, u8)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

fn is_within(bits: u128, range: u128, prefix: u8, width: u8) -> bool {
    let shift = u32::from(width - prefix);
    bits.checked_shr(shift).unwrap_or(0) == range.checked_shr(shift).unwrap_or(0)
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = |address: Ipv4Addr| u128::from(address.to_bits());
    !NOT_PUBLIC_V4.iter().any(|(range, prefix)| is_within(bits(address), bits(*range), *prefix, 32))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, high, low] = address.segments();
    let embedded = Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match [a, b, c, d, e, f] {
        // An IPv4 address, mapped, or translated by a NAT64 of the network.
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => return is_public_v4(embedded),
        // ISATAP: the interface is named by an IPv4 address.
        [.., 0 | 0x200, 0x5efe] if !is_public_v4(embedded) => return false,
        _ => {}
    }
    let is_unicast = a & 0xe000 == 0x2000;
    is_unicast
        && !NOT_PUBLIC_V6.iter().any(|(range, prefix)| is_within(address.to_bits(), range.to_bits(), *prefix, 128))
}

/// Whether an address is on the public internet.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Why nothing is sent somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not on the public internet.
    #[error("{0} is not on the public internet, and the operator has not allowed it (serve --webhook-allow)")]
    NotPublic(IpAddr),
    /// It is, and what is sent could be read on the way.
    #[error(
        "only an address that the operator has allowed (serve --webhook-allow) is sent anything without TLS; use https"
    )]
    Unprotected,
}

/// What is wrong with a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadUrl {
    /// It is no absolute http or https URL, is longer than 2,048 bytes, or has a user, a password or a fragment.
    Shape,
    /// The address in it is not on the public internet.
    NotPublic,
    /// What is sent could be read on the way.
    Unprotected,
}

/// The ranges that an operator has allowed.
#[derive(Debug, Clone, Default)]
pub struct Allowed(pub Vec<IpNet>);

impl Allowed {
    /// Every address.
    pub(super) fn everything() -> Self {
        let every = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        Self(every.into_iter().filter_map(|any| IpNet::new(any, 0).ok()).collect())
    }

    fn contains(&self, address: IpAddr) -> bool {
        let canonical = address.to_canonical();
        self.0.iter().any(|range| range.contains(&address) || range.contains(&canonical))
    }

    /// Vets an address.
    ///
    /// # Errors
    /// Nothing may be sent there.
    pub fn vet(&self, address: IpAddr, has_tls: bool) -> Result<(), Refused> {
        if self.contains(address) {
            Ok(())
        } else if !is_public(address) {
            Err(Refused::NotPublic(address))
        } else if !has_tls {
            Err(Refused::Unprotected)
        } else {
            Ok(())
        }
    }

    /// Vets a URL as far as it can be without asking anybody: its form, and an address that is written in it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn vet_url(&self, url: &str) -> Result<(), BadUrl> {
        let uri: Uri = url.parse().map_err(|_| BadUrl::Shape)?;
        let authority = uri.authority().ok_or(BadUrl::Shape)?;
        let has_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let is_http = has_tls || uri.scheme() == Some(&Scheme::HTTP);
        if !is_http || url.len() > URL_LENGTH_MAX || url.contains('#') || authority.as_str().contains('@') {
            return Err(BadUrl::Shape);
        }
        match written(authority.host()) {
            Some(address) => self.vet(address, has_tls).map_err(|refused| match refused {
                Refused::NotPublic(_) => BadUrl::NotPublic,
                Refused::Unprotected => BadUrl::Unprotected,
            }),
            None if authority.host().is_empty() => Err(BadUrl::Shape),
            None => Ok(()),
        }
    }
}

/// The address that a host is written as; `None`: it is a name.
pub(super) fn written(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// Every way to write an IPv4 address in IPv6.
    fn spellings(address: Ipv4Addr) -> Vec<Ipv6Addr> {
        let [a, b, c, d] = address.octets().map(u16::from);
        let (high, low) = ((a << 8) | b, (c << 8) | d);
        vec![
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, 0xfffe, 1, 0, 0, !high, !low),
            Ipv6Addr::new(0x2a00, 1, 2, 3, 0, 0x5efe, high, low),
            Ipv6Addr::new(0x2a00, 1, 2, 3, 0x200, 0x5efe, high, low),
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0x5efe, high, low),
        ]
    }

    #[test]
    fn what_is_not_on_the_public_internet_is_refused_by_name_of_its_range() {
        for address in [
            "127.0.0.1",
            "0.0.0.0",
            "10.0.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "100::1",
            "5f00::1",
            "4000::1",
            "3fff::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_url_names_a_host_and_nothing_else_that_matters() {
        let none = Allowed::default();
        for good in ["https://example.org", "https://example.org:8443/a?b=c", "https://1.1.1.1/"] {
            none.vet_url(good).unwrap();
        }
        for bad in [
            "",
            "example.org",
            "/a",
            "ftp://example.org/",
            "https://",
            "https://a:b@example.org/",
            "https://example.org/#a",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "http://1.1.1.1/",
            "https://a b/",
        ] {
            assert!(none.vet_url(bad).is_err(), "{bad}");
        }
        let here = Allowed(vec!["127.0.0.0/8".parse().unwrap()]);
        for allowed in ["http://127.0.0.1:8080/", "http://[::ffff:127.0.0.1]/", "https://127.1.2.3/"] {
            here.vet_url(allowed).unwrap();
        }
        assert!(here.vet_url("http://10.0.0.1/").is_err() && here.vet_url("http://1.1.1.1/").is_err());
    }

    proptest! {
        #[test]
        fn a_private_address_is_refused_in_every_spelling(range in 0..NOT_PUBLIC_V4.len(), host: u32) {
            let (range, prefix) = NOT_PUBLIC_V4[range];
            let mask = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            let address = Ipv4Addr::from_bits(range.to_bits() | (host & mask));
            prop_assert!(!is_public(address.into()), "{}", address);
            for spelling in spellings(address) {
                prop_assert!(!is_public(spelling.into()), "{} as {}", address, spelling);
            }
        }

        #[test]
        fn outside_of_global_unicast_only_a_public_ipv4_address_is_public(bits: u128) {
            let address = Ipv6Addr::from_bits(bits);
            if is_public(address.into()) {
                let translated = address.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
                prop_assert!(bits >> 125 == 1 || translated || address.to_ipv4_mapped().is_some());
            }
        }
    }
}
