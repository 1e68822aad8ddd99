//! Finds the subject of every person that a command names.

use std::sync::Arc;

use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::plain::Scope;

use super::directory::Hold;
use super::{Engine, Error};
use crate::domain::command::ErasureStep;
use crate::domain::{Command, erasure};
use crate::privacy::Tag;

/// A command whose persons are known.
pub(super) struct Resolved {
    pub(super) command: Command,
    pub(super) holds: Arc<Vec<Hold>>,
    pub(super) fresh: Vec<SubjectRef>,
    pub(super) forgets: Vec<(SubjectRef, Tag)>,
}

impl Engine {
    /// Finds the subject of every person a command names.
    pub(super) async fn resolve(&self, app: &AppId, mut command: Command) -> Result<Resolved, Error> {
        let introduce = command.introduces();
        let forgets = matches!(command, Command::Forget(..));
        let (mut holds, mut fresh, mut tags) = (vec![], vec![], vec![]);
        for person in command.persons_mut() {
            let found = self.directory.find(&self.read, app, &person.user_id, introduce).await?;
            let Some(found) = found else { continue };
            person.subject = Some(found.subject);
            if forgets {
                tags.push((found.subject, self.vault.tag(app, person.user_id.as_str())?));
            }
            holds.extend(found.hold);
            if found.fresh {
                fresh.push(found.subject);
            }
        }
        if let Command::Erasure(ErasureStep { subject, step: erasure::Step::Begin(Scope::Forget, _), .. }) = &command {
            tags.extend(self.tag_of(app, *subject).await?.map(|tag| (*subject, tag)));
        }
        Ok(Resolved { command, holds: Arc::new(holds), fresh, forgets: tags })
    }

    /// The directory tag of a subject whose userId is still known.
    async fn tag_of(&self, app: &AppId, subject: SubjectRef) -> Result<Option<Tag>, Error> {
        let sealed = rollcall_projections::user_directory::user_ids(&self.read, app, &[subject]).await?;
        let Some(sealed) = sealed.into_iter().next().flatten() else { return Ok(None) };
        self.vault.load(&[subject]).await?;
        let user_id = self.open_text(app, subject, &sealed)?;
        Ok(user_id.map(|user_id| self.vault.tag(app, &user_id)).transpose()?)
    }
}
