//! A new userId that is refused leaves nothing behind, on several nodes either.

use super::{Given, token};
use crate::support::App;

#[test]
fn userids_that_are_refused_again_and_again_leave_no_claims_behind() {
    let given = Given::nothing();
    let node = given.node("one", &[App::DEVELOPMENT]);
    for user in 0..100 {
        token(&node, App::DEVELOPMENT, &format!("seated-{user}")).ok();
    }
    let claims = || given.cluster.sql(&given.names[0], "select count(*) from rollcall_read.store_claim");
    node.eventually("the directory has all", |_| given.directory() == 100);
    assert_eq!(claims(), "0");
    for user in 0..30 {
        assert_ne!(token(&node, App::DEVELOPMENT, &format!("late-{user}")).code(), 200);
    }
    // The last ones are given back when the next userId needs a subject; a command lets go of its own once it has answered.
    assert!(claims().parse::<u32>().unwrap() <= 2, "{} of 30", claims());
}
