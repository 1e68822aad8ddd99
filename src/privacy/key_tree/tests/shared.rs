//! One vault in a database, used by several nodes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::cluster::Cluster;
use super::double::{TOKEN, Transit};
use super::{
    Class, Error, Header, Inner, KeyTree, Options, SecretId, Taken, Vault, app, destroy_all, header, keys_to_destroy,
    opens, profile, sealed,
};
use crate::database::Database;
use crate::privacy::key_tree::allocated;
use crate::privacy::key_tree::page_key::PageRef;
use crate::privacy::key_tree::root_cell::transit::{Server, TransitCell};

/// After so long nothing that another node destroyed opens, however slow this machine is.
const UNREADABLE_AFTER: Duration = Duration::from_secs(1);

struct Given {
    cluster: Cluster,
    name: String,
    transit: Transit,
    database: Database,
}

impl Given {
    fn a_database() -> Self {
        let cluster = Cluster::start();
        let name = cluster.database();
        let database = cluster.address(&name).parse().unwrap();
        Self { cluster, name, transit: Transit::start(), database }
    }

    fn try_node(&self) -> Result<KeyTree, Error> {
        let server = Server { address: self.transit.address.clone(), token: TOKEN.into(), namespace: None };
        KeyTree::serving(Inner::open(
            super::super::shared(&self.database)?,
            Box::new(TransitCell::new(server, "rollcall")),
            Taken::Refuse,
        )?)
    }

    fn node(&self) -> KeyTree {
        self.try_node().unwrap()
    }
}

#[test]
fn an_app_is_found_by_its_bytes_in_whatever_language_the_database_is() {
    let given = Given::a_database();
    given.node();
    assert_eq!(given.cluster.keys_of_words(&given.name), "");
}

#[test]
fn nodes_that_start_at_once_make_one_vault_and_read_what_each_other_sealed() {
    let given = Given::a_database();
    let nodes: Vec<_> = std::thread::scope(|scope| {
        let starting: Vec<_> = (0..4).map(|_| scope.spawn(|| given.node())).collect();
        starting.into_iter().map(|node| node.join().unwrap()).collect()
    });
    assert!(nodes.iter().all(|node| node.id() == nodes[0].id() && node.signers() == nodes[0].signers()));
    let values: Vec<_> = nodes.iter().flat_map(|node| sealed(node, 20)).collect();
    assert!(nodes.iter().all(|node| values.iter().all(|value| opens(node, value))));
    let subjects: std::collections::HashSet<_> = values.iter().map(|(header, _)| header.subject).collect();
    assert_eq!(subjects.len(), values.len(), "no subject is handed out twice");
    assert!(nodes.iter().all(|node| node.tag(&app(), "ada").unwrap() == nodes[0].tag(&app(), "ada").unwrap()));
}

#[test]
fn keys_that_were_fetched_are_not_asked_for_again_and_what_was_destroyed_is_not_among_them() {
    let given = Given::a_database();
    let (one, other) = (given.node(), given.node());
    let values = sealed(&one, 2_300);
    destroy_all(&one, &[&values[7]]);
    std::thread::sleep(UNREADABLE_AFTER);
    let subjects: Vec<_> = values.iter().map(|(header, _)| header.subject).collect();
    given.cluster.sql("postgres", "alter system set log_statement = 'all'");
    given.cluster.sql("postgres", "select pg_reload_conf()");
    let asked = || given.cluster.said().matches("from subject_key where subject = $1").count();
    while asked() == 0 {
        // Until the connection has heard of it.
        other.fetch(&[allocated(&other), allocated(&one)]).unwrap();
    }
    let before = asked();
    other.fetch(&subjects).unwrap();
    other.fetch(&subjects[..7]).unwrap();
    // The pages, and of the one whose keys were written out each subject.
    let pages: HashSet<_> = subjects.iter().map(|subject| PageRef::of(*subject)).collect();
    let written_out = subjects.iter().filter(|subject| PageRef::of(**subject) == PageRef::of(subjects[7])).count();
    let chunks = subjects.len().div_ceil(1_000);
    assert!((pages.len() + written_out..=pages.len() + chunks + written_out).contains(&(asked() - before)));
    let before = asked();
    assert_eq!(values.iter().filter(|value| opens(&other, value)).count(), values.len() - 1);
    assert!(!opens(&other, &values[7]));
    assert!(asked() - before <= 8, "only what has no key is asked for again");
}

