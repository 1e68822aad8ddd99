//! Every endpoint of the face, in one table of several parts: the dispatch, the OpenAPI document and the tests read it.

use std::sync::LazyLock;

use actix_web::http::Method;
use rollcall_schemas::plain::ApiScope;

use super::endpoint::{Endpoint, Untyped};
use super::problem::Problem;
use crate::http::router::{Match, Place, Router};
use crate::http::shape::shape;

macro_rules! endpoints {
    ($(
        $method:literal $path:literal => $handler:path,
        $operation:literal $scope:ident [$($query:literal),*] $takes:ty => $answers:ty, $summary:literal;
    )*) => {
        /// Its part of the table.
        pub(super) static ENDPOINTS: &[Endpoint] = &[$(
            Endpoint {
                method: $method,
                path: $path,
                operation: $operation,
                scope: ApiScope::$scope,
                summary: $summary,
                query: &[$($query),*],
                takes: shape::<$takes>,
                answers: shape::<$answers>,
                handler: |call| Box::pin($handler(call)),
            },
        )*];
    };
}

mod compliance;
mod moderation;
mod operating;
mod relations;
mod users;

/// Of two templates that fit a path, the one that comes first is meant.
static PARTS: [&[Endpoint]; 5] =
    [users::ENDPOINTS, moderation::ENDPOINTS, relations::ENDPOINTS, compliance::ENDPOINTS, operating::ENDPOINTS];

/// The table.
pub(super) fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    PARTS.into_iter().flatten()
}

static ROUTER: LazyLock<Router<Endpoint>> = LazyLock::new(|| Router::new(endpoints()));

impl Place for Endpoint {
    fn method(&self) -> &'static str {
        self.method
    }
    fn path(&self) -> &'static str {
        self.path
    }
}

/// An endpoint, and the parameters of a path that it fits.
pub(super) type Found = (&'static Endpoint, Vec<String>);

/// The endpoint of a method and a path, and the parameters of the path.
pub(super) fn find(method: &Method, path: &str) -> Result<Found, Problem> {
    match ROUTER.find(method, path) {
        Match::Place(endpoint, parameters) => Ok((endpoint, parameters.into_iter().map(|(_, value)| value).collect())),
        Match::OtherMethods(methods) => Err(Problem::Method(methods)),
        Match::Nothing => Err(Problem::NoSuchEndpoint),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_path_finds_its_endpoint_and_another_method_is_told_which_ones_there_are() {
        let (endpoint, parameters) = find(&Method::HEAD, "users/a%2Fb").unwrap();
        assert_eq!((endpoint.operation, parameters), ("getUser", vec!["a/b".to_owned()]));
        assert!(matches!(find(&Method::DELETE, "users/a"), Err(Problem::Method(m)) if m == "GET, HEAD, PUT, PATCH"));
        assert!(matches!(find(&Method::GET, "nothing"), Err(Problem::NoSuchEndpoint)));
        assert!(matches!(find(&Method::GET, "users/a/b/c"), Err(Problem::NoSuchEndpoint)));
    }

    #[test]
    fn an_endpoint_that_replays_is_in_the_table() {
        let replaying = endpoints().filter(|endpoint| endpoint.replays());
        assert_eq!(replaying.count(), 8);
        assert_eq!(endpoints().filter(|endpoint| endpoint.tells_secret()).count(), 8);
    }

    #[test]
    fn no_two_endpoints_have_the_same_name_or_place() {
        let mut names: Vec<_> = endpoints().map(|endpoint| endpoint.operation).collect();
        let mut places: Vec<_> = endpoints().map(|endpoint| (endpoint.method, endpoint.path)).collect();
        names.sort_unstable();
        places.sort_unstable();
        assert!(names.is_sorted_by(|a, b| a < b) && places.is_sorted_by(|a, b| a < b));
    }
}
