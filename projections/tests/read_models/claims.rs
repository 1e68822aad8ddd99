//! A claim that came to nothing is given back, unless somebody else counts on it.

use rollcall_projections::ALL;
use rollcall_projections::store::{ClaimVersion, Claimed, ReadStore, UnusedClaim};
use rollcall_schemas::ids::SubjectRef;

use crate::portable_sql::cluster::Cluster;
use crate::postgres::{pool, run};
use crate::support::subject;

const TAG: [u8; 16] = [1; 16];

async fn claim(store: &ReadStore, subject: SubjectRef) -> (SubjectRef, ClaimVersion) {
    match store.claims().unwrap().claim(TAG, subject).await.unwrap() {
        Claimed::By(subject, version) => (subject, version),
        Claimed::Known(subject) => panic!("{subject:?} is in the directory"),
    }
}

#[test]
fn a_claim_is_given_back_once_and_only_while_nobody_else_has_found_it() {
    let cluster = Cluster::start();
    let name = cluster.database();
    run(async {
        let one = ReadStore::connect(pool(&cluster, &name), ALL).await.unwrap();
        let other = ReadStore::connect(pool(&cluster, &name), ALL).await.unwrap();
        let unused = |(subject, version)| UnusedClaim { tag: TAG, subject, version };
        let given_back = async |claim| one.claims().unwrap().give_back(&[unused(claim)]).await.unwrap();

        let first = claim(&one, subject(1)).await;
        assert_eq!(given_back(first).await, [subject(1)]);
        assert_eq!(given_back(first).await, [], "it is gone");

        let second = claim(&one, subject(2)).await;
        assert_eq!(given_back(first).await, [], "that is another claim");
        assert_eq!(claim(&other, subject(3)).await.0, subject(2));
        assert_eq!(given_back(second).await, [], "the other node counts on it");
        assert_eq!(claim(&one, subject(4)).await.0, subject(2));
        assert_eq!(one.claims().unwrap().give_back(&[]).await.unwrap(), []);

        // Where the log is elsewhere, a standby might bring it back after its subject was given to somebody else.
        let apart = ReadStore::connect(pool(&cluster, &name), ALL).await.unwrap().with_flushed_claims();
        let third = match apart.claims().unwrap().claim([2; 16], subject(5)).await.unwrap() {
            Claimed::By(subject, version) => UnusedClaim { tag: [2; 16], subject, version },
            Claimed::Known(subject) => panic!("{subject:?}"),
        };
        assert_eq!(apart.claims().unwrap().give_back(&[third]).await.unwrap(), []);
    });
}
