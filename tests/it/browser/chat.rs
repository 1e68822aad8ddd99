//! The example with two users and a moderator.

use std::collections::BTreeSet;

use super::driver::ENTER;
use super::{Browser, Chat, Line};
use crate::support::{App, Service};

const APP: App = App::PRODUCTION;

/// Waits until both users are connected and see each other.
#[track_caller]
fn both_are_online(browser: &Browser) {
    for (user, other) in [("ada", "Bob: online"), ("bob", "Ada: online")] {
        browser.until(&format!("#{user} .state"), "Online.");
        browser.until(&format!("#{user} .other"), other);
    }
}

#[test]
fn two_users_of_the_example_befriend_come_and_go_block_and_are_banned_in_a_real_browser() {
    let chat = Chat::start(&[]);
    let browser = Browser::start();
    browser.open(&chat.url);
    both_are_online(&browser);

    browser.click("#ada [data-do=ask]");
    browser.until("#ada .requests", "to bob");
    browser.until("#bob .requests", "from ada: It is Ada");
    // Without a mouse too.
    browser.type_into("#bob [data-do=accept]", ENTER);
    browser.until("#ada .friends", "Bob (bob)");
    browser.until("#bob .friends", "Ada (ada)");
    assert_eq!(browser.text("#bob .requests"), "");

    browser.click("#bob [data-do=disconnect]");
    browser.until("#ada .other", "Bob: offline");
    browser.click("#bob [data-do=connect]");
    both_are_online(&browser);

    browser.click("#ada [data-do=block]");
    browser.until("#ada .other", ", blocked");
    browser.click("#ada [data-do=unblock]");
    browser.until("#ada .log", "blocklist.changed");

    browser.click("#ban-bob");
    browser.until("#bob .state", "You were banned. (4504 31011 the user was banned)");
    browser.until("#ada .other", "Bob: offline");
    browser.click("#bob [data-do=connect]");
    browser.until("#bob .state", "You are banned. (4503 31009 the user is banned)");
    browser.click("#unban-bob");
    browser.until("#moderator [role=status]", "Bob is not banned any more.");
    browser.click("#bob [data-do=connect]");
    both_are_online(&browser);

    browser.reload();
    both_are_online(&browser);
    browser.until("#ada .friends", "Bob (bob)");
    browser.click("#ada [data-do=unfriend]");
    browser.until("#bob .log", "friend.removed ada");
    browser.narrow(320);
    let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
    assert_eq!(browser.run(fits), true, "the page is wider than a narrow window");
    assert_eq!(browser.complaints(), [""; 0]);

    let socket = format!("{}/client/v1/connect", chat.rollcall.replacen("http", "ws", 1));
    for url in browser.requested().into_iter().collect::<BTreeSet<_>>() {
        assert!(url == socket || url.starts_with(&chat.url), "the page asks for {url}");
    }
}

#[test]
fn a_client_of_the_example_whose_node_stops_comes_back_to_the_next_one_and_hears_what_it_missed() {
    let mut service = Service::start(&[APP]);
    let line = Line::to(service.address);
    let (url, app) = (format!("http://{}", line.address), format!("{}:{}", APP.key, APP.secret));
    let chat = Chat::start(&["--rollcall", &url, "--app", &app]);
    let browser = Browser::start();
    browser.open(&chat.url);
    both_are_online(&browser);

    service.stop();
    line.cut();
    browser.until("#ada .log", "Connection lost (4001 the node stops; connect again). Trying again in ");
    service.restart();
    // Nobody is connected when it happens.
    let asked = [("userId", "bob"), ("targetId", "ada"), ("optType", "1")];
    service.post(APP, "/friend/add.json", &asked).ok();
    line.mend(service.address);
    both_are_online(&browser);
    browser.until("#ada .log", "friend.requested bob received");
    browser.until("#ada .requests", "from bob");

    // Cut off without a word.
    line.cut();
    browser.until("#ada .log", "Connection lost (1006");
    line.mend(service.address);
    both_are_online(&browser);
    browser.click("#ada [data-do=refuse]");
    browser.until("#bob .log", "friend.refused ada");
}
