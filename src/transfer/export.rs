//! Writes the users of an app and what they keep about each other, as `rollcall import` reads them.

use std::collections::HashMap;
use std::io::Write;

use chrono::{DateTime, Utc};
use rollcall_projections::user_directory::User;
use rollcall_projections::{Order, PAGE_MAX, banned_users, hosted_profiles, mutes, user_directory};
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::{AppId, SubjectRef};
use serde_json::{Map, Value, json};

use super::{Error, Kind};
use crate::engine::{Caller, Engine};

mod lists;

/// Writes everything of a kind, a JSON object a line. Answers how many.
///
/// # Errors
/// The app is unknown, the service cannot answer, or the output cannot be written.
pub async fn run(engine: &Engine, app: &AppId, kind: Kind, output: &mut dyn Write) -> Result<u64, Error> {
    if engine.app(app.as_str()).is_none() {
        return Err(Error::NoSuchApp(app.to_string()));
    }
    engine.all_applied().await?;
    let caller = Caller::internal(app.clone(), Actor::Operator);
    let mut exporting = Exporting { engine, caller, output, records: 0 };
    match kind {
        Kind::Users => exporting.users().await?,
        Kind::Friends => exporting.of_each_user(Exporting::friends_of).await?,
        Kind::FriendGroups => exporting.of_each_user(Exporting::groups_of).await?,
        Kind::Blocks => exporting.of_each_user(Exporting::blocked_by).await?,
        Kind::Allows => exporting.of_each_user(Exporting::allowed_by).await?,
        Kind::Bans => exporting.bans().await?,
        Kind::Mutes => exporting.mutes().await?,
    }
    exporting.output.flush().map_err(Error::file("the output"))?;
    Ok(exporting.records)
}

struct Exporting<'e> {
    engine: &'e Engine,
    caller: Caller,
    output: &'e mut dyn Write,
    records: u64,
}

