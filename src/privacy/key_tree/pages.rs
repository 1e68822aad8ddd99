//! New subjects, provisioned ahead: durable before they are needed, so that a registration pays no write of the
//! vault's.
//!
//! The subjects of one page share a shard and are handed out in order. Their references stay random, but what is
//! registered together lies together in every index that is sorted by subject.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rollcall_schemas::ids::SubjectRef;
use uuid::Uuid;

use super::tree::{SHARDS, range_of};
use super::wrapping::random;
use crate::privacy::Error;

/// Subjects of one page.
pub(super) const PAGE: usize = 256;
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
    filled: Condvar,
}

/// New references of one shard, in order.
pub(super) fn references(shard: usize) -> Result<Vec<SubjectRef>, Error> {
    let (prefix, _) = range_of(shard);
    let mut subjects = Vec::with_capacity(PAGE);
    for _ in 0..PAGE {
        let mut bytes = *random::<16>()?;
        bytes[0] = prefix[0];
        bytes[1] = prefix[1] | bytes[1] & 0b0011_1111;
        subjects.push(SubjectRef(uuid::Builder::from_random_bytes(bytes).into_uuid()));
    }
    subjects.sort_unstable_by_key(|subject: &SubjectRef| Uuid::into_bytes(subject.0));
    Ok(subjects)
}

impl Pages {
    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new subject; waits for the provisioner only when the stock is empty.
    pub(super) fn take(&self) -> Result<SubjectRef, Error> {
        let mut stock = self.stock();
        loop {
            if stock.subjects.len() <= LOW && !stock.wanted {
                stock.wanted = true;
                stock.failed = None;
                self.wanted.notify_one();
            }
            if let Some(subject) = stock.subjects.pop_front() {
                return Ok(subject);
            }
            if let Some(reason) = stock.failed.take() {
                return Err(Error::Unavailable(reason));
            }
            if stock.stopping {
                return Err(Error::Unavailable("the vault is closing".into()));
            }
            let (woken, timeout) = self.filled.wait_timeout(stock, WAIT_MAX).unwrap_or_else(PoisonError::into_inner);
            stock = woken;
            if timeout.timed_out() {
                return Err(Error::Unavailable("new keys are not ready in time".into()));
            }
        }
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
            self.filled.notify_all();
        }
    }

    pub(super) fn stop(&self) {
        self.stock().stopping = true;
        self.wanted.notify_all();
        self.filled.notify_all();
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
