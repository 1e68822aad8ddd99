//! Following other users: their online status and their profiles.

use rollcall_projections::user_directory;
use rollcall_schemas::ids::SubjectRef;
use serde::Serialize;

use super::answer::{Answer, Fault, OK};
use super::form::Form;
use super::{Call, convert};
use crate::domain::Refusal;
use crate::domain::values::{Invalid, Problem};
use crate::http::cursor::{Cursor as _, Followed};
use crate::live::store::{Kind, Subscription};
use crate::live::subscriptions::{Error, SECONDS, TARGETS_MAX};

/// As many follow some of the users as may.
const TARGETS_FULL: u16 = 26_021;

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::OwnFull => Self::SubscriptionsFull,
            // Whoever can tell which ones does so before.
            Error::TargetsFull(_) => Self::SubscriptionsFull,
            Error::Invalid(invalid) => Self::Invalid(invalid),
            Error::Engine(error) => Self::Engine(error),
        }
    }
}

/// What is followed, 1 where it is not said: 1 the online status, 2 the profile.
fn kind(form: &Form<'_>) -> Result<Kind, Invalid> {
    let number = form.number("subType", 1, 2)?.unwrap_or(1);
    Kind::of_number(number).ok_or(Invalid::new("subType", Problem::OutOfRange { min: 1, max: 2 }))
}

/// Who follows; it must be registered.
async fn subscriber(call: &Call<'_>, form: &Form<'_>) -> Result<SubjectRef, Fault> {
    let user_id = form.user_id("userId")?;
    call.caught_up().await?;
    Ok(call.engine.find(&call.app.id, &user_id).await?.ok_or(Refusal::NotRegistered)?)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SomeFull {
    code: u16,
    sub_user_ids: Vec<String>,
}

/// `subscribe/set`: follow users (`opType` 0) for so many seconds, or follow them no more (1). Users whom as many follow as may
/// are told; all others are followed.
pub(super) async fn subscribe(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let kind = kind(&form)?;
    let targets = form.user_ids("subUserIds", TARGETS_MAX)?;
    let ends = convert::flag(&form, "opType")?;
    let (min, max) = (i64::from(*SECONDS.start()), i64::from(*SECONDS.end()));
    let seconds = if ends { None } else { Some(form.required_number("expiry", min, max)?) };
    let subscriber = subscriber(call, &form).await?;
    let subscriptions = &call.live.subscriptions;
    let done = match seconds {
        Some(seconds) => subscriptions.subscribe(&call.app, subscriber, kind, targets, convert::number(seconds)).await,
        None => subscriptions.unsubscribe(&call.app, subscriber, kind, targets).await,
    };
    match done {
        Ok(()) => Ok(Answer::DONE),
        Err(Error::TargetsFull(full)) => {
            let sub_user_ids = full.iter().map(|id| id.as_str().to_owned()).collect();
            Answer::of(&SomeFull { code: TARGETS_FULL, sub_user_ids })
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    code: u16,
    has_next: bool,
    page_token: String,
    subscriptions: Vec<Group>,
}

/// Users who are followed in the same way.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    sub_user_ids: Vec<String>,
    sub_type: i16,
    sub_time: i64,
    expiry: u32,
}

/// `subscribe/query`: whom a user follows.
pub(super) async fn query_subscriptions(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let kind = kind(&form)?;
    let size = convert::number(form.number("pageSize", 50, 200)?.unwrap_or(200));
    let after = form
        .text("pageToken")
        .map(|token| Followed::decode(token).ok_or(Invalid::malformed("pageToken", "the token of an earlier answer")));
    let after = after.transpose()?.map(|Followed(subject)| subject);
    let subscriber = subscriber(call, &form).await?;
    let (page, next) = call.live.subscriptions.page(subscriber, kind, after, size).await?;
    let subscriptions = groups(call, kind, &page).await?;
    let page_token = next.map(|next| Followed(next).encode()).unwrap_or_default();
    Answer::of(&Page { code: OK, has_next: next.is_some(), page_token, subscriptions })
}

/// Those who were followed together stand together; who was forgotten is left out.
async fn groups(call: &Call<'_>, kind: Kind, page: &[Subscription]) -> Result<Vec<Group>, Fault> {
    let subjects: Vec<_> = page.iter().map(|subscription| subscription.target).collect();
    let sealed = user_directory::user_ids(call.engine.read(), &call.app.id, &subjects).await?;
    let names = call
        .disclose(&subjects, |opener| {
            let each = subjects.iter().zip(&sealed);
            each.map(|(subject, sealed)| convert::user_id(opener, *subject, sealed.as_deref())).collect()
        })
        .await;
    let names: Vec<Option<String>> = names?;
    let mut groups: Vec<Group> = vec![];
    for (subscription, name) in page.iter().zip(names) {
        let (Some(name), sub_time) = (name, subscription.since.timestamp_millis()) else { continue };
        let expiry = subscription.seconds;
        match groups.iter_mut().find(|group| (group.sub_time, group.expiry) == (sub_time, expiry)) {
            Some(group) => group.sub_user_ids.push(name),
            None => groups.push(Group { sub_user_ids: vec![name], sub_type: kind.number(), sub_time, expiry }),
        }
    }
    Ok(groups)
}
