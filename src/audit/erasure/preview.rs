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

/// Counts what an erasure of this scope would erase of the subjects of one userId.
///
/// # Errors
/// The log or the read models are unavailable.
pub async fn preview(engine: &Engine, subjects: &[SubjectRef], scope: Scope) -> Result<Preview, Error> {
    let mut preview = Preview { classes: vec![], stores: vec![] };
    for class in classes(scope) {
        let mut all = sealed::Counted::default();
        for subject in subjects {
            let of_one = sealed::count(engine, *subject, *class).await?;
            (all.events, all.values) = (all.events + of_one.events, all.values + of_one.values);
        }
        preview.classes.push((*class, all));
    }
    for subject in subjects {
        for count in rollcall_projections::remains(engine.read(), *subject, classes(scope)).await? {
            match preview.stores.iter_mut().find(|known| known.store == count.store) {
                Some(known) => known.values += count.values,
                None => preview.stores.push(count),
            }
        }
    }
    Ok(preview)
}
