//! The tests of the faces and of the past once more, with log and read models on a server instead of in files.

use std::process::Command;

use crate::support::Cluster;
use crate::support::service::{SERVER, TWO_NODES};
use crate::support::transit::{TOKEN, Transit};

const FACES: &[&str] = &["http::", "sdk::"];

/// What is about files of the data directory, or runs as long as all the others.
const OF_FILES: &[&str] = &[
    "http::callback::an_app_is_told",
    "http::callback::an_app_whose_server",
    "http::callback::an_erasure_that_an_app",
    "http::callback::a_redirect",
    "http::rest::a_key_may_do_what_its_scopes_say_until_it_is_retired",
    "http::rest_operating::a_parked_stream",
    "http::rest_operating::a_read_model_is_built_anew",
    "http::rest_operating::one_read_model_is_built_anew",
    "http::rest_operations::an_operation_whose_process_dies",
    "http::rest_imports::an_import_whose_process_dies",
];

/// What is about one process: the bytes of its connections, which a proxy changes, and what it counts.
const OF_ONE_PROCESS: &[&str] =
    &["http::hostile_connections", "http::hostile_memory", "http::metrics", "http::rest_operating::an_operator_sees"];

/// What is decided before log and read models are asked: how a request is framed, signed and written, and what the documents
/// say. It is proven with files.
const OF_THE_EDGE: &[&str] = &[
    "http::hostile::every_endpoint_refuses_a_megabyte",
    "http::hostile::no_endpoint_stumbles_over_very_many_parameters",
    "http::hostile::the_content_type",
    "http::hostile_connections",
    "http::hostile_memory",
    "http::metrics::another_machine",
    "http::metrics::page_rules",
    "http::rest::the_openapi_document",
    "http::rest_scopes",
    "http::rest_imports::a_body_that_is_not",
    "http::server_v1_registration::a_name_is_required",
    "http::server_v1_registration::a_portrait_has",
    "http::server_v1_registration::a_user_id_has",
    "http::server_v1_settings::nobody_is_in_a_group",
    "http::server_v1_signature",
    "http::server_v1_tags::a_body_that_is_not",
    "sdk::captured::the_signature",
];

/// What depends on the store alone, which is the same for two nodes: values and their bounds, pages of a list beyond the first
/// such test of its route, what one stream holds once it is full, and which reads are recorded. It is proven over a server
/// with one node. What two nodes do to one stream at once is proven in `engine/` and `nodes/`.
const OF_THE_STORE: &[&str] = &[
    "http::feed::what_is_not_a_question",
    "http::hostile::",
    "http::recorded_reads",
    "http::rest::a_page_of_the_past_that_lies",
    "http::rest::open_requests_that_are_due",
    "http::rest_admission::a_thousand_pairs",
    "http::rest_bans::a_ban_that_says_not",
    "http::rest_imports::an_import_waits",
    "http::rest_operations::a_batch_of_nobody",
    "http::rest_profiles::quiet_hours",
    "http::rest_paging",
    "http::rest_profiles::the_remarks",
    "http::rest_profiles::who_of_many",
    "http::rest_search::an_app_with_more_users",
    "http::server_v1_bans::a_ban_ends_so_many",
    "http::server_v1_bans::a_call_takes_20",
    "http::server_v1_bans::minutes_run",
    "http::server_v1_bans::the_first_page",
    "http::server_v1_deactivation::a_call_takes_100",
    "http::server_v1_deactivation::a_user_cannot_come_back",
    "http::server_v1_deactivation::pages_of",
    "http::server_v1_friends::a_page_of_friends_has_50",
    "http::server_v1_friends::a_user_has_up_to_3000",
    "http::server_v1_friends::descriptions_of_friends_have_bounds",
    "http::server_v1_friends::pages_of_friends",
    "http::server_v1_friends::parameters_of_friends",
    "http::server_v1_info::a_production_app",
    "http::server_v1_info::a_user_that_does_not_exist",
    "http::server_v1_info::a_user_without_a_portrait",
    "http::server_v1_info::online_status",
    "http::server_v1_info::refresh_holds_the_bounds",
    "http::server_v1_lists::a_list_holds_3000",
    "http::server_v1_lists::a_user_on_its_own_list",
    "http::server_v1_lists::missing_malformed",
    "http::server_v1_lists::pages_of_a_list",
    "http::server_v1_lists::the_path_of_a_page",
    "http::server_v1_profiles::a_clean_of_several",
    "http::server_v1_profiles::every_field_of_a_profile",
    "http::server_v1_profiles::extension_fields",
    "http::server_v1_profiles::missing_and_malformed",
    "http::server_v1_registration::a_production_app_registers",
    "http::server_v1_settings::a_call_mutes_1000",
    "http::server_v1_settings::remarks_are_listed",
    "http::server_v1_tags::a_call_tags_1000",
    "http::server_v1_tags::a_user_has_up_to_20",
    "http::server_v1_tags::one_call_tags_many",
    "http::server_v4::an_official_sdk_is_told",
    "http::server_v4::every_answer_that_tells",
    "http::server_v4::whatever_is_sent",
];

/// Runs tests again with these settings; at least so many must run.
pub(super) fn again(tests: &[&str], settings: &[(&str, &str)], skipped: &[&str], least: usize) {
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(tests).envs(settings.iter().copied()).env("RUST_BACKTRACE", "0");
    for test in skipped {
        again.args(["--skip", test]);
    }
    let output = again.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<_> = said.lines().filter(|line| line.ends_with("FAILED") || line.contains("panicked")).collect();
    assert!(output.status.success(), "{failed:#?}\n{said}");
    let ran = said.lines().filter(|line| line.ends_with(" ... ok")).count();
    assert!(ran >= least, "only {ran} tests ran");
}

#[test]
fn what_holds_with_files_holds_with_a_server() {
    let cluster = Cluster::start_with("max_connections=400");
    again(FACES, &[(SERVER, &cluster.path(""))], &[OF_FILES, OF_THE_EDGE].concat(), 100);
}

#[test]
fn what_holds_with_one_node_holds_with_two_behind_a_proxy() {
    let (cluster, transit) = (Cluster::start_with("max_connections=800"), Transit::start());
    let settings =
        [(SERVER, &*cluster.path("")), (TWO_NODES, "1"), ("VAULT_ADDR", &transit.address), ("VAULT_TOKEN", TOKEN)];
    again(FACES, &settings, &[OF_FILES, OF_ONE_PROCESS, OF_THE_EDGE, OF_THE_STORE].concat(), 70);
}
