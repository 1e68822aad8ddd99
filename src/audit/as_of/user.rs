//! One user at a moment.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveTime, Utc};
use rollcall_projections::store::ReadStore;
use rollcall_projections::{
    PAGE_MAX, Projection, access_tokens, allowlists, banned_users, blocklists, deactivated_users, friend_graph,
    friend_groups, hosted_profiles, mutes, user_directory, user_settings, user_tags,
};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::{FriendPermission, Visibility};
use rollcall_schemas::stream::Stream;
use serde::Serialize;
use serde_json::Value;

use super::error::Error;
use super::groups::{FriendGroup, groups};
use super::lists::{Friend, FriendsAt, Other, friends, friends_in};
use super::past::Past;
use super::scratch::AsOf;
use super::scratch::Scratch;
use super::shown::Opener;
use super::shown::Shown;
use super::when::Moment;
use crate::domain::user::Status as Folded;
use crate::domain::{State, user};
use crate::engine::journal;
use crate::eventlog::RawEvent;

/// The read models a user's state is asked of.
const MODELS: &[&dyn Projection] = &[
    &user_directory::UserDirectory,
    &hosted_profiles::HostedProfiles,
    &deactivated_users::DeactivatedUsers,
    &banned_users::BannedUsers,
    &blocklists::Blocklists,
    &allowlists::Allowlists,
    &friend_graph::FriendGraph,
    &friend_groups::FriendGroups,
    &access_tokens::AccessTokens,
    &user_tags::UserTags,
    &mutes::Mutes,
    &user_settings::UserSettings,
];

/// How far a user had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing was known yet.
    Unknown,
    /// Only the userId was known.
    Named,
    /// Registered.
    Registered,
    /// Deactivated, with an erasure that could still be cancelled or waited for a legal hold.
    Restricted,
    /// Deactivated.
    Deactivated,
    /// Forgotten: the userId no longer leads to the person.
    Forgotten,
}

/// One user at a moment.
#[derive(Debug, Clone, Serialize)]
pub struct UserAt {
    /// Who, by the reference the log uses.
    pub subject: SubjectRef,
    /// How far the user had come.
    pub status: Status,
    /// Whether a legal hold kept the user's data from being erased.
    pub held: bool,
    /// Which of the user's keys counted: grows with each reactivation.
    pub epoch: u32,
    /// The app's userId; absent before it was known.
    pub user_id: Option<Shown<String>>,
    /// When the user was first registered.
    pub registered_at: Option<DateTime<Utc>>,
    /// When the user was deactivated.
    pub deactivated_at: Option<DateTime<Utc>>,
    /// The name.
    pub name: Option<Shown<String>>,
    /// The address of the portrait.
    pub portrait: Option<Shown<String>>,
    /// The hosted profile by field.
    pub profile: BTreeMap<String, Shown<Value>>,
    /// The tags.
    pub tags: Option<Shown<Vec<String>>>,
    /// Whether the user could not send direct messages.
    pub muted: bool,
    /// When that was to end by itself; absent: never, or the user was not muted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<DateTime<Utc>>,
    /// When pushes were held back.
    pub quiet_hours: Option<QuietHours>,
    /// Who could befriend the user; absent: as the app said.
    pub friend_permission: Option<FriendPermission>,
    /// Who saw more of the user than name and portrait; absent: not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// The ban that had not ended.
    pub ban: Option<Ban>,
    /// Whom the user blocked, the newest first.
    pub blocklist: Vec<Other>,
    /// Whether only those on the allowlist could approach.
    pub allowlist_enabled: bool,
    /// Whom the user allowed, the newest first.
    pub allowlist: Vec<Other>,
    /// The friends, the oldest friendship first.
    pub friends: Vec<Friend>,
    /// The groups in which the user kept friends, in the order of their numbers.
    pub friend_groups: Vec<FriendGroup>,
    /// How many access tokens were issued.
    pub tokens_issued: u64,
    /// Tokens issued before were invalid.
    pub tokens_invalid_before: Option<DateTime<Utc>>,
}

/// Hours of each day at which pushes were held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct QuietHours {
    /// When they began.
    pub start: NaiveTime,
    /// How long they lasted, in minutes.
    pub minutes: u16,
    /// Which pushes were held back, as the platform numbers it.
    pub level: u8,
}

