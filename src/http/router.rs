//! Which entry of a table of paths a request means.

use actix_web::http::Method;

/// An entry of such a table.
pub(super) trait Place {
    /// `GET`, `PUT`, `PATCH`, `POST` or `DELETE`; who may `GET` may `HEAD`.
    fn method(&self) -> &'static str;
    /// Its segments with `/` between them; a parameter stands in braces.
    fn path(&self) -> &'static str;
}

/// What a request means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Match<'t, P> {
    /// The entry, and its parameters by name in the order of its path.
    Place(&'t P, Vec<(&'static str, String)>),
    /// The path takes other methods, named as `Allow` names them.
    OtherMethods(String),
    /// There is no such path, or a segment of it is not percent-encoded UTF-8.
    Nothing,
}

/// A table that is searched without taking its paths apart again.
pub(super) struct Router<P: 'static> {
    entries: Vec<(Vec<Segment>, &'static P)>,
}

#[derive(Debug, Clone, Copy)]
enum Segment {
    Fixed(&'static str),
    Parameter(&'static str),
}

impl Segment {
    fn of(text: &'static str) -> Self {
        parameter(text).map_or(Self::Fixed(text), Self::Parameter)
    }

    fn fits(self, asked: &str) -> bool {
        match self {
            Self::Fixed(text) => text == asked,
            Self::Parameter(_) => true,
        }
    }
}

/// The name of a parameter of a path, where a segment is one.
pub(super) fn parameter(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

impl<P: Place> Router<P> {
    /// Of two entries that fit the same path, the first one counts.
    pub(super) fn new(table: impl IntoIterator<Item = &'static P>) -> Self {
        let entry = |place: &'static P| (place.path().split('/').map(Segment::of).collect(), place);
        Self { entries: table.into_iter().map(entry).collect() }
    }

    /// Looks up a method and a path.
    pub(super) fn find(&self, method: &Method, path: &str) -> Match<'static, P> {
        let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
        let asked: Vec<&str> = path.split('/').collect();
        let fits = |segments: &[Segment]| {
            segments.len() == asked.len() && segments.iter().zip(&asked).all(|(segment, asked)| segment.fits(asked))
        };
        let mut others: Vec<&str> = Vec::new();
        for (segments, place) in self.entries.iter().filter(|(segments, _)| fits(segments)) {
            if place.method() == method {
                return parameters(segments, &asked).map_or(Match::Nothing, |named| Match::Place(place, named));
            }
            // Two entries may fit the same path.
            if !others.contains(&place.method()) {
                others.push(place.method());
                if place.method() == "GET" {
                    others.push("HEAD");
                }
            }
        }
        if others.is_empty() { Match::Nothing } else { Match::OtherMethods(others.join(", ")) }
    }
}

fn parameters(segments: &[Segment], asked: &[&str]) -> Option<Vec<(&'static str, String)>> {
    let named = segments.iter().zip(asked).filter_map(|(segment, asked)| match segment {
        Segment::Fixed(_) => None,
        Segment::Parameter(name) => Some(decoded(asked).map(|value| (*name, value))),
    });
    named.collect()
}

/// A segment without its percent encoding (RFC 3986, 2.1).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        let mut octet = [0];
        hex::decode_to_slice(digits, &mut octet).ok()?;
        bytes.extend(octet);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Entry(&'static str, &'static str);

    impl Place for Entry {
        fn method(&self) -> &'static str {
            self.0
        }
        fn path(&self) -> &'static str {
            self.1
        }
    }

    static TABLE: &[Entry] = &[
        Entry("GET", "users/query"),
        Entry("GET", "users/{id}"),
        Entry("PUT", "users/{id}"),
        Entry("PUT", "users/{id}/friends/{other}"),
    ];

    fn found(method: &Method, path: &str) -> Match<'static, Entry> {
        Router::new(TABLE).find(method, path)
    }

    #[test]
    fn a_path_means_the_first_entry_it_fits_and_tells_its_parameters_decoded() {
        assert_eq!(found(&Method::HEAD, "users/query"), Match::Place(&TABLE[0], vec![]));
        assert_eq!(found(&Method::GET, "users/a+b%2Bc%2F"), Match::Place(&TABLE[1], vec![("id", "a+b+c/".into())]));
        let two = vec![("id", "a".to_owned()), ("other", String::new())];
        assert_eq!(found(&Method::PUT, "users/a/friends/"), Match::Place(&TABLE[3], two));
    }

    #[test]
    fn another_method_is_told_which_ones_there_are_and_what_is_not_there_is_nothing() {
        assert_eq!(found(&Method::DELETE, "users/a"), Match::OtherMethods("GET, HEAD, PUT".into()));
        for path in ["", "users", "users/a/b/c/d", "users/%", "users/%zz", "users/%ff"] {
            assert_eq!(found(&Method::GET, path), Match::Nothing, "{path}");
        }
    }
}