#[test]
fn what_one_node_destroys_no_other_one_opens_a_second_later() {
    let given = Given::a_database();
    let (one, other) = (given.node(), given.node());
    let values = sealed(&one, 6);
    assert!(values.iter().all(|value| opens(&other, value)), "the control: the other has the keys in memory");
    destroy_all(&one, &[&values[0], &values[1]]);
    std::thread::sleep(UNREADABLE_AFTER);
    assert!(!opens(&other, &values[0]) && matches!(other.seal(&values[1].0, b"1"), Err(Error::Erased)));
    assert!(values[2..].iter().all(|value| opens(&one, value) && opens(&other, value)));
    // And the other way round, under a tree that the other one made.
    destroy_all(&other, &[&values[2]]);
    other.rotate().unwrap();
    std::thread::sleep(UNREADABLE_AFTER);
    assert!(!opens(&one, &values[2]));
    let later: Vec<_> = [&one, &other].into_iter().flat_map(|node| sealed(node, 1_500)).collect();
    let third = given.node();
    let alive = || values[3..].iter().chain(&later);
    assert!([&one, &other, &third].into_iter().all(|node| alive().all(|value| opens(node, value))));
    assert!([&one, &other, &third].into_iter().all(|node| values[..3].iter().all(|value| !opens(node, value))));
    assert_eq!(given.transit.versions("rollcall").len(), 1);
}

#[test]
fn a_node_that_cannot_reach_the_keys_uses_none_and_goes_on_when_it_can() {
    let given = Given::a_database();
    let node = given.node();
    let value = sealed(&node, 1).remove(0);
    assert!(opens(&node, &value));
    given.cluster.stop("immediate");
    std::thread::sleep(2 * UNREADABLE_AFTER);
    let (header, ciphertext) = &value;
    let refused = node.open(header, ciphertext);
    assert!(matches!(&refused, Err(Error::Unavailable(said)) if said.contains("no key is used")), "{refused:?}");
    assert!(node.seal(header, b"1").is_err() && node.tag(&app(), "ada").is_err());
    given.cluster.resume();
    let mut attempts = 0;
    while node.open(header, ciphertext).is_err() {
        attempts += 1;
        assert!(attempts < 100, "it does not go on");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(sealed(&node, 2_000).len(), 2_000);
}

/// Vault hangs where a node fetches the root that another one made.
#[test]
fn a_node_that_is_not_told_the_new_root_opens_what_it_knows_and_nothing_that_was_destroyed() {
    let given = Given::a_database();
    let (one, other) = (given.node(), given.node());
    let values = sealed(&one, 3);
    assert!(values.iter().all(|value| opens(&other, value)), "the control: it has the keys in memory");
    given.transit.fall_silent("decrypt");
    destroy_all(&one, &[&values[0]]);
    while given.transit.unanswered() == 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(2 * UNREADABLE_AFTER);
    assert!(!opens(&other, &values[0]));
    assert!(opens(&other, &values[1]) && opens(&other, &values[2]));
    given.transit.speak();
    assert_eq!(sealed(&other, 1_500).len(), 1_500, "under the new tree");
    assert!(opens(&one, &values[1]));
}

#[test]
fn a_destruction_that_its_node_could_not_end_is_not_called_done_by_another_before_it_is() {
    let given = Given::a_database();
    let (one, other) = (given.node(), given.node());
    let values = sealed(&one, 2);
    let erasure = [keys_to_destroy(values[0].0.subject, &Class::ALL)];
    given.transit.fail(&["trim"]);
    assert!(one.destroy(&erasure).is_err());
    drop(one);
    assert!(matches!(other.destroy(&erasure), Err(Error::Unavailable(_))), "the old root may still be there");
    assert!(given.transit.versions("rollcall").len() > 1, "the control: it is");
    given.transit.fail(&[]);
    let done = other.destroy(&erasure).unwrap();
    assert_eq!(done[0].keys.len(), 4, "as it was destroyed the first time");
    assert_eq!(given.transit.versions("rollcall").len(), 1);
    assert!(!opens(&other, &values[0]) && opens(&other, &values[1]));
}

#[test]
fn secrets_and_new_epochs_of_one_node_are_known_to_the_others_at_once() {
    let given = Given::a_database();
    let (one, other) = (given.node(), given.node());
    assert!(other.secrets(&app()).unwrap().is_empty());
    one.put_secret(&app(), SecretId(1), "first").unwrap();
    one.put_secret(&app(), SecretId(2), "second").unwrap();
    let mac = one.token_mac(&app(), SecretId(2), b"token").unwrap();
    assert_eq!(other.token_mac(&app(), SecretId(2), b"token").unwrap(), mac);
    assert_eq!(other.secrets(&app()).unwrap().len(), 2);
    one.drop_secret(&app(), SecretId(1)).unwrap();
    std::thread::sleep(UNREADABLE_AFTER);
    assert!(matches!(other.token_mac(&app(), SecretId(1), b"token"), Err(Error::Erased)));

    let value = sealed(&one, 1).remove(0);
    let subject = value.0.subject;
    one.destroy(&[keys_to_destroy(subject, &[Class::Profile, Class::Moderation])]).unwrap();
    std::thread::sleep(UNREADABLE_AFTER);
    assert!(!opens(&other, &value) && other.epoch(subject).unwrap() == Some(0));
    one.renew(subject, 1).unwrap();
    assert_eq!(other.epoch(subject).unwrap(), Some(1));
    let next = header(subject, Class::Profile, 1);
    let new = (next.clone(), other.seal(&next, b"\"Ada\"").unwrap());
    assert!(opens(&one, &new) && !opens(&other, &value));
    one.add_signer().unwrap();
    std::thread::sleep(UNREADABLE_AFTER);
    assert_eq!(one.signers(), other.signers());
}

#[test]
fn nodes_that_write_and_destroy_at_the_same_time_lose_no_key_and_bring_none_back() {
    let given = Given::a_database();
    let nodes = [given.node(), given.node(), given.node()];
    let kept = std::sync::Mutex::new(Vec::<(Header, _)>::new());
    let (gone, turns) = (std::sync::Mutex::new(Vec::new()), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for node in &nodes {
            let (kept, gone, turns) = (&kept, &gone, &turns);
            scope.spawn(move || {
                while turns.fetch_add(1, Ordering::SeqCst) < 60 {
                    let mut values = sealed(node, 300);
                    let keys_to_destroy = values.split_off(298);
                    destroy_all(node, &keys_to_destroy.iter().collect::<Vec<_>>());
                    assert!(keys_to_destroy.iter().all(|value| !opens(node, value)));
                    kept.lock().unwrap().extend(values);
                    gone.lock().unwrap().extend(keys_to_destroy);
                }
            });
        }
    });
    std::thread::sleep(UNREADABLE_AFTER);
    let late = given.node();
    let (kept, gone) = (kept.into_inner().unwrap(), gone.into_inner().unwrap());
    for node in nodes.iter().chain([&late]) {
        assert!(gone.iter().all(|value| !opens(node, value)));
        assert!(kept.iter().all(|value| opens(node, value)));
    }
    let fresh = profile(allocated(&late));
    assert!(nodes[0].seal(&fresh, b"1").is_ok());
}

