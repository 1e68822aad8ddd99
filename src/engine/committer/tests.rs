//! What cannot be sealed takes along all that was decided with it or on it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rollcall_schemas::envelope::{Actor, Metadata};
use rollcall_schemas::ids::{AppId, ErasureId, OperationId, SecretId, SubjectRef};
use rollcall_schemas::personal::{Class, Personal};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::user;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{Answer, Batch, Decided, SealedBatch, seal_all};
use crate::domain::Reply;
use crate::privacy::{KeysToDestroy, Vault, key_tree::KeyTree};

fn app() -> AppId {
    "chat".parse().unwrap()
}

fn tagged(subject: SubjectRef) -> (Decided, oneshot::Receiver<Answer>) {
    let (answer, answered) = oneshot::channel();
    let event: user::Event = user::Tagged { subject, tags: Some(Personal::Present(vec!["a".into()])) }.into();
    let decided = Decided {
        metadata: Metadata { app: app(), actor: Actor::Server(SecretId(1)), correlation: Uuid::nil(), causation: None },
        now: chrono::DateTime::UNIX_EPOCH,
        appends: vec![(Stream::User(subject), 1, vec![event.into()])],
        asserts: vec![],
        reply: Reply::Done,
        holds: Arc::default(),
        forgets: vec![],
        guard: None,
        answer,
    };
    (decided, answered)
}

#[test]
fn nothing_more_of_its_epoch_is_sealed_behind_what_cannot_be() {
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

    let epoch = AtomicU64::new(7);
    let (to_seal, batches) = mpsc::channel(8);
    let (sealed, mut all_sealed) = mpsc::channel(8);
    let items = |of: SealedBatch| (of.epoch, of.items.len(), of.waiting.len(), of.unsealed);
    std::thread::scope(|scope| {
        scope.spawn(|| seal_all(batches, &sealed, &vault, &epoch));
        // The sealing ends with this.
        let send = move |epoch, subjects: &[SubjectRef]| {
            let decided = subjects.iter().map(|subject| tagged(*subject).0).collect();
            to_seal.blocking_send(Batch { epoch, decided }).unwrap();
        };
        send(7, &[ada, gone, ada]);
        send(7, &[ada]);
        let (of, sealed, waiting, unsealed) = items(all_sealed.blocking_recv().unwrap());
        // What came before it stands for itself.
        assert_eq!((of, sealed, waiting, unsealed.len()), (7, 1, 1, 2));
        assert!(matches!(unsealed[0].1, Answer::Failed(_)) && matches!(unsealed[1].1, Answer::Conflict));
        let (of, sealed, waiting, unsealed) = items(all_sealed.blocking_recv().unwrap());
        assert_eq!((of, sealed, waiting), (7, 0, 0));
        assert!(matches!(unsealed[..], [(_, Answer::Conflict)]));

        epoch.store(8, Ordering::Release);
        send(7, &[ada]);
        send(8, &[ada, ada]);
        let (of, sealed, _, unsealed) = items(all_sealed.blocking_recv().unwrap());
        assert_eq!((of, sealed, unsealed.len()), (7, 0, 1), "too late for its epoch");
        let (of, sealed, _, unsealed) = items(all_sealed.blocking_recv().unwrap());
        assert_eq!((of, sealed, unsealed.len()), (8, 2, 0), "decided again");
    });
}
