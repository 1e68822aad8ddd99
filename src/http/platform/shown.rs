//! What is shown of users, opened for one caller. Each waits until the read models hold what was acknowledged.

use chrono::{DateTime, Utc};
use rollcall_projections::user_directory::User;
use rollcall_projections::{NumberedPage, Order, banned_users, blocklists, hosted_profiles, user_directory, user_tags};
use rollcall_schemas::ids::SubjectRef;
use serde_json::{Map, Value};

use crate::domain::Refusal;
use crate::domain::values::UserId;
use crate::engine::opening::Opener;
use crate::engine::{Caller, Engine, Error};

/// Who asks, and where.
pub(in crate::http) struct Reader<'r> {
    /// The engine.
    pub(in crate::http) engine: &'r Engine,
    /// The caller.
    pub(in crate::http) caller: Caller,
}

/// What is known of a registered user.
pub(in crate::http) struct Info {
    /// Empty where it was erased.
    pub(in crate::http) name: String,
    /// Empty where there is none.
    pub(in crate::http) portrait: String,
    /// When the user was first registered.
    pub(in crate::http) registered_at: Option<DateTime<Utc>>,
}

/// A hosted profile.
pub(in crate::http) struct Profile {
    /// Whose.
    pub(in crate::http) user_id: String,
    /// Grows with each change.
    pub(in crate::http) version: u64,
    /// The fixed fields.
    pub(in crate::http) fixed: Map<String, Value>,
    /// The extension fields.
    pub(in crate::http) extensions: Map<String, Value>,
}

