//! New subjects, provisioned ahead: durable before they are needed, so that a registration pays no write of the
//! vault's.
//!
//! The subjects of one page share a shard and the first bytes of their references, and are handed out in order: what is
//! registered together lies together in every index that is sorted by subject. Nothing in a reference tells its userId.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use rollcall_schemas::ids::SubjectRef;

use super::tree::SHARDS;
use super::wrapping::random;
use crate::privacy::Error;

/// Pages made together.
pub(super) const PAGES: usize = 4;
/// When to make more.
const LOW: usize = 768;
const WAIT_MAX: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Stock {
    subjects: VecDeque<SubjectRef>,
    shards: Vec<usize>,
    wanted: bool,
    stopping: bool,
    failed: Option<String>,
}

/// The stock of new subjects.
#[derive(Default)]
pub(super) struct Pages {
    stock: Mutex<Stock>,
    wanted: Condvar,
    filled: Notify,
}

impl Pages {
    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new subject; waits for the provisioner only when the stock is empty, and never blocks the thread.
    pub(super) async fn take(&self) -> Result<SubjectRef, Error> {
        if let Some(taken) = self.try_take() {
            return taken;
        }
        let taken = async {
            loop {
                let mut filled = pin!(self.filled.notified());
                // Before it is looked: what is filled in between is not missed.
                filled.as_mut().enable();
                if let Some(taken) = self.try_take() {
                    return taken;
                }
                filled.await;
            }
        };
        let taken = tokio::time::timeout(WAIT_MAX, taken).await;
        taken.unwrap_or_else(|_| Err(Error::Unavailable("new keys are not ready in time".into())))
    }

    /// Takes a new subject, or tells that there is none; `None`: there is none yet.
    fn try_take(&self) -> Option<Result<SubjectRef, Error>> {
        let mut stock = self.stock();
        if stock.stopping {
            return Some(Err(Error::Unavailable("the vault is closing".into())));
        }
        if stock.subjects.len() <= LOW && !stock.wanted && stock.failed.is_none() {
            stock.wanted = true;
            self.wanted.notify_one();
        }
        if let Some(subject) = stock.subjects.pop_front() {
            return Some(Ok(subject));
        }
        // Whoever asks next has it tried again.
        stock.failed.take().map(|reason| Err(Error::Unavailable(reason)))
    }

    /// Makes more whenever they are wanted, until stopped.
    pub(super) fn provision(&self, make: impl Fn(&[usize]) -> Result<Vec<SubjectRef>, Error>) {
        loop {
            let mut stock = self.stock();
            while !stock.wanted && !stock.stopping {
                stock = self.wanted.wait(stock).unwrap_or_else(PoisonError::into_inner);
            }
            if stock.stopping {
                return;
            }
            let shards = next_shards(&mut stock.shards);
            drop(stock);
            crate::supervision::reach("vault-pages");
            let made = shards.and_then(|shards| make(&shards));
            let mut stock = self.stock();
            stock.wanted = false;
            match made {
                Ok(subjects) => stock.subjects.extend(subjects),
                Err(error) => stock.failed = Some(error.to_string()),
            }
            self.filled.notify_waiters();
        }
    }

    pub(super) fn stop(&self) {
        self.stock().stopping = true;
        self.wanted.notify_all();
        self.filled.notify_waiters();
    }
}

/// The shards of the next pages: every shard once, in random order, before any comes again.
fn next_shards(left: &mut Vec<usize>) -> Result<Vec<usize>, Error> {
    if left.len() < PAGES {
        let mut order = (0..SHARDS).map(|shard| Ok((*random::<8>()?, shard))).collect::<Result<Vec<_>, Error>>()?;
        order.sort_unstable();
        left.extend(order.into_iter().map(|(_, shard)| shard));
    }
    Ok(left.split_off(left.len() - PAGES))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt as _;

    use super::*;
    use crate::privacy::key_tree::page_key::{PageKey, PageRef};

    fn references(shard: usize) -> Vec<SubjectRef> {
        PageKey::fresh().unwrap().subjects(PageRef::fresh(shard).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn who_finds_no_new_subject_waits_without_blocking_the_thread() {
        let pages = std::sync::Arc::new(Pages::default());
        let mut first = Box::pin(pages.take());
        assert!((&mut first).now_or_never().is_none());
        let subjects = references(7);
        let made = subjects.clone();
        let provisioner = pages.clone();
        let thread = std::thread::spawn(move || provisioner.provision(|_| Ok(made.clone())));
        assert_eq!(first.await.unwrap(), subjects[0]);
        pages.stop();
        thread.join().unwrap();
        assert!(pages.take().await.is_err());
    }

    #[tokio::test]
    async fn a_failure_to_make_new_subjects_is_told_and_the_next_one_who_asks_has_it_tried_again() {
        let pages = std::sync::Arc::new(Pages::default());
        let (provisioner, mut tries) = (pages.clone(), 0);
        let made = references(7);
        let tried = Mutex::new(&mut tries);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                provisioner.provision(|_| {
                    let mut tries = tried.lock().unwrap();
                    **tries += 1;
                    if **tries == 1 { Err(Error::Unavailable("the disk is full".into())) } else { Ok(made.clone()) }
                });
            });
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let taken = std::thread::scope(|inner| {
                inner.spawn(|| runtime.unwrap().block_on(async { (pages.take().await, pages.take().await) })).join()
            });
            let (first, second) = taken.unwrap();
            assert!(first.unwrap_err().to_string().contains("the disk is full"));
            assert_eq!(second.unwrap(), made[0]);
            pages.stop();
        });
    }
}
