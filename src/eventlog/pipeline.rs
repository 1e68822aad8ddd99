//! Pipelining of batches: the next one is sent before the one ahead of it is answered, so that the receiver never waits for
//! a round trip. The committer sends its appends to the log through one, the PostgreSQL adapter its statements.

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;

/// Most batches in flight at once.
const IN_FLIGHT_MAX: usize = 2;

/// Batches in flight, answered in the order in which they were sent.
pub(crate) struct Pipeline<'f, T> {
    sent: FuturesOrdered<BoxFuture<'f, T>>,
    /// Size of the batch that was sent last.
    last: usize,
}

impl<'f, T> Pipeline<'f, T> {
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

    /// Waits for the oldest batch to be answered; `None`, at once, where there is none.
    pub(crate) async fn next(&mut self) -> Option<T> {
        self.sent.next().await
    }

    /// Waits for all of them to be answered; in the order in which they were sent.
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
    use super::Pipeline;

    #[tokio::test]
    async fn a_second_batch_is_sent_once_it_is_as_large_as_the_first_and_a_third_one_waits() {
        let mut pipeline = Pipeline::new();
        assert!(pipeline.takes(0), "nothing is in flight");
        pipeline.send(3, async { 'a' });
        assert!(!pipeline.takes(2) && pipeline.takes(3));
        pipeline.send(5, async { 'b' });
        assert!(!pipeline.takes(100));
        assert_eq!(pipeline.next().await, Some('a'));
        assert!(!pipeline.takes(4) && pipeline.takes(5));
        pipeline.send(5, async { 'c' });
        assert_eq!(pipeline.all().await, ['b', 'c']);
        assert!(pipeline.is_empty() && pipeline.next().await.is_none());
    }
}
