//! What is kept about persons beside the log and the read models, and must be erased with them.

use std::sync::Arc;

use async_trait::async_trait;
use rollcall_schemas::ids::SubjectRef;

use super::{Engine, Error};

/// A store of something about persons that is no fact, such as who follows whom. It holds nothing that an erasure keeps.
#[async_trait]
pub trait KeptBeside: Send + Sync {
    /// Its name in a report.
    fn name(&self) -> &'static str;

    /// Deletes all that is about a subject; repeating it is harmless.
    ///
    /// # Errors
    /// The store is unavailable.
    async fn forget(&self, subject: SubjectRef) -> Result<(), Error>;

    /// How much there is about a subject.
    ///
    /// # Errors
    /// The store is unavailable.
    async fn remains(&self, subject: SubjectRef) -> Result<u32, Error>;
}

impl Engine {
    /// The stores that an erasure has to reach beside the log and the read models.
    #[must_use]
    pub fn kept_beside(&self) -> &[Arc<dyn KeptBeside>] {
        &self.kept_beside
    }
}
