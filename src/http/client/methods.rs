//! Every method of the face, in one table: REST and the socket dispatch by it, and the OpenAPI and AsyncAPI documents are made
//! from it. A method has the same parameters, limits and errors both ways.

use std::collections::HashMap;
use std::sync::LazyLock;

use actix_web::http::Method as Verb;
use futures_util::future::LocalBoxFuture;
use rollcall_schemas::plain::TokenScope;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::problem::{Answer, Problem};
use super::{Call, changes, export, friend_groups, friend_requests, friends, lists, me, people, subscriptions, users};
use crate::domain::IssuedToken;
use crate::http::friend_requests::ShownRequest;
use crate::http::router::{Match, Place, Router};
use crate::http::shape::{Named, shape};

/// One method.
pub(super) struct Method {
    /// As the socket calls it, and as it is named everywhere.
    pub(super) name: &'static str,
    /// The method of HTTP; who may `GET` may `HEAD`.
    pub(super) verb: &'static str,
    /// Below `/client/v1/`; a parameter stands in braces.
    pub(super) path: &'static str,
    /// What an access token that has scopes needs for it.
    pub(super) scope: TokenScope,
    /// Whether the socket takes it.
    pub(super) on_socket: bool,
    /// What it is for.
    pub(super) summary: &'static str,
    /// Shape of the parameters, last in the list: those of the path, of the query and members of the body together.
    pub(super) takes: fn() -> Named,
    /// Shape of the answer, last in the list; none where there is nothing to tell, or no JSON.
    pub(super) answers: fn() -> Named,
    /// Answers it. Only [`Permitted`] reaches it, so that no way to a method goes past its scope.
    handler: for<'c> fn(&'c Call<'c>, Value) -> LocalBoxFuture<'c, Result<Answer, Problem>>,
    /// Reads parameters and forgets them.
    #[cfg(feature = "fuzzing")]
    pub(super) read: fn(Value) -> Result<(), Problem>,
}

