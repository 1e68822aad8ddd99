//! From a command as it is asked for to one that can be decided: who the userIds in it are, and what else it must know.

use std::sync::Arc;

use rollcall_schemas::ids::{AppId, SubjectRef};

use super::directory::Hold;
use super::{Engine, Error};
use crate::domain::{DynCommand, DynDecide, Found, Reads};
use crate::privacy::Tag;

/// A command whose persons are known.
pub(super) struct Resolved {
    pub(super) command: Box<dyn DynDecide>,
    pub(super) reads: Reads,
    pub(super) holds: Arc<Vec<Hold>>,
    pub(super) fresh: Vec<SubjectRef>,
    pub(super) forgets: Vec<(SubjectRef, Tag)>,
}

impl Engine {
    /// Finds the subject of every userId that a command names, and what else it must know.
    pub(super) async fn resolve(&self, app: &AppId, command: &dyn DynCommand) -> Result<Resolved, Error> {
        let introduce = command.introduces();
        let mut found = Found::default();
        let (mut holds, mut fresh) = (vec![], vec![]);
        for user_id in command.user_ids() {
            if found.contains(user_id) {
                continue;
            }
            let person = self.directory.find(&self.read, app, user_id, introduce).await?;
            found.insert(user_id.clone(), person.as_ref().map(|person| person.subject));
            let Some(person) = person else { continue };
            holds.extend(person.hold);
            if person.fresh {
                fresh.push(person.subject);
            }
        }
        if command.covers_every_subject() {
            self.find_further(app, &mut found).await?;
        }
        self.look_up(app, command.lookup(), &mut found).await?;
        let command = command.resolve(&found)?;
        let mut forgets = vec![];
        for subject in command.forgets() {
            let named = found.subjects().find(|(_, found)| *found == subject);
            let tag = match named {
                Some((user_id, _)) => Some(self.vault.tag(app, user_id.as_str())?),
                None => self.tag_of(app, subject).await?,
            };
            forgets.extend(tag.map(|tag| (subject, tag)));
        }
        Ok(Resolved { reads: command.reads(app), command, holds: Arc::new(holds), fresh, forgets })
    }

    /// Finds further subjects of the userIds that were found, where the log has several of one.
    async fn find_further(&self, app: &AppId, found: &mut Found) -> Result<(), Error> {
        let named: Vec<_> = found.subjects().map(|(user_id, subject)| (user_id.clone(), subject)).collect();
        let tags = named.iter().map(|(user_id, _)| self.tag(app, user_id)).collect::<Result<Vec<_>, _>>()?;
        let all = rollcall_projections::user_directory::all_subjects_of(&self.read, app, &tags).await?;
        for ((user_id, subject), mut further) in named.into_iter().zip(all) {
            further.retain(|other| *other != subject);
            if !further.is_empty() {
                found.insert_further(user_id, further);
            }
        }
        Ok(())
    }

    /// The directory tag of a subject whose userId is still known.
    pub(super) async fn tag_of(&self, app: &AppId, subject: SubjectRef) -> Result<Option<Tag>, Error> {
        let sealed = rollcall_projections::user_directory::user_ids(&self.read, app, &[subject]).await?;
        let Some(sealed) = sealed.into_iter().next().flatten() else { return Ok(None) };
        self.vault.load(&[subject]).await?;
        let user_id = self.open_text(app, subject, &sealed)?;
        Ok(user_id.map(|user_id| self.vault.tag(app, &user_id)).transpose()?)
    }
}
