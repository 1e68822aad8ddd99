//! Following other users: whether they are online, and whether their profile changes.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::people;
use super::problem::{Answer, Problem};
use crate::domain::values::Invalid;
use crate::http::cursor::{Cursor as _, Followed};
use crate::live::store::Kind;
use crate::live::subscriptions::{Error, TARGETS_MAX};

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::OwnFull | Error::TargetsFull(_) => Self::SubscriptionsFull,
            Error::Invalid(invalid) => {
                let number = if invalid.field == "seconds" { 34_307 } else { 34_308 };
                Self::Invalid(invalid, Some(number))
            }
            Error::Engine(error) => Self::Engine(error),
        }
    }
}

/// What of somebody is followed.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum FollowedKind {
    /// Whether it is online.
    #[default]
    Presence,
    /// Its profile.
    Profile,
}

impl From<FollowedKind> for Kind {
    fn from(kind: FollowedKind) -> Self {
        match kind {
            FollowedKind::Presence => Self::Presence,
            FollowedKind::Profile => Self::Profile,
        }
    }
}

/// Whom to follow.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Subscribe {
    /// From 1 to 200.
    user_ids: Vec<String>,
    /// For how long, from 60 to 2,592,000.
    seconds: u32,
    /// `presence` where it is not said.
    #[serde(default, rename = "type")]
    kind: FollowedKind,
}

/// Whom as many follow as may; all others are followed.
#[derive(Serialize, ToSchema)]
pub(super) struct Subscribed {
    full: Vec<String>,
}

/// Whom not to follow any more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Unsubscribe {
    /// From 1 to 200.
    user_ids: Vec<String>,
    /// `presence` where it is not said.
    #[serde(default, rename = "type")]
    kind: FollowedKind,
}

/// `subscriptions.add`.
pub(super) async fn add(call: &Call<'_>, asked: Subscribe) -> Result<Answer, Problem> {
    let ids = people::user_ids(&asked.user_ids, TARGETS_MAX)?;
    let subscriptions = &call.live.subscriptions;
    let done = subscriptions.subscribe(&call.app, call.subject, asked.kind.into(), ids, asked.seconds).await;
    let full = match done {
        Ok(()) => vec![],
        Err(Error::TargetsFull(full)) => full.iter().map(|id| id.as_str().to_owned()).collect(),
        Err(error) => return Err(error.into()),
    };
    Answer::query(&Subscribed { full })
}

/// `subscriptions.remove`.
pub(super) async fn remove(call: &Call<'_>, asked: Unsubscribe) -> Result<Answer, Problem> {
    let ids = people::user_ids(&asked.user_ids, TARGETS_MAX)?;
    call.live.subscriptions.unsubscribe(&call.app, call.subject, asked.kind.into(), ids).await?;
    Ok(Answer::done(0))
}

/// Which page of whom the user follows.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscriptionsParams {
    /// The `next` of an earlier answer.
    cursor: Option<String>,
    /// How many, from 1 to 200; 200 where it is not said.
    limit: Option<u32>,
    /// `presence` (where it is not said) or `profile`.
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// A connection of somebody who is followed.
#[derive(Serialize, ToSchema)]
pub(super) struct FollowedDevice {
    platform: &'static str,
    since: String,
}

/// Params of `presence.changed`: somebody who is followed came, went or has other devices. That a user went is told after
/// three seconds.
#[derive(Serialize, ToSchema)]
#[allow(dead_code)] // Only its shape is used.
pub(super) struct PresenceChanged {
    user_id: String,
    online: bool,
    devices: Vec<FollowedDevice>,
    at: String,
}

/// Params of `subscription.changed`: the profile of somebody who is followed has changed; ask for it with `users.get`.
#[derive(Serialize, ToSchema)]
#[allow(dead_code)] // Only its shape is used.
pub(super) struct SubscriptionChanged {
    user_id: String,
    /// `profile`.
    r#type: String,
    position: u64,
}

/// Somebody who is followed.
#[derive(Serialize, ToSchema)]
pub(super) struct FollowedUser {
    user_id: String,
    since: String,
    expires_at: String,
    /// Whether the user is online now, where that is followed; whoever has blocked the caller is offline for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    online: Option<bool>,
    /// With what, where that is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<Vec<FollowedDevice>>,
}

/// Whom the user follows.
#[derive(Serialize, ToSchema)]
pub(super) struct Subscriptions {
    subscriptions: Vec<FollowedUser>,
    next: Option<String>,
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `subscriptions.list`: also what a client asks that was not connected for a while.
pub(super) async fn list(call: &Call<'_>, asked: SubscriptionsParams) -> Result<Answer, Problem> {
    let limit = people::limit(asked.limit, 200, 200)?;
    let kind = match asked.kind.as_deref() {
        None | Some("presence") => Kind::Presence,
        Some("profile") => Kind::Profile,
        Some(_) => {
            let invalid = Invalid::malformed("type", "presence or profile");
            return Err(Problem::Invalid(invalid, Some(34_306)));
        }
    };
    let malformed = || Problem::Invalid(Invalid::malformed("cursor", "the `next` of an earlier answer"), Some(34_309));
    let after = asked.cursor.as_deref().map(|text| Followed::decode(text).ok_or_else(malformed)).transpose()?;
    let after = after.map(|Followed(subject)| subject);
    let (page, next) = call.live.subscriptions.page(call.subject, kind, after, limit).await?;
    let subjects: Vec<_> = page.iter().map(|subscription| subscription.target).collect();
    let names = people::ids_of(call, &subjects).await?;
    let devices = match kind {
        Kind::Presence => call.live.devices_seen_by(call.subject, &subjects).await?.into_iter().map(Some).collect(),
        Kind::Profile => vec![None; subjects.len()],
    };
    let each = page.iter().zip(names).zip(devices);
    let subscriptions = each.filter_map(|((subscription, name), devices)| {
        let device = |device: &crate::live::presence::Device| FollowedDevice {
            platform: device.platform.as_str(),
            since: time(device.since),
        };
        Some(FollowedUser {
            user_id: name?,
            since: time(subscription.since),
            expires_at: time(subscription.expires_at()),
            online: devices.as_ref().map(|devices| !devices.is_empty()),
            devices: devices.map(|devices| devices.iter().map(device).collect()),
        })
    });
    Answer::query(&Subscriptions {
        subscriptions: subscriptions.collect(),
        next: next.map(|next| Followed(next).encode()),
    })
}