/// A method that the bearer of a token may call.
pub(super) struct Permitted(&'static Method);

impl Method {
    /// The method for the bearer of a token.
    ///
    /// # Errors
    /// The token has scopes, and not the one that the method needs.
    pub(super) fn permit(&'static self, token: &IssuedToken) -> Result<Permitted, Problem> {
        if token.allows(self.scope) { Ok(Permitted(self)) } else { Err(Problem::Scope(self.scope)) }
    }
}

impl Permitted {
    /// Answers a call.
    pub(super) fn answer<'c>(&self, call: &'c Call<'c>, params: Value) -> LocalBoxFuture<'c, Result<Answer, Problem>> {
        (self.0.handler)(call, params)
    }
}

/// The parameters of a method.
fn read<T: DeserializeOwned>(params: Value) -> Result<T, Problem> {
    // What is wrong is told to whoever sent it, and to nobody else.
    serde_json::from_value(params).map_err(|error| Problem::Params(error.to_string().chars().take(200).collect()))
}

macro_rules! methods {
    ($( $name:literal $($rest_only:ident)?: $verb:literal $path:literal $scope:ident, $takes:ty => $answers:ty, $handler:path,
        $summary:literal; )*) => {
        /// The table.
        pub(super) static METHODS: &[Method] = &[$(
            Method {
                name: $name,
                verb: $verb,
                path: $path,
                scope: TokenScope::$scope,
                on_socket: <[&str]>::is_empty(&[$(stringify!($rest_only)),*]),
                summary: $summary,
                takes: shape::<$takes>,
                answers: shape::<$answers>,
                handler: |call, params| Box::pin(async move { $handler(call, read::<$takes>(params)?).await }),
                #[cfg(feature = "fuzzing")]
                read: |params| read::<$takes>(params).map(drop),
            },
        )*];
    };
}

methods! {
    "me.get": "GET" "me" Read, me::Nothing => me::Me, me::show, "The own profile and settings.";
    "me.update": "PATCH" "me" Write, me::Patch => me::Me, me::update,
        "Change name, portrait and hosted profile (JSON merge patch): all of it or nothing.";
    "me.set_visibility": "PUT" "me/visibility" Write, me::VisibilityParams => (), me::set_visibility,
        "Who sees more of the user than name and portrait: hidden, all or friends.";
    "me.set_friend_permission": "PUT" "me/friend-permission" Write, me::PermissionParams => (), me::set_friend_permission,
        "Who may become a friend: anyone, approval or nobody.";
    "me.set_allowlist": "PUT" "me/allowlist" Write, lists::AllowlistSetting => (), lists::set_allowlist,
        "Whether the allowlist counts instead of the blocklist.";
    "me.export" rest_only: "GET" "me/export" Account, me::Nothing => (), export::export,
        "Everything that is held about the user (GDPR, Articles 15 and 20), as a ZIP of JSON.";
    "me.erasure": "POST" "me/erasure" Account, me::Nothing => me::Erasure, me::erase,
        "Forget the user, where the app lets its users erase themselves.";
    "users.get": "GET" "users/{user_id}" Read, people::Target => people::Person, users::show, "Somebody.";
    "users.find": "GET" "users/by-unique-id/{unique_id}" Read, users::UniqueId => people::Person, users::find,
        "The user with this uniqueId, unless it hides its profile from everybody.";
    "users.query": "POST" "users/query" Read, users::Users => users::Found, users::query, "Up to 100 users at once.";
    "blocklist.list": "GET" "blocklist" Read, people::PageParams => lists::Page, lists::blocked,
        "Whom the user blocks, the newest first.";
    "blocklist.add": "PUT" "blocklist/{user_id}" Write, people::Target => (), lists::block, "Block somebody.";
    "blocklist.remove": "DELETE" "blocklist/{user_id}" Write, people::Target => (), lists::unblock,
        "Block somebody no more.";
    "blocklist.get": "GET" "blocklist/{user_id}" Read, people::Target => lists::Blocked, lists::is_blocked,
        "Whether the user blocks somebody.";
    "allowlist.list": "GET" "allowlist" Read, people::PageParams => lists::Page, lists::allowed,
        "Whom the user allows, the newest first.";
    "allowlist.add": "PUT" "allowlist/{user_id}" Write, people::Target => (), lists::allow, "Allow somebody.";
    "allowlist.remove": "DELETE" "allowlist/{user_id}" Write, people::Target => (), lists::disallow,
        "Allow somebody no more.";
    "allowlist.get": "GET" "allowlist/{user_id}" Read, people::Target => lists::Allowed, lists::is_allowed,
        "Whether the user allows somebody.";
    "friends.list": "GET" "friends" Read, friends::ListParams => friends::Page, friends::list, "The friends of the user.";
    "friends.add": "POST" "friends" Write, friends::Addition => friends::Added, friends::add,
        "Make somebody a friend, or ask to, as the other permits.";
    "friends.check": "POST" "friends/check" Read, friends::CheckParams => friends::CheckedAll, friends::check,
        "Who of up to 20 users is a friend.";
    "friends.get": "GET" "friends/{user_id}" Read, people::Target => friends::Friend, friends::show, "A friend.";
    "friends.update": "PATCH" "friends/{user_id}" Write, friends::Description => friends::Friend, friends::describe,
        "Change what the user calls a friend and wrote about it (JSON merge patch).";
    "friends.remove": "DELETE" "friends/{user_id}" Write, people::Target => (), friends::remove,
        "End a friendship; harmless where there is none.";
    "friend_groups.list": "GET" "friend-groups" Read, me::Nothing => friend_groups::List, friend_groups::list,
        "The groups in which the user keeps friends.";
    "friend_groups.get": "GET" "friend-groups/{group_id}" Read, friend_groups::PageOf => friend_groups::Group,
        friend_groups::show, "A group and its friends, in an order that does not change.";
    "friend_groups.set": "PUT" "friend-groups/{group_id}" Write, friend_groups::Labelled => (), friend_groups::set,
        "Make a group, or give it another label.";
    "friend_groups.remove": "DELETE" "friend-groups/{group_id}" Write, friend_groups::Which => (), friend_groups::remove,
        "Remove a group; the friends in it stay friends. Harmless where there is none.";
    "friend_groups.add_friend": "PUT" "friend-groups/{group_id}/friends/{user_id}" Write, friend_groups::Member => (),
        friend_groups::add_friend, "Put a friend into a group; a friend may be in many.";
    "friend_groups.remove_friend": "DELETE" "friend-groups/{group_id}/friends/{user_id}" Write, friend_groups::Member => (),
        friend_groups::remove_friend, "Take a friend out of a group; harmless where it is not in it.";
    "subscriptions.list": "GET" "subscriptions" Read, subscriptions::SubscriptionsParams => subscriptions::Subscriptions,
        subscriptions::list, "Whom the user follows, and who of them is online.";
    "subscriptions.add": "PUT" "subscriptions" Write, subscriptions::Subscribe => subscriptions::Subscribed,
        subscriptions::add, "Follow up to 200 users for a while, or renew that.";
    "subscriptions.remove": "DELETE" "subscriptions" Write, subscriptions::Unsubscribe => (), subscriptions::remove,
        "Follow up to 200 users no more; takes a body.";
    "friend_requests.list": "GET" "friend-requests" Read, friend_requests::ListParams => friend_requests::Page,
        friend_requests::list, "Requests to become friends, sent and received, the latest first.";
    "friend_requests.accept": "POST" "friend-requests/{request_id}/accept" Write,
        friend_requests::RequestParams => ShownRequest, friend_requests::accept,
        "Accept a request that was received.";
    "friend_requests.refuse": "POST" "friend-requests/{request_id}/refuse" Write,
        friend_requests::RequestParams => ShownRequest, friend_requests::refuse,
        "Refuse a request that was received.";
    "friend_requests.cancel": "POST" "friend-requests/{request_id}/cancel" Write,
        friend_requests::RequestParams => ShownRequest, friend_requests::cancel,
        "Take back a request that was sent.";
    "changes.get": "GET" "changes" Read, changes::Since => changes::ChangesShape, changes::since,
        "What has changed about the user, its lists and its friends since a position: all of it, or that it is too much.";
}

/// The method of that name that the socket takes.
pub(super) fn named(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name && method.on_socket)
}