impl Reader<'_> {
    /// The name, portrait and registration of a user.
    ///
    /// # Errors
    /// The user is not registered, or the read models or the vault are unavailable.
    pub(in crate::http) async fn info(&self, user_id: &UserId) -> Result<Info, Error> {
        self.engine.caught_up(&self.caller.app).await?;
        let tag = self.engine.tag(&self.caller.app, user_id)?;
        let user = user_directory::by_tag(self.engine.read(), &self.caller.app, tag).await?;
        let user = user.filter(User::is_active).ok_or(Refusal::NotRegistered)?;
        self.engine
            .disclose(&self.caller, &[user.subject], |opener| {
                Ok(Info {
                    name: text(opener, user.subject, "name", user.name.as_deref())?,
                    portrait: text(opener, user.subject, "portrait", user.portrait.as_deref())?,
                    registered_at: user.registered_at,
                })
            })
            .await
    }

    /// The userIds of subjects; who was forgotten is left out.
    ///
    /// # Errors
    /// The read models or the vault are unavailable.
    pub(in crate::http) async fn user_ids(&self, subjects: &[SubjectRef]) -> Result<Vec<String>, Error> {
        let sealed = user_directory::user_ids(self.engine.read(), &self.caller.app, subjects).await?;
        self.engine
            .disclose(&self.caller, subjects, |opener| {
                let mut ids = Vec::with_capacity(subjects.len());
                for (subject, sealed) in subjects.iter().zip(sealed) {
                    ids.extend(user_id(opener, *subject, sealed.as_deref())?);
                }
                Ok(ids)
            })
            .await
    }

    /// Who is banned, and until when; the latest end first.
    ///
    /// # Errors
    /// The read models or the vault are unavailable.
    pub(in crate::http) async fn banned(&self, page: NumberedPage) -> Result<Vec<(String, DateTime<Utc>)>, Error> {
        let (read, app) = (self.engine.read(), &self.caller.app);
        self.engine.caught_up(app).await?;
        let bans = banned_users::banned_until(read, app, self.engine.now(), page).await?;
        let subjects: Vec<_> = bans.iter().map(|ban| ban.subject).collect();
        let sealed = user_directory::user_ids(read, app, &subjects).await?;
        self.engine
            .disclose(&self.caller, &subjects, |opener| {
                let mut banned = Vec::with_capacity(bans.len());
                for (ban, sealed) in bans.iter().zip(sealed) {
                    banned.extend(user_id(opener, ban.subject, sealed.as_deref())?.map(|id| (id, ban.until())));
                }
                Ok(banned)
            })
            .await
    }

    /// Whom a user blocks, the newest first, and where the next page begins.
    ///
    /// # Errors
    /// The read models or the vault are unavailable.
    pub(in crate::http) async fn blocked(
        &self,
        owner: &UserId,
        (cursor, size): (Option<u64>, u32),
    ) -> Result<(Vec<String>, Option<u64>), Error> {
        self.engine.caught_up(&self.caller.app).await?;
        let Some(owner) = self.engine.find(&self.caller.app, owner).await? else { return Ok((vec![], None)) };
        let read = self.engine.read();
        let entries = blocklists::page(read, owner, cursor, size).await?;
        let is_full = entries.len() >= usize::try_from(size).unwrap_or(usize::MAX);
        let mut next = entries.last().filter(|_| is_full).map(|entry| entry.sequence);
        if next.is_some() && blocklists::page(read, owner, next, 1).await?.is_empty() {
            next = None;
        }
        let targets: Vec<_> = entries.iter().map(|entry| entry.target).collect();
        Ok((self.user_ids(&targets).await?, next))
    }

    /// The hosted profiles of users, in the order asked; users without one are left out.
    ///
    /// # Errors
    /// The read models or the vault are unavailable.
    pub(in crate::http) async fn profiles_of(&self, who: &[UserId]) -> Result<Vec<Profile>, Error> {
        self.engine.caught_up(&self.caller.app).await?;
        let subjects = self.engine.find_all(&self.caller.app, who).await?;
        let known: Vec<_> = subjects.iter().copied().flatten().collect();
        let found = hosted_profiles::of_subjects(self.engine.read(), &self.caller.app, &known).await?;
        let mut found = found.into_iter();
        self.engine
            .disclose(&self.caller, &known, |opener| {
                let mut profiles = vec![];
                for (user_id, subject) in who.iter().zip(subjects) {
                    if let Some(profile) = subject.and_then(|_| found.next()).flatten() {
                        profiles.push(opened(opener, user_id.as_str().to_owned(), &profile)?);
                    }
                }
                Ok(profiles)
            })
            .await
    }

    /// A page of the hosted profiles of the app, by registration.
    ///
    /// # Errors
    /// The read models or the vault are unavailable.
    pub(in crate::http) async fn profiles(&self, page: NumberedPage, order: Order) -> Result<Vec<Profile>, Error> {
        let (read, app) = (self.engine.read(), &self.caller.app);
        self.engine.caught_up(app).await?;
        let found = hosted_profiles::page(read, app, page, order).await?;
        let subjects: Vec<_> = found.iter().map(|profile| profile.subject).collect();
        let ids = user_directory::user_ids(read, app, &subjects).await?;
        self.engine
            .disclose(&self.caller, &subjects, |opener| {
                let mut profiles = vec![];
                for (sealed, profile) in ids.into_iter().zip(&found) {
                    if let Some(user_id) = user_id(opener, profile.subject, sealed.as_deref())? {
                        profiles.push(opened(opener, user_id, profile)?);
                    }
                }
                Ok(profiles)
            })
            .await
    }

    /// The tags of users, in the order asked.
    ///
    /// # Errors
    /// The read models or the vault are unavailable.
    pub(in crate::http) async fn tags_of<'w>(&self, who: &'w [UserId]) -> Result<Vec<(&'w str, Vec<String>)>, Error> {
        self.engine.caught_up(&self.caller.app).await?;
        let subjects = self.engine.find_all(&self.caller.app, who).await?;
        let known: Vec<_> = subjects.iter().copied().flatten().collect();
        let found = user_tags::of_subjects(self.engine.read(), &self.caller.app, &known).await?;
        let mut sealed = found.into_iter();
        self.engine
            .disclose(&self.caller, &known, |opener| {
                let mut tagged = Vec::with_capacity(who.len());
                for (user_id, subject) in who.iter().zip(subjects) {
                    let tags = match subject.and_then(|subject| Some((subject, sealed.next()??))) {
                        Some((subject, sealed)) => opener.open(subject, "tags", &sealed)?.unwrap_or_default(),
                        None => vec![],
                    };
                    tagged.push((user_id.as_str(), tags));
                }
                Ok(tagged)
            })
            .await
    }
}

/// Opens a text; empty where there is none or it was erased.
fn text(opener: &mut Opener<'_>, subject: SubjectRef, field: &str, sealed: Option<&[u8]>) -> Result<String, Error> {
    let Some(sealed) = sealed else { return Ok(String::new()) };
    Ok(opener.open(subject, field, sealed)?.unwrap_or_default())
}

/// Opens a userId; `None`: the user was forgotten.
fn user_id(opener: &mut Opener<'_>, subject: SubjectRef, sealed: Option<&[u8]>) -> Result<Option<String>, Error> {
    sealed.map_or(Ok(None), |sealed| opener.open(subject, "user_id", sealed))
}

/// Opens a hosted profile; what was erased is left out.
fn opened(opener: &mut Opener<'_>, user_id: String, profile: &hosted_profiles::Profile) -> Result<Profile, Error> {
    let (mut fixed, mut extensions) = (Map::new(), Map::new());
    for (name, sealed) in &profile.fields {
        if let Some(value) = opener.open(profile.subject, &name.0, sealed)? {
            let fields = if name.0.starts_with("ext_") { &mut extensions } else { &mut fixed };
            fields.insert(name.0.clone(), value);
        }
    }
    Ok(Profile { user_id, version: profile.version, fixed, extensions })
}
