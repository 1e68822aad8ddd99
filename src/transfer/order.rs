//! Many records are dealt with at once, but those about the same thing one after the other, in the order in which they stand: the
//! second is decided once the first is durable.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// How many are remembered before those that are done are forgotten.
const REMEMBERED: usize = 4_096;

/// Who comes after whom.
#[derive(Default)]
pub(super) struct Order(Mutex<HashMap<String, oneshot::Receiver<()>>>);

/// The turn of one record. It ends when this is dropped.
pub(super) struct Turn {
    before: Option<oneshot::Receiver<()>>,
    _done: oneshot::Sender<()>,
}

impl Order {
    /// The turn of a record after those about the same thing for which it was called before.
    pub(super) fn take(&self, about: String) -> Turn {
        let (done, is_done) = oneshot::channel();
        // It is whole after every statement: a panic elsewhere does not make it wrong.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= REMEMBERED {
            last.retain(|_, is_done| matches!(is_done.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
        }
        Turn { before: last.insert(about, is_done), _done: done }
    }
}

impl Turn {
    /// Waits for those before it.
    pub(super) async fn begin(&mut self) {
        if let Some(before) = self.before.take() {
            // Nothing is ever sent: the other end is dropped.
            let _ = before.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::pin::pin;

    use futures_util::future::{Either, select};

    use super::*;

    async fn may_begin(turn: &mut Turn) -> bool {
        matches!(select(pin!(turn.begin()), ready(())).await, Either::Left(_))
    }

    #[tokio::test]
    async fn those_about_one_thing_come_in_their_order_and_others_do_not_wait() {
        let order = Order::default();
        let [mut first, mut second, mut third] = [(); 3].map(|()| order.take("ada".into()));
        let mut other = order.take("bob".into());
        assert!(may_begin(&mut first).await && may_begin(&mut other).await);
        assert!(!may_begin(&mut order.take("ada".into())).await);
        drop(first);
        second.begin().await;
        drop(second);
        third.begin().await;
    }

    #[tokio::test]
    async fn what_is_done_is_forgotten_and_what_is_not_is_waited_for() {
        let order = Order::default();
        let under_way = order.take("ada".into());
        (0..2 * REMEMBERED).for_each(|number| drop(order.take(number.to_string())));
        assert!(order.0.lock().unwrap_or_else(PoisonError::into_inner).len() <= REMEMBERED);
        let mut next = order.take("ada".into());
        assert!(!may_begin(&mut next).await);
        drop(under_way);
    }
}