static ROUTER: LazyLock<Router<Method>> = LazyLock::new(|| Router::new(METHODS));

impl Place for Method {
    fn method(&self) -> &'static str {
        self.verb
    }
    fn path(&self) -> &'static str {
        self.path
    }
}

/// What stands in a path for each of its parameters.
pub(super) type InPath = Vec<(&'static str, String)>;

/// The method of an HTTP method and a path, and the parameters of the path.
pub(super) fn find(verb: &Verb, path: &str) -> Result<(&'static Method, InPath), Problem> {
    match ROUTER.find(verb, path) {
        Match::Place(method, parameters) => Ok((method, parameters)),
        Match::OtherMethods(verbs) => Err(Problem::Method(verbs)),
        Match::Nothing => Err(Problem::NoSuchMethod),
    }
}

/// What kind of value each parameter of each method is.
static KINDS: LazyLock<HashMap<&'static str, HashMap<String, Kind>>> = LazyLock::new(|| {
    METHODS
        .iter()
        .map(|method| (method.name, properties(&(method.takes)()).map(|(n, v)| (n, Kind::of(&v))).collect()))
        .collect()
});

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Other,
}

impl Kind {
    fn of(property: &Value) -> Self {
        let is = |kind: &str| match &property["type"] {
            Value::String(only) => only == kind,
            Value::Array(several) => several.iter().any(|one| one == kind),
            _ => false,
        };
        if is("integer") {
            Self::Number
        } else if is("string") {
            Self::Text
        } else {
            Self::Other
        }
    }
}

/// The members of the shape that a list ends with.
pub(super) fn properties(named: &Named) -> impl Iterator<Item = (String, Value)> + use<> {
    let schema = named.last().and_then(|(_, schema)| serde_json::to_value(schema).ok()).unwrap_or_default();
    let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    properties.into_iter()
}

