#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use rollcall_projections::store::ReadStore;

use super::{
    AppId, Directory, Duration, Found, IN_DOUBT_FOR, KnownTags, LruCache, NonZeroUsize, Remembered, SubjectRef, UserId,
    lock,
};
use crate::privacy::{Vault as _, key_tree::KeyTree};

struct Given {
    dir: tempfile::TempDir,
    vault: std::sync::Arc<KeyTree>,
    read: ReadStore,
    directory: Directory,
}

impl Given {
    fn nothing() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vault = std::sync::Arc::new(KeyTree::open(dir.path(), &Default::default()).unwrap());
        let read = ReadStore::open(&dir.path().join("read.db")).unwrap();
        let directory = Directory::new(vault.clone());
        Self { dir, vault, read, directory }
    }

    fn app() -> AppId {
        "chat".parse().unwrap()
    }

    async fn find(&self, introduce: bool) -> Option<Found> {
        self.find_as("ada", introduce).await
    }

    async fn find_other(&self) -> Option<Found> {
        self.find_as("bob", true).await
    }

    async fn find_as(&self, user_id: &str, introduce: bool) -> Option<Found> {
        let user_id = UserId::parse("userId", user_id).unwrap();
        self.directory.find(&self.read, &Self::app(), &user_id, introduce).await.unwrap()
    }

    /// Puts a user into the read model while the store is closed: it does not see what others write to its file.
    fn insert(&mut self, user_id: &str, subject: SubjectRef) {
        let tag = self.vault.tag(&Self::app(), user_id).unwrap();
        let file = self.dir.path().join("read.db");
        self.read = ReadStore::open(&self.dir.path().join("meanwhile.db")).unwrap();
        let read = rusqlite::Connection::open(&file).unwrap();
        let row = "insert into user_directory_v2 (subject, app, tag, introduced_position, epoch, deactivated)
            values (?1, 'chat', ?2, 1, 0, 0)";
        read.execute(row, [&subject.0.as_bytes()[..], &tag[..]]).unwrap();
        drop(read);
        self.read = ReadStore::open(&file).unwrap();
    }

    fn forget(&self, position: u64) {
        self.directory.forgotten(self.vault.tag(&Self::app(), "ada").unwrap(), position);
    }
}

#[tokio::test]
async fn two_who_introduce_a_user_id_agree_and_leave_nothing_when_both_give_up() {
    let given = Given::nothing();
    let (first, second) = (given.find(true).await.unwrap(), given.find(true).await.unwrap());
    assert_eq!((first.subject, first.fresh, second.fresh), (second.subject, true, false));
    assert!(given.find(false).await.is_none(), "a reservation is not known to those who only look");
    drop(first);
    assert_eq!(given.find(true).await.unwrap().subject, second.subject, "one still holds it");
    let before = second.subject;
    drop(second);
    assert!(given.find(false).await.is_none());
    // Nothing was recorded about it: the next one gets it, so that refused introductions do not fill the vault.
    let other = given.find_other().await.unwrap();
    assert_eq!(other.subject, before);
    assert_ne!(given.find(true).await.unwrap().subject, before);
}

#[tokio::test]
async fn a_user_id_keeps_its_subject_while_it_is_in_doubt_whether_it_was_introduced() {
    let given = Given::nothing();
    let found = given.find(true).await.unwrap();
    found.hold.as_ref().unwrap().not_recorded(true);
    let subject = found.subject;
    drop(found);
    given.directory.acknowledged(9);
    given.directory.settle(9);
    let again = given.find(true).await.unwrap();
    assert_eq!((again.subject, again.fresh), (subject, false), "its stream may exist");
    assert_eq!(given.find(false).await.unwrap().subject, subject, "the log is asked");
    again.hold.as_ref().unwrap().recorded(12);
    drop(again);
    given.directory.settle(12);
    assert!(given.directory.tag_of(subject).is_none(), "from here on the read model is asked");
}

#[tokio::test]
async fn an_append_whose_outcome_is_unknown_is_in_doubt_for_an_hour_and_until_what_came_after_it_is_applied() {
    let given = Given::nothing();
    let found = given.find(true).await.unwrap();
    // From here on nothing waits for a thread.
    tokio::time::pause();
    found.hold.as_ref().unwrap().not_recorded(true);
    let subject = found.subject;
    drop(found);
    let is_kept = async |applied: u64| {
        given.directory.acknowledged(applied);
        given.directory.settle(applied);
        given.find(false).await.is_some_and(|found| found.subject == subject)
    };
    tokio::time::advance(IN_DOUBT_FOR - Duration::from_millis(1)).await;
    assert!(is_kept(9).await, "it may still reach the log");
    tokio::time::advance(Duration::from_millis(1)).await;
    // What may have come of it stands before the next position that is acknowledged.
    given.directory.acknowledged(10);
    given.directory.settle(9);
    assert!(given.find(false).await.is_some());
    given.directory.settle(10);
    assert!(given.find(false).await.is_none());
}

