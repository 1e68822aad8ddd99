//! A drill on a stopped data directory.

use super::{path, rollcall, text};
use crate::support::{App, Service};

const APP: App = App::PRODUCTION;

#[test]
fn a_drill_erases_nobody_but_the_person_it_made_up_and_says_whether_its_report_is_final() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    service.stop();
    let drill = |app: &str| rollcall(&["erasure", "drill", app, "--data-dir", path(service.data())]).output().unwrap();
    let output = drill(APP.key);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    assert!(said.contains("\tfinalised\t") && said.contains("final: erasure "), "{said}");
    let unknown = drill("nobody");
    assert!(!unknown.status.success() && text(&unknown.stderr).contains("app"), "{}", text(&unknown.stderr));
    let service = Service::start_in(service.data(), &[APP]);
    let info = service.post(APP, "/user/info.json", &[("userId", "ada")]).ok();
    assert_eq!(info.json()["userName"], "Name of ada");
}
