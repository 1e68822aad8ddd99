//! What an erasure would erase, before it is requested.

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::{Scope, StoreCount};

use super::{Error, classes, sealed};
use crate::engine::Engine;

/// What would be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// By class: how many sealed values stand in how many events of the log.
    pub classes: Vec<(Class, sealed::Counted)>,
    /// What each read model holds of it.
    pub stores: Vec<StoreCount>,
}

/// Counts what an erasure of this scope would erase of a subject.
///
/// # Errors
/// The log or the read models are unavailable.
pub async fn preview(engine: &Engine, subject: SubjectRef, scope: Scope) -> Result<Preview, Error> {
    let mut counted = Vec::new();
    for class in classes(scope) {
        counted.push((*class, sealed::count(engine, subject, *class).await?));
    }
    let stores = rollcall_projections::remains(engine.read(), subject, classes(scope)).await?;
    Ok(Preview { classes: counted, stores })
}