#[test]
fn a_root_in_a_file_of_one_machine_is_refused_where_there_may_be_many() {
    let given = Given::a_database();
    let dir = tempfile::tempdir().unwrap();
    for options in [super::LOCAL(dir.path()), super::SPLIT(dir.path())] {
        let options = Options { database: Some(given.database.clone()), ..options };
        let Some(Error::Unavailable(refused)) = KeyTree::open(dir.path(), &options).err() else { panic!("it opened") };
        assert!(refused.contains("serves one node"), "{refused}");
    }
}

/// The primary says that a rotation is done, because somebody cut its wait for the standby short; and it is lost then.
#[test]
fn the_root_of_before_outlives_a_rotation_that_only_a_lost_primary_has_seen() {
    let primary = Cluster::start();
    let standby = primary.standby();
    primary.wait_for_standby();
    let name = primary.database();
    let servers = format!("host={},{} user=rollcall dbname={name}", primary.path(""), standby.path(""));
    let given = Given { cluster: primary, name, transit: Transit::start(), database: servers.parse().unwrap() };
    let node = given.node();
    let values = sealed(&node, 2);
    standby.stop("fast");
    std::thread::scope(|scope| {
        let destroy = [keys_to_destroy(values[0].0.subject, &Class::ALL)];
        let node = &node;
        let destroying = scope.spawn(move || node.destroy(&destroy));
        while !destroying.is_finished() {
            let cut = "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'";
            given.cluster.sql(&given.name, cut);
            std::thread::sleep(Duration::from_millis(50));
        }
        let refused = destroying.join().unwrap();
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
    });
    drop(node);
    given.cluster.kill();
    standby.resume();
    standby.promote();
    let node = given.node();
    assert!(values.iter().all(|value| opens(&node, value)));
    assert_eq!(destroy_all(&node, &[&values[0]]).len(), 1);
    assert!(!opens(&node, &values[0]) && opens(&node, &values[1]));
}
