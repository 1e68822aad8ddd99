//! What cannot be sealed takes along all that was decided with it or on it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use rollcall_schemas::envelope::{Actor, Metadata};
use rollcall_schemas::ids::{AppId, ErasureId, OperationId, SecretId, SubjectRef};
use rollcall_schemas::personal::{Class, Personal};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::user;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{Answer, Decided, InFlight, StreamEvents, beliefs_of, seal_all};
use crate::domain::Reply;
use crate::privacy::{KeysToDestroy, Vault, key_tree::KeyTree};

fn app() -> AppId {
    "chat".parse().unwrap()
}

fn tagged(subject: SubjectRef, in_flight: &InFlight) -> (Decided, oneshot::Receiver<Answer>) {
    let (answer, answered) = oneshot::channel();
    let event: user::Event = user::Tagged { subject, tags: Some(Personal::Present(vec!["a".into()])) }.into();
    let stream = Stream::User(subject);
    let decided = Decided {
        metadata: Metadata { app: app(), actor: Actor::Server(SecretId(1)), correlation: Uuid::nil(), causation: None },
        now: chrono::DateTime::UNIX_EPOCH,
        appends: vec![StreamEvents { stream, expected: 1, snapshot: None, events: vec![event.into()] }],
        asserts: vec![],
        reply: Reply::Done,
        holds: Arc::default(),
        forgets: vec![],
        guard: None,
        answer,
        dependencies: in_flight.begin(beliefs_of(&Stream::User(subject)).collect(), vec![]),
    };
    (decided, answered)
}

#[test]
fn what_cannot_be_sealed_takes_along_what_was_decided_on_it_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let vault = KeyTree::open(dir.path(), &Default::default()).unwrap();
    let (ada, gone) = (crate::privacy::key_tree::allocated(&vault), crate::privacy::key_tree::allocated(&vault));
    let keys_to_destroy = KeysToDestroy {
        erasure: ErasureId(Uuid::nil()),
        app: app(),
        subject: gone,
        classes: vec![Class::Profile],
        operation: OperationId(String::new()),
    };
    vault.destroy(&[keys_to_destroy]).unwrap();

    let in_flight = InFlight::default();
    let (to_seal, batches) = mpsc::channel(8);
    let (sealed, mut all_sealed) = mpsc::channel(8);
    std::thread::scope(|scope| {
        scope.spawn(|| seal_all(batches, &sealed, &vault, &in_flight).unwrap());
        // The sealing ends with this.
        let send = {
            let in_flight = &in_flight;
            move |subjects: &[SubjectRef]| {
                let (decided, answered): (Vec<_>, Vec<_>) =
                    subjects.iter().map(|subject| tagged(*subject, in_flight)).unzip();
                to_seal.blocking_send(decided).unwrap();
                answered
            }
        };
        let mut answered = send(&[ada, gone, ada, gone]);
        send(&[gone, ada]);
        assert_eq!(all_sealed.blocking_recv().unwrap().len(), 2, "what is not about it goes on");
        assert_eq!(all_sealed.blocking_recv().unwrap().len(), 1);
        assert!(matches!(answered.remove(1).blocking_recv(), Ok(Answer::Failed(_))));
        assert!(matches!(answered.remove(2).blocking_recv(), Ok(Answer::Conflict)), "it was decided on it");

        // The decider begins anew with that stream: it is tried again.
        assert_eq!(in_flight.take_dropped().len(), 3);
        let mut again = send(&[gone, ada]);
        assert_eq!(all_sealed.blocking_recv().unwrap().len(), 1);
        assert!(matches!(again.remove(0).blocking_recv(), Ok(Answer::Failed(_))));
    });
}
