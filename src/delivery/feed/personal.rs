//! Personal values in a feed: opened at the moment of reading, for whoever may read them, and recorded.

use std::collections::{BTreeSet, HashSet};

use rollcall_projections::{deactivated_users, user_directory};
use rollcall_schemas::Event;
use rollcall_schemas::envelope::Recorded;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Class;
use serde_json::Value;

use super::super::cloud_event::{CloudEvent, SealedValue, Told, True};
use super::unwritable;
use crate::engine::opening::Opener;
use crate::engine::{Caller, Engine, Error};

/// What is known of the people on a page.
struct People {
    /// Their sealed userIds; without who was forgotten.
    user_ids: Vec<(SubjectRef, Vec<u8>)>,
    /// Who was deactivated: what an erasure takes of them is not told, also before the keys are destroyed.
    deactivated: HashSet<SubjectRef>,
}

/// The events with what may be told of their personal values and with the userIds of whom they are about. Their read is
/// recorded where the app asks for it.
pub(super) async fn disclose(
    engine: &Engine,
    caller: &Caller,
    recorded: Vec<Recorded<Event>>,
) -> Result<Vec<CloudEvent>, Error> {
    let about: Vec<_> = recorded.iter().map(|recorded| recorded.event.about()).collect();
    let with_values = |recorded| CloudEvent::with_values(recorded).map_err(unwritable);
    let mut events = recorded.into_iter().map(with_values).collect::<Result<Vec<_>, _>>()?;
    let of_values = events.iter().flat_map(|(_, values)| values.iter().map(|value| value.of));
    let named = about.iter().flat_map(|about| <[_; 2]>::from(*about)).flatten();
    let subjects: BTreeSet<SubjectRef> = named.chain(of_values).collect();
    let subjects: Vec<_> = subjects.into_iter().collect();
    let people = look_up(engine, caller, &subjects).await?;
    engine
        .disclose(caller, &subjects, |opener| {
            let mut user_ids = Vec::with_capacity(people.user_ids.len());
            for (subject, sealed) in &people.user_ids {
                if let Some(user_id) = opener.open::<String>(*subject, "user_id", sealed)? {
                    user_ids.push((*subject, user_id));
                }
            }
            for ((event, values), (subject, other)) in events.iter_mut().zip(about) {
                for value in values.iter() {
                    let told = told(opener, &people, value)?;
                    if let Some(field) = event.personal_mut(&value.path) {
                        field.told = Some(told);
                    }
                }
                for about in subject.into_iter().chain(other) {
                    if let Ok(at) = user_ids.binary_search_by_key(&about, |(subject, _)| *subject) {
                        event.data.user_ids.insert(about, user_ids[at].1.clone());
                    }
                }
            }
            Ok::<_, Error>(())
        })
        .await?;
    Ok(events.into_iter().map(|(event, _)| event).collect())
}

async fn look_up(engine: &Engine, caller: &Caller, subjects: &[SubjectRef]) -> Result<People, Error> {
    let sealed = user_directory::user_ids(engine.read(), &caller.app, subjects).await?;
    let user_ids = subjects.iter().zip(sealed).filter_map(|(subject, sealed)| Some((*subject, sealed?))).collect();
    let deactivated = deactivated_users::of_subjects(engine.read(), subjects).await?;
    Ok(People { user_ids, deactivated: deactivated.into_iter().map(|deactivated| deactivated.subject).collect() })
}

fn told(opener: &mut Opener<'_>, people: &People, value: &SealedValue) -> Result<Told, Error> {
    if value.is_detached {
        return Ok(Told::Erased(True));
    }
    if opener.is_restricted(value.of, &value.stored) {
        return Ok(Told::Restricted(True));
    }
    let is_going = match value.class {
        Class::Profile | Class::Moderation => people.deactivated.contains(&value.of),
        // These are erased only of who is forgotten.
        Class::Identity | Class::Hold => !people.knows(value.of),
    };
    if is_going {
        return Ok(Told::Erased(True));
    }
    let opened = opener.open::<Value>(value.of, &value.path, &value.stored)?;
    Ok(opened.map_or(Told::Erased(True), Told::Value))
}

impl People {
    fn knows(&self, subject: SubjectRef) -> bool {
        self.user_ids.binary_search_by_key(&subject, |(subject, _)| *subject).is_ok()
    }
}
