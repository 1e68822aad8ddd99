//! Projectors are pure: what they emit depends on the event alone.

use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};
use rollcall_projections::{ALL, Changes, Inconsistent, Projection, Value, blocklists, friend_graph, user_directory};
use rollcall_schemas::friendship;
use rollcall_schemas::ids::Pair;
use rollcall_schemas::stream::Stream;

use crate::histories::history;
use crate::support::{Log, blocked, subject, tag};

fn changes(model: &dyn Projection, log: &Log, position: u64) -> Vec<(&'static str, Vec<Value>)> {
    let mut changes = Changes::default();
    model.project(&log.entry(position), &mut changes).unwrap();
    changes.iter().map(|change| (change.sql, change.params.to_vec())).collect()
}

fn highest_parameter(sql: &str) -> usize {
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    sql.split('$').skip(1).map(|part| digits(part).parse().unwrap()).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn projecting_an_event_again_gives_the_same_listed_statements(log in history()) {
        for position in 1..=log.events.len() as u64 {
            for model in ALL {
                let found = changes(*model, &log, position);
                prop_assert_eq!(&found, &changes(*model, &log, position));
                for (sql, params) in found {
                    prop_assert!(model.statements().contains(&sql), "{} does not list {sql}", model.name());
                    prop_assert_eq!(params.len(), highest_parameter(sql), "{}", sql);
                }
            }
        }
    }
}

#[test]
fn a_registration_carries_the_tag_and_the_sealed_values_as_they_are() {
    let mut log = Log::default();
    let position = log.register(subject(1));
    let found = changes(&user_directory::UserDirectory, &log, position);
    assert_eq!(found.len(), 2, "the row and the counter");
    assert!(found[0].1.contains(&tag(subject(1)).into()));
    let sealed: Vec<_> = found[0].1.iter().filter(|value| matches!(value, Value::Bytes(b) if b.len() > 32)).collect();
    assert_eq!(sealed.len(), 3, "userId, name, portrait");
}

#[test]
fn a_friendship_is_two_rows_of_one_statement() {
    let mut log = Log::default();
    let (from, to) = (subject(1), subject(2));
    let stream = Stream::Friendship(Pair::of(from, to).unwrap());
    let position = log.record(stream, friendship::Event::from(friendship::Befriended { from, to }));
    let found = changes(&friend_graph::FriendGraph, &log, position);
    assert_eq!(found.iter().filter(|(sql, _)| sql.starts_with("INSERT")).count(), 1);
}

#[test]
fn more_entries_at_once_than_a_list_can_order_are_inconsistent() {
    let mut log = Log::default();
    let owner = subject(0);
    let position = log.record(Stream::Blocklist(owner), blocked(owner, (1..=4_097).map(subject).collect()));
    let refused = blocklists::Blocklists.project(&log.entry(position), &mut Changes::default());
    assert!(matches!(refused, Err(Inconsistent(_))));
}