/// The ban of a user.
#[derive(Debug, Clone, Serialize)]
pub struct Ban {
    /// Since when.
    pub banned_at: DateTime<Utc>,
    /// When it was to end by itself; null: never.
    pub until: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Option<Shown<String>>,
    /// What moderators told each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<Shown<String>>,
}

/// The state that the events of the user's own stream make.
#[derive(Default)]
struct Fold {
    state: user::State,
    registered: bool,
}

impl Fold {
    fn see(&mut self, stream: &str, raw: &RawEvent) -> Result<(), Error> {
        if *raw.stream == *stream {
            let recorded = journal::decode(raw)?;
            self.registered |= raw.name == "user.registered";
            let mut state = State::User(self.state.clone());
            journal::evolve(&mut state, &recorded)?;
            if let State::User(state) = state {
                self.state = state;
            }
        }
        Ok(())
    }

    fn status(&self) -> Status {
        match self.state.status {
            Folded::Unknown => Status::Unknown,
            Folded::Named => Status::Named,
            Folded::Registered => Status::Registered,
            Folded::Restricted => Status::Restricted,
            Folded::Deactivated { .. } => Status::Deactivated,
            Folded::Forgotten => Status::Forgotten,
        }
    }
}

/// A user whose read models are filled page by page from the events about the user alone.
pub struct UserReplay {
    subject: SubjectRef,
    stream: String,
    scratch: Scratch,
    fold: Fold,
}

impl UserReplay {
    /// Nothing is applied yet.
    ///
    /// # Errors
    /// There is no place for the read models.
    pub fn begin(subject: SubjectRef, moment: Moment) -> Result<Self, Error> {
        let (stream, scratch) = (Stream::User(subject).to_string(), Scratch::empty(MODELS, moment)?);
        Ok(Self { subject, stream, scratch, fold: Fold::default() })
    }

    /// Applies the next page of events; returns them. None: all up to the moment are applied.
    ///
    /// # Errors
    /// A part is unavailable, or an event of the user cannot be decoded.
    pub async fn apply(&mut self, past: Past<'_>) -> Result<Vec<RawEvent>, Error> {
        let events = self.scratch.apply_about(past, self.subject).await?;
        events.iter().try_for_each(|raw| self.fold.see(&self.stream, raw))?;
        Ok(events)
    }

    /// The user, as far as events were applied.
    ///
    /// # Errors
    /// A part is unavailable.
    pub async fn user(&self, past: Past<'_>, app: &AppId) -> Result<AsOf<UserAt>, Error> {
        let (moment, mut opener) = (self.scratch.moment, Opener::new(past, app));
        let user = read(&self.scratch.store, &mut opener, app, self.subject, moment, &self.fold).await?;
        self.scratch.answer(moment, user).await
    }

    /// The user's friends, as far as events were applied.
    ///
    /// # Errors
    /// A part is unavailable.
    pub async fn friends(&self, past: Past<'_>, app: &AppId) -> Result<AsOf<FriendsAt>, Error> {
        friends_in(past, app, &self.scratch, self.subject).await
    }
}

/// A user at a moment, from the events about the user alone.
///
/// # Errors
/// A part is unavailable, or an event of the user cannot be decoded.
pub async fn user_at(past: Past<'_>, app: &AppId, subject: SubjectRef, moment: Moment) -> Result<AsOf<UserAt>, Error> {
    let mut replay = UserReplay::begin(subject, moment)?;
    while !replay.apply(past).await?.is_empty() {}
    replay.user(past, app).await
}

