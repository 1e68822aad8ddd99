//! What blocklists and allowlists share: a user and whom it puts on its list.

use std::collections::HashSet;

use rollcall_schemas::ids::SubjectRef;

use super::command::Person;
use super::user;
use super::values::UserId;
use super::{Error, UnitOfWork};

/// Whether one of the targets is somebody else: a user on its own list changes nothing, as on the platform.
pub(super) fn names_others(owner: &UserId, targets: &[UserId]) -> bool {
    targets.iter().any(|target| target != owner)
}

/// The subjects of the owner and of its targets, the owner itself left out; their userIds are known from now on. `None`:
/// nobody else is named.
///
/// # Errors
/// The owner is fenced, or one of them is forgotten.
pub(super) fn mentioned(
    work: &mut UnitOfWork<'_>,
    owner: &Person,
    targets: &[Person],
) -> Result<Option<(SubjectRef, Vec<SubjectRef>)>, Error> {
    let others = targets.iter().filter(|target| target.user_id != owner.user_id);
    if others.clone().next().is_none() {
        if let Some(subject) = owner.subject {
            work.state::<user::State>(subject)?.unfenced()?;
        }
        return Ok(None);
    }
    let subject = work.unfenced(owner)?;
    let others = others.map(|target| work.mentioned(target)).collect::<Result<_, _>>()?;
    Ok(Some((subject, others)))
}

/// Those of `targets` that are not on the list, each once.
pub(super) fn newly(list: &HashSet<SubjectRef>, targets: &[SubjectRef]) -> Vec<SubjectRef> {
    let mut seen = HashSet::new();
    targets.iter().copied().filter(|target| !list.contains(target) && seen.insert(*target)).collect()
}

/// The subjects of those who have one.
pub(super) fn known(people: &[Person]) -> Vec<SubjectRef> {
    people.iter().filter_map(|person| person.subject).collect()
}
