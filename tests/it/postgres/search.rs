//! A search whose index cannot be made yet.

use crate::support::{App, Cluster, Service};

const APP: App = App::PRODUCTION;

#[test]
fn a_search_whose_index_is_being_made_is_told_so_and_answered_once_it_is_there() {
    let cluster = Cluster::start();
    let name = cluster.database();
    let dir = tempfile::tempdir().unwrap();
    let service = Service::try_start_with(dir.path(), &[APP], &["--database", &cluster.address(&name)]).unwrap();
    service.register(APP, &["ada"]);
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let ask = |query: &str| service.request("GET", &format!("/api/v1/users{query}"), &headers, b"");
    assert_eq!(ask("").json()["users"][0]["id"], "ada");
    let sleeping = "pid from pg_stat_activity where wait_event = 'PgSleep'";
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let hold =
                "begin; lock table rollcall_read.user_directory_v2 in access exclusive mode; select pg_sleep(60)";
            assert!(cluster.try_sql(&name, hold).is_err(), "it is ended");
        });
        service
            .eventually("nobody can read the users", |_| !cluster.sql(&name, &format!("select {sleeping}")).is_empty());
        let told = ask("?name=name");
        cluster.sql(&name, &format!("select pg_terminate_backend(pid) from (select {sleeping}) as held"));
        assert_eq!((told.status, &told.json()["type"]), (503, &"urn:rollcall:problem:search-building".into()));
        assert!(
            told.header("retry-after").is_some() && told.json()["detail"].as_str().unwrap().contains('%'),
            "{}",
            told.text
        );
    });
    service.eventually("she is found", |_| ask("?name=name").json()["users"][0]["id"] == "ada");
}
