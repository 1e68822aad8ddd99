//! A log may hold several subjects of one userId: the directory takes all of them, and the userId names the first.

use std::collections::BTreeSet;

use rollcall_projections::user_directory::{self, Introduced};
use rollcall_projections::{ALL, Arrival, Entry};
use rollcall_schemas::ids::ErasureId;
use rollcall_schemas::plain::Scope;
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{erasure, user};
use uuid::Uuid;

use crate::rebuilding::store;
use crate::support::{Log, app, now, requested, subject, tag};

/// The arrivals of a log, with this tag for those whose subjects are given.
fn of_one_user_id<'l>(log: &'l Log, subjects: &[u32]) -> Vec<Arrival<'l>> {
    let shared = |position: u64| {
        let entry = log.entry(position);
        let is_theirs = entry.tag.is_some_and(|known| subjects.iter().any(|number| tag(subject(*number)) == known));
        Arrival::Decoded(Entry { tag: if is_theirs { Some(tag(subject(subjects[0]))) } else { entry.tag }, ..entry })
    };
    (1..=log.events.len() as u64).map(shared).collect()
}

#[tokio::test]
async fn a_user_id_with_several_subjects_names_the_first_and_all_of_them_are_found() {
    let (_files, store) = store();
    let mut log = Log::default();
    for number in 1..=5 {
        log.register(subject(number));
    }
    // Of the second and the fourth.
    let (app, shared) = (app("app-one"), tag(subject(4)));
    now(store.apply(&of_one_user_id(&log, &[4, 2]), ALL)).unwrap();
    assert_eq!(store.parked(10).await.unwrap(), []);
    assert_eq!(user_directory::subject_of(&store, &app, shared).await.unwrap(), Some(subject(2)));
    assert_eq!(user_directory::by_tag(&store, &app, shared).await.unwrap().unwrap().subject, subject(2));
    let tags = [tag(subject(1)), shared, tag(subject(9))];
    let named = user_directory::subjects_of(&store, &app, &tags).await.unwrap();
    assert_eq!(named, [Some(subject(1)), Some(subject(2)), None]);
    let all = user_directory::all_subjects_of(&store, &app, &tags).await.unwrap();
    assert_eq!(all, [vec![subject(1)], vec![subject(2), subject(4)], vec![]]);
    let found = user_directory::ambiguous(&store, [0; 16], 10).await.unwrap();
    let introduced = |number: u32| Introduced { position: number.into(), subject: subject(number), app: app.clone() };
    assert_eq!(found, [(shared, vec![introduced(2), introduced(4)])]);
    assert_eq!(user_directory::ambiguous(&store, shared, 10).await.unwrap(), []);
    // Every tag is found, however small the pages: also where a page ends between two subjects of one.
    let every = [1, 3, 4, 5].map(|number| tag(subject(number)));
    for size in 1..7 {
        let (mut tags, mut after) = (BTreeSet::new(), [0; 16]);
        loop {
            let page = user_directory::tags(&store, after, size).await.unwrap();
            let Some(last) = page.last() else { break };
            after = *last;
            tags.extend(page);
        }
        assert_eq!(tags, BTreeSet::from(every));
    }

    // Once the first one is forgotten, the userId names the other.
    let erasure = ErasureId(Uuid::from_u128(1));
    let requested = requested(erasure, subject(2), Scope::Forget, "op");
    log.record(Stream::Erasure(erasure), requested);
    log.record(
        Stream::Erasure(erasure),
        erasure::Event::from(erasure::Linked { erasure, subject: subject(2), further: vec![] }),
    );
    log.user(subject(2), user::Forgotten { subject: subject(2), erasure });
    let arrivals = of_one_user_id(&log, &[4, 2]);
    now(store.apply(&arrivals[5..], ALL)).unwrap();
    assert_eq!(store.parked(10).await.unwrap(), []);
    assert_eq!(user_directory::subject_of(&store, &app, shared).await.unwrap(), Some(subject(4)));
    assert_eq!(user_directory::ambiguous(&store, [0; 16], 10).await.unwrap(), []);
}
