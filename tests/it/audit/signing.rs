//! When the tree over the log is signed and witnessed, with a clock that moves whenever nothing else is to be done.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rollcall::audit::tree::Keeper;
use rollcall::wiring::DataDir;
use tokio::time::{self, Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::eventlog_contract::{append, event};
use crate::support::place;

#[test]
fn while_events_come_the_tree_is_signed_every_second_and_the_vault_told_every_minute() {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::create(&place(dir.path())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (log, vault, stop) = (data.log.clone(), data.vault.clone(), CancellationToken::new());
        let keeper = Keeper::open_within(&data.tree(), None, log.clone(), vault.clone(), 0).await.unwrap();
        let keeper = Arc::new(keeper);
        let (began, running) = (Instant::now(), tokio::spawn(keeper.clone().run(stop.clone())));
        let (mut number, mut signed, mut witnessed) = (0, BTreeSet::new(), BTreeSet::new());
        while began.elapsed() < Duration::from_secs(150) {
            for pause in [100, 100, 100, 1_100].map(Duration::from_millis) {
                let item = append("user-1", number, vec![event(number, None)]);
                // The clock does not jump while the log's thread is at work.
                time::resume();
                log.append(vec![item]).await.unwrap();
                time::pause();
                number += 1;
                sleep(pause).await;
                signed.extend(keeper.latest().map(|latest| latest.checkpoint.size));
                witnessed.extend(vault.witnessed().unwrap().map(|seen| seen.size));
            }
            assert_eq!(signed.last(), Some(&number), "a second after an event it is under a signature");
        }
        let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
        assert!(signed.len() <= seconds + 2, "{} checkpoints in {seconds} s", signed.len());
        assert!((2..=seconds / 60 + 2).contains(&witnessed.len()), "{witnessed:?} in {seconds} s");
        stop.cancel();
        running.await.unwrap().unwrap();
        assert_eq!(vault.witnessed().unwrap().map(|seen| seen.size), Some(number), "a stop tells it everything");
    });
}
