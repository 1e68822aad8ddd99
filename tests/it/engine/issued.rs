//! Which access tokens a user was issued, as its stream tells it in bounded parts.

use futures_util::{StreamExt as _, stream};
use rollcall::domain::token::Issue;
use rollcall::domain::values::Label;
use rollcall_schemas::plain::Environment;

use super::{Running, app_id, caller, register, user_id};

/// Events that one call reads.
const READ: usize = 4_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_keeps_its_label_where_a_part_of_the_list_ends_between_the_two() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    let engine = running.engine();
    engine.execute(&caller(), register("ada")).await.unwrap();
    let issue = |label: Option<Label>| Issue { who: user_id("ada"), expires_in_seconds: None, label, scopes: None };
    let labelled = issue(Some(Label::parse("a phone").unwrap()));
    let labelled = engine.execute(&caller(), labelled).await.unwrap().reply.token.token;
    // The label is the first event of what one call reads, and its token the last one that is left.
    let caller = caller();
    let others = stream::iter(1..READ).map(|_| engine.execute(&caller, issue(None)));
    others.buffer_unordered(512).for_each(|issued| async { drop(issued.unwrap()) }).await;
    engine.caught_up(&app_id()).await.unwrap();
    let ada = engine.find(&app_id(), &user_id("ada")).await.unwrap().unwrap();

    let first = engine.issued_tokens(ada, None, 2 * READ).await.unwrap();
    assert_eq!(first.tokens.len(), READ - 1);
    assert!(first.tokens.iter().all(|token| token.label.is_none()));
    let rest = engine.issued_tokens(ada, first.next, 2 * READ).await.unwrap();
    let told: Vec<_> =
        rest.tokens.iter().map(|token| (token.issued.token == labelled, token.label.is_some())).collect();
    assert_eq!((told, rest.next), (vec![(true, true), (false, false)], None), "and that of the registration");
    running.stop();
}
