//! Blocklists, allowlists and which of them is in force.

use super::{DONE, form, repeated, users};
use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;
/// Path and the parameter that names the others.
const LISTS: [(&str, &str); 2] = [("/user/blacklist", "blackUserId"), ("/user/whitelist", "whiteUserId")];

struct List<'s>(&'s Service, &'static str, &'static str);

impl List<'_> {
    #[track_caller]
    fn call(&self, verb: &str, body: &str) -> Reply {
        // The tests write `target` for whatever the list calls it.
        form(self.0, APP, &format!("{}/{verb}.json", self.1), &body.replace("target", self.2))
    }

    #[track_caller]
    fn users(&self, body: &str) -> Vec<String> {
        users(self.call("query", body))
    }
}

fn each(test: impl Fn(&List<'_>)) {
    let service = Service::start(&[APP]);
    for (path, target) in LISTS {
        test(&List(&service, path, target));
    }
}

#[test]
fn entries_are_listed_the_newest_first_without_doubles() {
    each(|list| {
        list.call("query", "userId=ada").reads(r#"{"code":200,"users":[]}"#);
        for target in ["bob", "cyd", "bob", "dan"] {
            list.call("add", &format!("userId=ada&target={target}")).reads(DONE);
        }
        list.call("query", "userId=ada").reads(r#"{"code":200,"users":["dan","cyd","bob"]}"#);
        list.call("remove", "userId=ada&target=cyd&target=not-there").reads(DONE);
        list.call("query", "userId=ada").reads(r#"{"code":200,"users":["dan","bob"]}"#);
        list.call("add", "userId=ada&target=bob,cyd").reads(DONE);
        assert_eq!(list.users("userId=ada").len(), 3);
        assert_eq!(list.users("userId=bob").len(), 0, "a list has one direction");
        list.call("remove", "userId=nobody&target=cyd").reads(DONE);
    });
}

#[test]
fn pages_of_a_list_follow_each_other_and_the_last_names_no_next() {
    each(|list| {
        for n in 0..7 {
            list.call("add", &format!("userId=ada&target=t{n}")).ok();
        }
        let (mut seen, mut body) = (vec![], "userId=ada&size=3".to_owned());
        let mut pages = 0;
        loop {
            let reply = list.call("query", &body).ok();
            seen.extend(users(reply.clone()));
            pages += 1;
            let Some(next) = reply.json()["next"].as_str().map(str::to_owned) else {
                assert_eq!(reply.members(), ["code", "users"], "an absent member is not null");
                break;
            };
            assert_eq!(reply.members(), ["code", "users", "next"]);
            body = format!("size=3&pageToken={next}&userId=ada");
        }
        assert_eq!((pages, seen), (3, (0..7).rev().map(|n| format!("t{n}")).collect()));
        let exact = list.call("query", "userId=ada&size=7").ok();
        assert_eq!(exact.members(), ["code", "users"], "a page that ends with the list names no next");
        assert_eq!(list.users("userId=ada&pageToken=").len(), 7);
    });
}

#[test]
fn a_page_does_not_repeat_what_was_added_since_the_one_before() {
    each(|list| {
        for n in 0..4 {
            list.call("add", &format!("userId=ada&target=t{n}")).ok();
        }
        let first = list.call("query", "userId=ada&size=2").ok().json();
        list.call("add", "userId=ada&target=newer").ok();
        let next = first["next"].as_str().unwrap();
        assert_eq!(list.users(&format!("userId=ada&size=2&pageToken={next}")), ["t1", "t0"]);
    });
}

#[test]
fn missing_malformed_and_oversized_parameters_change_no_list() {
    each(|list| {
        for verb in ["add", "remove"] {
            for bad in ["", "userId=ada", "target=bob", "userId=ada&target=", "userId=&target=b", "userId=a.b&target=b"]
            {
                list.call(verb, bad).refused(400, 1002);
            }
            list.call(verb, "userId=ada&target=good&target=bad.id").refused(400, 1002);
            list.call(verb, &format!("userId=ada&{}", repeated("target", "t", 21))).refused(400, 1005);
            list.call(verb, &format!("userId={}&target=b", "x".repeat(65))).refused(400, 1005);
            list.call(verb, &format!("userId=ada&target=good&target={}", "x".repeat(65))).refused(400, 1005);
        }
        for bad in
            ["", "userId=", "userId=a&size=0", "userId=a&size=1001", "userId=a&size=x", "userId=a&pageToken=CNgB"]
        {
            list.call("query", bad).refused(400, 1002);
        }
        assert_eq!(list.users("userId=ada").len(), 0);
        list.call("add", &format!("userId=ada&{}", repeated("target", "t", 20))).reads(DONE);
        assert_eq!(list.users("userId=ada&size=1000").len(), 20);
    });
}

#[test]
fn a_user_on_its_own_list_is_a_success_and_not_listed() {
    each(|list| {
        list.call("add", "userId=ada&target=ada").reads(DONE);
        assert_eq!(list.users("userId=ada"), [""; 0]);
        list.call("add", "userId=ada&target=bob&target=ada").reads(DONE);
        assert_eq!(list.users("userId=ada"), ["bob"], "the others are listed");
        list.call("remove", "userId=ada&target=ada").reads(DONE);
        assert_eq!(list.users("userId=ada"), ["bob"]);
    });
}

#[test]
fn a_list_holds_3000_and_refuses_a_whole_call_that_would_make_it_longer() {
    each(|list| {
        let batch = |call: usize| (0..20).map(|n| format!("&target=t{call}-{n}")).collect::<String>();
        for call in 0..149 {
            list.call("add", &format!("userId=full{}", batch(call))).ok();
        }
        let nineteen: String = (0..19).map(|n| format!("&target=last{n}")).collect();
        list.call("add", &format!("userId=full{nineteen}")).ok();
        list.call("add", "userId=full&target=one&target=two").refused(400, 1005);
        list.call("add", "userId=full&target=one").reads(DONE);
        list.call("add", "userId=full&target=two").refused(400, 1005);
        list.call("add", "userId=full&target=one&target=t0-0").reads(DONE);
        let first = list.call("query", "userId=full").ok();
        assert_eq!(users(first.clone()).len(), 1000, "without a size a page has 1,000");
        assert_eq!(users(first)[0], "one");
        list.call("remove", "userId=full&target=one").ok();
        list.call("add", "userId=full&target=two").reads(DONE);
    });
}

#[test]
fn the_path_of_a_page_of_the_documentation_leads_to_the_same_list() {
    let service = Service::start(&[APP]);
    form(&service, APP, "/user/blocklist/add.json", "userId=ada&blackUserId=bob").reads(DONE);
    form(&service, APP, "/user/blacklist/query.json", "userId=ada").reads(r#"{"code":200,"users":["bob"]}"#);
    form(&service, APP, "/user/blocklist/remove.json", "userId=ada&blackUserId=bob").reads(DONE);
    form(&service, APP, "/user/blocklist/query.json", "userId=ada").reads(r#"{"code":200,"users":[]}"#);
}

#[test]
fn which_list_is_in_force_is_a_string_and_the_blocklist_unless_set() {
    let service = Service::start(&[APP]);
    let set = |body: &str| form(&service, APP, "/user/whitesetting/set.json", body);
    let query = |body: &str| form(&service, APP, "/user/whitesetting/query.json", body);
    query("userId=b&userId=a")
        .reads(r#"{"code":200,"users":[{"userId":"b","whiteSetting":"0"},{"userId":"a","whiteSetting":"0"}]}"#);
    set("userId=a&userId=c&whiteSetting=1").reads(DONE);
    query("userId=b,a,c").reads(
        r#"{"code":200,"users":[{"userId":"b","whiteSetting":"0"},{"userId":"a","whiteSetting":"1"},{"userId":"c","whiteSetting":"1"}]}"#,
    );
    set("userId=a&whiteSetting=0").reads(DONE);
    query("userId=a").reads(r#"{"code":200,"users":[{"userId":"a","whiteSetting":"0"}]}"#);
    for bad in ["", "userId=a", "whiteSetting=1", "userId=a&whiteSetting=2", "userId=a&whiteSetting=x"] {
        set(bad).refused(400, 1002);
    }
    set(&format!("whiteSetting=1&{}", repeated("userId", "u", 21))).refused(400, 1005);
    set("whiteSetting=1&userId=u0&userId=bad.id").refused(400, 1002);
    query("").refused(400, 1002);
    query(&repeated("userId", "u", 21)).refused(400, 1005);
    query("userId=u0").reads(r#"{"code":200,"users":[{"userId":"u0","whiteSetting":"0"}]}"#);
}