/// The parameters of a REST call: members of the body, then the query, then the path. A parameter of the query that the
/// method does not have is ignored.
pub(super) fn params(method: &Method, path: InPath, query: &str, body: &[u8]) -> Result<Value, Problem> {
    let mut params = match body {
        [] => Map::new(),
        body => serde_json::from_slice::<Map<String, Value>>(body)
            .map_err(|error| Problem::Params(format!("the body is no JSON object ({error})")))?,
    };
    let kinds = KINDS.get(method.name);
    let value = |name: &str, text: &str| match kinds.and_then(|kinds| kinds.get(name)) {
        Some(Kind::Text) => Some(Value::from(text)),
        // A number that is none stays a text, which is refused with the name of the parameter.
        Some(Kind::Number) => Some(text.parse::<u64>().map_or_else(|_| text.into(), Value::from)),
        Some(Kind::Other) | None => None,
    };
    for (name, text) in form_urlencoded::parse(query.as_bytes()) {
        params.extend(value(&name, &text).map(|value| (name.into_owned(), value)));
    }
    for (name, text) in path {
        let text = value(name, &text).unwrap_or_else(|| text.into());
        params.insert(name.to_owned(), text);
    }
    Ok(params.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_path_finds_its_method_and_another_verb_is_told_which_ones_there_are() {
        let (method, path) = find(&Verb::HEAD, "users/a%2Bb").unwrap();
        assert_eq!((method.name, path), ("users.get", vec![("user_id", "a+b".into())]));
        assert!(matches!(find(&Verb::POST, "blocklist/a"), Err(Problem::Method(m)) if m == "PUT, DELETE, GET, HEAD"));
        assert!(matches!(find(&Verb::GET, "nothing"), Err(Problem::NoSuchMethod)));
        assert!(named("me.get").is_some() && named("me.export").is_none() && named("nothing").is_none());
    }

    #[test]
    fn no_two_methods_have_the_same_name_or_place() {
        let mut names: Vec<_> = METHODS.iter().map(|method| method.name).collect();
        let mut places: Vec<_> = METHODS.iter().map(|method| (method.verb, method.path)).collect();
        names.sort_unstable();
        places.sort_unstable();
        assert!(names.is_sorted_by(|a, b| a < b) && places.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn what_only_asks_needs_read_and_what_changes_something_or_tells_all_needs_another_scope() {
        // They name many users in a body.
        const ASK_BY_POST: [&str; 2] = ["users.query", "friends.check"];
        for method in METHODS {
            let asks = method.verb == "GET" || ASK_BY_POST.contains(&method.name);
            let is_of_account = matches!(method.name, "me.export" | "me.erasure");
            let scope = if is_of_account {
                TokenScope::Account
            } else if asks {
                TokenScope::Read
            } else {
                TokenScope::Write
            };
            assert_eq!(method.scope, scope, "{}", method.name);
        }
    }

    #[test]
    fn every_parameter_of_a_path_is_one_of_the_method_and_a_query_is_read_by_its_kind() {
        for method in METHODS {
            let known: Vec<_> = properties(&(method.takes)()).map(|(name, _)| name).collect();
            for name in method.path.split('/').filter_map(crate::http::router::parameter) {
                assert!(known.iter().any(|known| known == name), "{}: {name}", method.name);
            }
        }
        let (method, path) = find(&Verb::GET, "friends").unwrap();
        let read = params(method, path, "limit=5&q=10&_=1", b"").unwrap();
        assert_eq!(read, serde_json::json!({"limit": 5, "q": "10"}));
        for (segment, number) in [("7", serde_json::json!(7)), ("seven", serde_json::json!("seven"))] {
            let (method, path) = find(&Verb::DELETE, &format!("friend-groups/{segment}/friends/10")).unwrap();
            let read = params(method, path, "", b"").unwrap();
            assert_eq!(read, serde_json::json!({"group_id": number, "user_id": "10"}));
        }
    }
}
