//! What events change about tags.

use rollcall_schemas::personal::Class;
use rollcall_schemas::user;

use super::queries;
use crate::{Changes, Entry, projection, statements};

statements! {
    tag = "INSERT INTO user_tags_v2 (subject, app, tags) VALUES ($1, $2, $3)
        ON CONFLICT (subject) DO UPDATE SET tags = excluded.tags";
    untag = "DELETE FROM user_tags_v2 WHERE subject = $1";
}

projection! {
    /// The tags of each user.
    UserTags: "user_tags" version 2, tables ["user_tags_v2"], remains queries::REMAINS;
    reads(entry, changes) {
        user::Tagged(e) => set_tags(e, entry, changes),
        user::Deactivated(e) => changes.push(untag, [e.subject.into()]),
        user::Forgotten(e) => changes.push(untag, [e.subject.into()]),
        erasure::Scrubbed(e) => if e.classes.contains(&Class::Profile) { changes.push(untag, [e.subject.into()]) },
    }
}

fn set_tags(e: &user::Tagged, entry: &Entry<'_>, changes: &mut Changes) {
    match e.tags.as_ref().and_then(|tags| entry.recorded.stored("tags", tags)) {
        Some(tags) => changes.push(tag, [e.subject.into(), entry.app(), tags.into()]),
        None => changes.push(untag, [e.subject.into()]),
    }
}
