//! Batches that are on their way to a log. The next one is sent before the one ahead of it is answered, so that whoever
//! works on them never waits for the way there and back.

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;

/// Most batches on their way at once.
const IN_FLIGHT_MAX: usize = 2;

/// Batches on their way, answered in the order in which they were sent.
pub(crate) struct InFlight<'f, T> {
    sent: FuturesOrdered<BoxFuture<'f, T>>,
    /// Size of the batch that was sent last.
    last: usize,
}

impl<'f, T> InFlight<'f, T> {
    pub(crate) fn new() -> Self {
        Self { sent: FuturesOrdered::new(), last: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Whether a batch of this size is sent now. Behind another one it is, once it is as large as that one: many small
    /// batches cost more than what the log loses by waiting for a larger one.
    pub(crate) fn takes(&self, size: usize) -> bool {
        self.sent.is_empty() || self.sent.len() < IN_FLIGHT_MAX && size >= self.last
    }

    /// Sends a batch of this size.
    pub(crate) fn send(&mut self, size: usize, batch: impl Future<Output = T> + Send + 'f) {
        self.last = size;
        self.sent.push_back(Box::pin(batch));
    }

    /// Waits for the oldest batch; `None`, at once, where there is none.
    pub(crate) async fn next(&mut self) -> Option<T> {
        self.sent.next().await
    }

    /// Waits for all of them; answers them in the order in which they were sent.
    pub(crate) async fn all(&mut self) -> Vec<T> {
        let mut completed = Vec::with_capacity(self.sent.len());
        while let Some(batch) = self.sent.next().await {
            completed.push(batch);
        }
        completed
    }
}

#[cfg(test)]
mod tests {
    use super::InFlight;

    #[tokio::test]
    async fn a_second_batch_is_sent_once_it_is_as_large_as_the_first_and_a_third_one_waits() {
        let mut in_flight = InFlight::new();
        assert!(in_flight.takes(0), "nothing is on its way");
        in_flight.send(3, async { 'a' });
        assert!(!in_flight.takes(2) && in_flight.takes(3));
        in_flight.send(5, async { 'b' });
        assert!(!in_flight.takes(100));
        assert_eq!(in_flight.next().await, Some('a'));
        assert!(!in_flight.takes(4) && in_flight.takes(5));
        in_flight.send(5, async { 'c' });
        assert_eq!(in_flight.all().await, ['b', 'c']);
        assert!(in_flight.is_empty() && in_flight.next().await.is_none());
    }
}
