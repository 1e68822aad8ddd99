//! Single tokens of a user.

use rollcall::domain::TokenTimes;
use rollcall::domain::token::{self, REVOKED_MAX, Revoke};
use rollcall_schemas::ids::TokenId;

use super::*;

fn revoke(number: u128, times: TokenTimes) -> <Revoke as Command>::Resolved {
    let mut found = Found::default();
    found.insert(user_id("ada"), Some(subject("ada")));
    found.token = Some(times);
    Revoke { who: user_id("ada"), token: TokenId(Uuid::from_u128(number)), times: () }.resolve(&found).unwrap()
}

#[test]
fn a_token_is_revoked_once_and_not_where_it_is_not_good_anyway() {
    let mut given = Given::users(&["ada"]);
    let times = TokenTimes { issued_at: given.now, expires_at: Some(given.now + Duration::minutes(1)) };
    assert_eq!(given.when(&revoke(1, times)).unwrap(), ["token.revoked"]);
    assert_eq!(given.when(&revoke(1, times)).unwrap(), [""; 0]);
    let expired = TokenTimes { expires_at: Some(given.now), ..times };
    assert_eq!(given.when(&revoke(2, expired)).unwrap(), [""; 0]);
    let before = given.now + Duration::milliseconds(1);
    given.when(&Invalidate { who: people(&["ada"]), before }).unwrap();
    assert_eq!(given.when(&revoke(3, times)).unwrap(), [""; 0]);
    given.when(&deactivate("ada")).unwrap();
    assert_eq!(given.when(&revoke(4, times)), Err(Refusal::Deactivated));
    let found = Found::default();
    let unknown = Revoke { who: user_id("ada"), token: TokenId(Uuid::nil()), times: () };
    assert!(matches!(unknown.resolve(&found), Err(Error::Defect(_))), "nobody was looked up");
}

#[test]
fn only_so_many_tokens_are_revoked_one_by_one_at_a_time() {
    let mut given = Given::users(&["ada"]);
    let lasting = TokenTimes { issued_at: given.now, expires_at: None };
    let short = TokenTimes { expires_at: Some(given.now + Duration::minutes(1)), ..lasting };
    assert_eq!(given.when(&revoke(0, short)).unwrap(), ["token.revoked"]);
    for number in 1..REVOKED_MAX as u128 {
        assert_eq!(given.when(&revoke(number, lasting)).unwrap(), ["token.revoked"]);
    }
    assert_eq!(given.when(&revoke(1_000, lasting)), Err(Refusal::RevocationsFull));
    given.later(Duration::minutes(1));
    assert_eq!(given.when(&revoke(1_000, lasting)).unwrap(), ["token.revoked"], "one of them has expired");
    assert_eq!(given.when(&revoke(1_001, lasting)), Err(Refusal::RevocationsFull));
    given.when(&Invalidate { who: people(&["ada"]), before: given.now }).unwrap();
    let later = TokenTimes { issued_at: given.now, expires_at: None };
    assert_eq!(given.when(&revoke(1_002, later)).unwrap(), ["token.revoked"]);
}

#[test]
fn a_label_is_recorded_beside_its_token_and_only_where_there_is_one() {
    let mut given = Given::users(&["ada"]);
    let issue = |label: Option<&str>| {
        let label = label.map(|label| rollcall::domain::values::Label::parse(label).unwrap());
        token::Issue { who: person("ada"), expires_in_seconds: None, label, scopes: None }
    };
    assert_eq!(given.when(&issue(None)).unwrap(), ["token.issued"]);
    assert_eq!(given.when(&issue(Some("phone"))).unwrap(), ["token.issued", "token.labelled"]);
}

#[test]
fn a_token_of_few_scopes_is_recorded_with_them_and_one_that_may_do_everything_as_ever() {
    use rollcall::domain::token::TokenScopes;
    use rollcall_schemas::plain::TokenScope;
    let mut given = Given::users(&["ada"]);
    for (scopes, version) in [(None, 1), (TokenScopes::of([TokenScope::Write]), 2)] {
        let issue = token::Issue { who: person("ada"), expires_in_seconds: None, label: None, scopes: scopes.clone() };
        assert_eq!(given.versions(&issue), [version]);
        let (_, reply) = given.decided(&issue).unwrap();
        assert!(matches!(&reply, Reply::Token(issued) if issued.token.scopes == scopes), "{reply:?}");
    }
}