#[tokio::test]
async fn a_failed_append_is_in_doubt_until_what_came_after_it_is_applied() {
    let given = Given::nothing();
    let found = given.find(true).await.unwrap();
    found.hold.as_ref().unwrap().not_recorded(false);
    let subject = found.subject;
    drop(found);
    given.directory.settle(9);
    assert_eq!(given.find(true).await.unwrap().subject, subject);
    given.directory.acknowledged(10);
    given.directory.settle(9);
    assert_eq!(given.find(true).await.unwrap().subject, subject);
    given.directory.settle(10);
    let other = given.find_other().await.unwrap();
    let again = given.find(true).await.unwrap();
    assert!(again.subject != subject && other.subject != subject, "an append about it was sent: it is not used again");
}

#[tokio::test]
async fn what_was_recorded_is_found_until_the_read_model_knows() {
    let given = Given::nothing();
    let found = given.find(true).await.unwrap();
    found.hold.as_ref().unwrap().recorded(5);
    let subject = found.subject;
    drop(found);
    given.directory.settle(4);
    assert_eq!(given.find(false).await.unwrap().subject, subject);
    assert!(given.directory.tag_of(subject).is_some());
    given.directory.settle(5);
    assert!(given.directory.tag_of(subject).is_none(), "from here on the read model is asked");
}

#[tokio::test]
async fn what_the_read_model_said_is_remembered_until_the_subject_is_forgotten() {
    let given = Given::nothing();
    let (tag, subject) = (given.vault.tag(&Given::app(), "ada").unwrap(), SubjectRef(uuid::Uuid::from_u128(7)));
    let said = || lock(&given.directory.waiting).remembered.add(tag, subject);
    said();
    assert_eq!(given.find(false).await.unwrap().subject, subject, "the read model is not asked");
    assert!(given.find(true).await.unwrap().hold.is_none());
    given.forget(6);
    assert!(given.find(false).await.is_none(), "it was forgotten, and the read model does not know yet");
    given.directory.gone(subject);
    given.directory.settle(6);
    assert!(given.find(false).await.is_none());
    said();
    given.directory.ask_again();
    assert!(given.find(false).await.is_none());
}

#[tokio::test]
async fn once_it_is_learned_who_there_is_the_read_model_is_asked_for_those_alone() {
    let mut given = Given::nothing();
    let before = given.find_other().await.unwrap();
    given.insert("ada", SubjectRef(uuid::Uuid::from_u128(7)));
    given.directory.learn(&given.read).await.unwrap();
    assert_eq!(given.find(true).await.unwrap().subject.0.as_u128(), 7, "the read model has it");
    assert_eq!(given.find_other().await.unwrap().subject, before.subject, "it was reserved before");
    let knows = |given: &Given, user_id: &str| {
        let tag = given.vault.tag(&Given::app(), user_id).unwrap();
        lock(&given.directory.waiting).known.as_ref().map(|known| known.may_hold(&tag))
    };
    assert_eq!(["ada", "bob", "eve"].map(|user_id| knows(&given, user_id)), [true, true, false].map(Some));
    // Behind its back, to see that it is not asked.
    let eve = SubjectRef(uuid::Uuid::from_u128(8));
    given.insert("eve", eve);
    assert!(given.find_as("eve", false).await.is_none());
    given.directory.ask_again();
    assert_eq!(given.find_as("eve", false).await.unwrap().subject, eve);
    given.directory.learn(&given.read).await.unwrap();
    assert_eq!(knows(&given, "eve"), Some(true));
}

#[tokio::test]
async fn what_is_asked_anew_while_it_is_learned_is_learned_again() {
    let given = Given::nothing();
    lock(&given.directory.waiting).learning = Some(KnownTags::with_room_for(0));
    let reserved = given.find(true).await.unwrap();
    let tag = given.vault.tag(&Given::app(), "ada").unwrap();
    assert!(lock(&given.directory.waiting).learning.as_ref().unwrap().may_hold(&tag), "reserved while it is learned");
    given.directory.ask_again();
    assert!(lock(&given.directory.waiting).learning.is_none());
    given.directory.learn(&given.read).await.unwrap();
    assert!(lock(&given.directory.waiting).known.as_ref().unwrap().may_hold(&tag), "it is still reserved");
    drop(reserved);
}

#[test]
fn only_so_many_answers_are_remembered() {
    let mut remembered = Remembered { subjects: LruCache::new(NonZeroUsize::MIN), ..Remembered::default() };
    let subjects = [1, 2].map(|n| SubjectRef(uuid::Uuid::from_u128(n)));
    remembered.add([1; 16], subjects[0]);
    remembered.add([2; 16], subjects[1]);
    assert_eq!(remembered.tags.keys().collect::<Vec<_>>(), [&subjects[1]]);
    remembered.remove(subjects[0]);
    assert_eq!(remembered.subjects.len(), 1);
    remembered.remove(subjects[1]);
    assert!(remembered.subjects.is_empty() && remembered.tags.is_empty());
}

#[tokio::test]
async fn a_late_command_about_a_forgotten_subject_does_not_end_the_next_reservation() {
    let given = Given::nothing();
    let (first, late) = (given.find(true).await.unwrap(), given.find(true).await.unwrap());
    first.hold.as_ref().unwrap().recorded(5);
    given.forget(6);
    let next = given.find(true).await.unwrap();
    assert_ne!(next.subject, first.subject);
    late.hold.as_ref().unwrap().recorded(7);
    assert!(given.find(false).await.is_none(), "nothing was recorded about the next subject");
    drop((first, late));
    assert_eq!(given.find(true).await.unwrap().subject, next.subject);
}