async fn read(
    store: &ReadStore,
    opener: &mut Opener<'_>,
    app: &AppId,
    subject: SubjectRef,
    moment: Moment,
    fold: &Fold,
) -> Result<UserAt, Error> {
    let row = user_directory::by_subject(store, app, subject).await?;
    let ban = banned_users::of(store, subject).await?.filter(|ban| ban.runs_at(moment.at));
    let ban = match ban {
        None => None,
        Some(ban) => Some(Ban {
            banned_at: ban.banned_at,
            until: ban.ends_at,
            reason: opener.open_some(subject, ban.reason.as_deref()).await?,
            note: opener.open_some(subject, ban.note.as_deref()).await?,
        }),
    };
    let mute = mutes::of(store, subject).await?.filter(|mute| mute.runs_at(moment.at));
    let settings = user_settings::of(store, subject).await?;
    let quiet = |quiet: user_settings::QuietHours| QuietHours {
        start: quiet.start,
        minutes: quiet.minutes,
        level: quiet.level,
    };
    let tags = user_tags::of_subjects(store, app, &[subject]).await?.pop().flatten();
    let tokens = access_tokens::of(store, subject).await?;
    let stored = |of: fn(&user_directory::User) -> &Option<Vec<u8>>| row.as_ref().and_then(|row| of(row).as_deref());
    let friends = friends(store, opener, subject).await?;
    let mut user = UserAt {
        subject,
        status: fold.status(),
        held: fold.state.held,
        epoch: fold.state.epoch,
        user_id: opener.open_some(subject, stored(|row| &row.user_id)).await?,
        registered_at: row.as_ref().and_then(|row| row.registered_at),
        deactivated_at: deactivated_users::of(store, subject).await?.map(|found| found.deactivated_at),
        name: opener.open_some(subject, stored(|row| &row.name)).await?,
        portrait: opener.open_some(subject, stored(|row| &row.portrait)).await?,
        profile: profile(store, opener, app, subject).await?,
        tags: opener.open_some(subject, tags.as_deref()).await?,
        muted: mute.is_some(),
        muted_until: mute.and_then(|mute| mute.ends_at),
        quiet_hours: settings.quiet.map(quiet),
        friend_permission: settings.friend_permission,
        visibility: settings.visibility,
        ban,
        blocklist: blocked(store, opener, subject).await?,
        allowlist_enabled: allowlists::in_force_since(store, &[subject]).await?.iter().any(Option::is_some),
        allowlist: allowed(store, opener, subject).await?,
        friend_groups: groups(store, opener, subject, &friends).await?,
        friends,
        tokens_issued: tokens.as_ref().map_or(0, |tokens| tokens.issued),
        tokens_invalid_before: tokens.and_then(|tokens| tokens.invalid_before),
    };
    mark_erased(&mut user, opener, fold.registered).await?;
    Ok(user)
}

/// The read models hold no name of a deactivated user and no userId of a forgotten one. There was one, and it was erased.
async fn mark_erased(user: &mut UserAt, opener: &mut Opener<'_>, registered: bool) -> Result<(), Error> {
    let fenced = matches!(user.status, Status::Deactivated | Status::Forgotten);
    if fenced && registered && user.name.is_none() {
        let erased = opener.erased(user.subject, Class::Profile, user.epoch).await?;
        user.name = Some(Shown::Erased(erased.unwrap_or_default()));
    }
    if user.status == Status::Forgotten && user.user_id.is_none() {
        let erased = opener.erased(user.subject, Class::Identity, 0).await?;
        user.user_id = Some(Shown::Erased(erased.unwrap_or_default()));
    }
    Ok(())
}

async fn profile(
    store: &ReadStore,
    opener: &mut Opener<'_>,
    app: &AppId,
    subject: SubjectRef,
) -> Result<BTreeMap<String, Shown<Value>>, Error> {
    let mut shown = BTreeMap::new();
    for profile in hosted_profiles::of_subjects(store, app, &[subject]).await?.into_iter().flatten() {
        for (field, sealed) in profile.fields {
            shown.insert(field.0, opener.open(subject, &sealed).await?);
        }
    }
    Ok(shown)
}

async fn blocked(store: &ReadStore, opener: &mut Opener<'_>, owner: SubjectRef) -> Result<Vec<Other>, Error> {
    let (mut subjects, mut cursor) = (vec![], None);
    loop {
        let page = blocklists::page(store, owner, cursor, PAGE_MAX).await?;
        let Some(last) = page.last() else { return others(opener, subjects).await };
        cursor = Some(last.sequence);
        subjects.extend(page.iter().map(|entry| entry.target));
    }
}

async fn allowed(store: &ReadStore, opener: &mut Opener<'_>, owner: SubjectRef) -> Result<Vec<Other>, Error> {
    let (mut subjects, mut cursor) = (vec![], None);
    loop {
        let page = allowlists::page(store, owner, cursor, PAGE_MAX).await?;
        let Some(last) = page.last() else { return others(opener, subjects).await };
        cursor = Some(last.sequence);
        subjects.extend(page.iter().map(|entry| entry.target));
    }
}

async fn others(opener: &mut Opener<'_>, subjects: Vec<SubjectRef>) -> Result<Vec<Other>, Error> {
    let user_ids = opener.user_ids(&subjects).await?;
    Ok(subjects.into_iter().zip(user_ids).map(|(subject, user_id)| Other { subject, user_id }).collect())
}