impl Exporting<'_> {
    fn write(&mut self, record: Map<String, Value>) -> Result<(), Error> {
        writeln!(self.output, "{}", Value::Object(record)).map_err(Error::file("the output"))?;
        self.records += 1;
        Ok(())
    }

    async fn page(&self, after: Option<u64>) -> Result<Vec<User>, Error> {
        let read = self.engine.read();
        Ok(user_directory::listed(read, &self.caller.app, after, PAGE_MAX, Order::OldestFirst).await?)
    }

    async fn users(&mut self) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page = self.page(after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.registered_position;
            let subjects: Vec<_> = page.iter().map(|user| user.subject).collect();
            let profiles = hosted_profiles::of_subjects(self.engine.read(), &self.caller.app, &subjects).await?;
            let records = self.engine.disclose(&self.caller, &subjects, |opener| {
                let mut records = vec![];
                for (user, profile) in page.iter().zip(&profiles) {
                    let mut record = Map::new();
                    let members = [("user_id", &user.user_id), ("name", &user.name), ("portrait_uri", &user.portrait)];
                    for (member, sealed) in members {
                        let field = member.trim_end_matches("_uri");
                        if let Some(sealed) = sealed
                            && let Some(value) = opener.open::<Value>(user.subject, field, sealed)?
                        {
                            record.insert(member.into(), value);
                        }
                    }
                    let mut fields = Map::new();
                    for (name, sealed) in profile.iter().flat_map(|profile| &profile.fields) {
                        if let Some(value) = opener.open::<Value>(user.subject, &name.0, sealed)? {
                            fields.insert(name.0.clone(), value);
                        }
                    }
                    if !fields.is_empty() {
                        record.insert("profile".into(), fields.into());
                    }
                    // Erased in this moment.
                    if record.contains_key("user_id") {
                        records.push(record);
                    }
                }
                Ok::<_, Error>(records)
            });
            records.await?.into_iter().try_for_each(|record| self.write(record))?;
        }
    }

    /// What every user keeps about others, one user after the other.
    async fn of_each_user(
        &mut self,
        list: impl AsyncFn(&mut Self, SubjectRef) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut after = None;
        loop {
            let page = self.page(after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.registered_position;
            for user in page {
                list(self, user.subject).await?;
            }
        }
    }

    /// Bans that run, then those that are to begin.
    async fn bans(&mut self) -> Result<(), Error> {
        let (read, app, now) = (self.engine.read(), self.caller.app.clone(), self.engine.now());
        let (mut cursor, mut runs) = (None, true);
        loop {
            let page = if runs {
                banned_users::running(read, &app, now, cursor, PAGE_MAX).await?
            } else {
                banned_users::scheduled(read, &app, now, cursor, PAGE_MAX).await?
            };
            let Some(last) = page.last() else {
                if !runs {
                    return Ok(());
                }
                (cursor, runs) = (None, false);
                continue;
            };
            let at = if runs { last.until() } else { last.starts_at };
            cursor = Some(banned_users::BanCursor { at, subject: last.subject });
            self.ban_page(&page, now).await?;
        }
    }

    async fn ban_page(&mut self, page: &[banned_users::Ban], now: DateTime<Utc>) -> Result<(), Error> {
        let subjects: Vec<_> = page.iter().map(|ban| ban.subject).collect();
        let ids = self.user_ids(subjects.iter().copied()).await?;
        let records = self.engine.disclose(&self.caller, &subjects, |opener| {
            let mut records = vec![];
            for ban in page {
                let Some(id) = ids.get(&ban.subject) else { continue };
                let mut record = Map::from_iter([("user_id".to_owned(), id.clone())]);
                if ban.starts_at > now {
                    record.insert("starts_at".into(), json!(ban.starts_at));
                }
                match ban.ends_at {
                    Some(end) => record.insert("ends_at".into(), json!(end)),
                    None => record.insert("permanent".into(), json!(true)),
                };
                for (member, sealed) in [("reason", &ban.reason), ("note", &ban.note)] {
                    if let Some(sealed) = sealed
                        && let Some(text) = opener.open::<Value>(ban.subject, member, sealed)?
                    {
                        record.insert(member.into(), text);
                    }
                }
                records.push(record);
            }
            Ok::<_, Error>(records)
        });
        records.await?.into_iter().try_for_each(|record| self.write(record))
    }

    /// Mutes that run, in the order of muting.
    async fn mutes(&mut self) -> Result<(), Error> {
        let (app, now, mut cursor) = (self.caller.app.clone(), self.engine.now(), None);
        loop {
            let page = mutes::listed(self.engine.read(), &app, now, cursor, PAGE_MAX).await?;
            let Some(last) = page.last() else { return Ok(()) };
            cursor = Some(last.muted_position);
            let ids = self.user_ids(page.iter().map(|mute| mute.subject)).await?;
            for mute in page {
                // Erased in this moment.
                let Some(id) = ids.get(&mute.subject) else { continue };
                let end = match mute.ends_at {
                    Some(end) => ("ends_at".to_owned(), json!(end)),
                    None => ("permanent".to_owned(), json!(true)),
                };
                self.write(Map::from_iter([("user_id".to_owned(), id.clone()), end]))?;
            }
        }
    }

    /// The userIds of those who have one.
    async fn user_ids(&self, subjects: impl Iterator<Item = SubjectRef>) -> Result<HashMap<SubjectRef, Value>, Error> {
        let subjects: Vec<_> = subjects.collect();
        let sealed = user_directory::user_ids(self.engine.read(), &self.caller.app, &subjects).await?;
        let opened = self.engine.disclose(&self.caller, &subjects, |opener| {
            let mut ids = HashMap::new();
            for (subject, sealed) in subjects.iter().zip(&sealed) {
                if let Some(sealed) = sealed
                    && let Some(id) = opener.open::<Value>(*subject, "user_id", sealed)?
                {
                    ids.insert(*subject, id);
                }
            }
            Ok::<_, Error>(ids)
        });
        opened.await
    }
}
