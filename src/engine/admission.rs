//! Whether one user may message another, and if not, what stands against it. Asked of the read models alone, and of what is
//! remembered of them (`cleared.rs`): a message server may ask for every message, and nothing stands against most of them.

use std::collections::{HashMap, HashSet};

use rollcall_projections::{
    allowlists, banned_users, blocklists, deactivated_users, friend_graph, mutes, user_directory,
};
use rollcall_schemas::ids::{AppId, SubjectRef};

use super::cleared::Clear;
use super::{App, Engine, Error};
use crate::domain::values::UserId;

/// What stands against a message, in the order in which it is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The sender was never registered.
    SenderUnknown,
    /// The sender is deactivated.
    SenderDeactivated,
    /// The sender is banned.
    SenderBanned,
    /// The sender may not send direct messages.
    SenderMuted,
    /// The receiver is deactivated.
    ReceiverDeactivated,
    /// The receiver blocks the sender.
    Blocked,
    /// The receiver's allowlist is in force and does not name the sender.
    NotAllowed,
    /// The app lets only friends message each other, and they are not.
    NotFriends,
}

/// Why a message is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// What stands against it.
    pub rule: Rule,
    /// Position of the event that makes it so; `None`: there is none, the sender is not known.
    pub position: Option<u64>,
}

/// A sender and a receiver, as far as they are known.
type Known = (Option<SubjectRef>, Option<SubjectRef>);

impl Engine {
    /// What stands against a message of the first to the second of each pair, in their order; `None`: nothing.
    ///
    /// # Errors
    /// The read models are unavailable or too far behind, or there is no such app.
    pub async fn admission(&self, app: &AppId, pairs: &[(UserId, UserId)]) -> Result<Vec<Option<Denial>>, Error> {
        self.caught_up(app).await?;
        let app = self.app(app.as_str()).ok_or(crate::domain::Refusal::NoSuchApp)?;
        let pairs = match pairs {
            // One pair is asked for most often, and who they are is mostly in memory.
            [(from, to)] => vec![(self.find(&app.id, from).await?, self.find(&app.id, to).await?)],
            pairs => {
                let (from, to): (Vec<_>, Vec<_>) = pairs.iter().cloned().unzip();
                let found =
                    Box::pin(async { tokio::try_join!(self.find_all(&app.id, &from), self.find_all(&app.id, &to)) });
                let found = found.await?;
                found.0.into_iter().zip(found.1).collect()
            }
        };
        if let [(Some(from), Some(to))] = &pairs[..]
            && app.friends_only_since.is_none()
            && self.cleared.are_clear(from, to)
        {
            return Ok(vec![None]);
        }
        // On the heap: most answers are made above.
        Box::pin(self.denials(&app, &pairs)).await
    }

    async fn denials(&self, app: &App, pairs: &[Known]) -> Result<Vec<Option<Denial>>, Error> {
        let (senders, receivers, blocked, friends) = tokio::try_join!(
            self.against_senders(app, pairs),
            self.against_receivers(app, pairs),
            self.blocked(pairs),
            self.friendships(app, pairs),
        )?;
        let denial = |(from, to): &Known, at: usize| -> Option<(Rule, Option<u64>)> {
            let Some(from) = from else { return Some((Rule::SenderUnknown, None)) };
            if let Some(against) = senders.get(from) {
                return Some(*against);
            }
            let receiver = to.and_then(|to| receivers.get(&to));
            if let Some(Against { deactivated: Some(position), .. }) = receiver {
                return Some((Rule::ReceiverDeactivated, *position));
            }
            if let Some(Some(position)) = blocked.get(at) {
                return Some((Rule::Blocked, Some(*position)));
            }
            if let Some(Against { in_force: Some(position), allowed, .. }) = receiver
                && !allowed.contains(from)
            {
                return Some((Rule::NotAllowed, Some(*position)));
            }
            let position = app.friends_only_since?;
            (!friends.get(at)?).then_some((Rule::NotFriends, Some(position)))
        };
        let denial = |(at, pair)| denial(pair, at).map(|(rule, position)| Denial { rule, position });
        Ok(pairs.iter().enumerate().map(denial).collect())
    }

    /// What stands against senders, whomever they write to; a sender that is not there is clear.
    async fn against_senders(
        &self,
        app: &App,
        pairs: &[Known],
    ) -> Result<HashMap<SubjectRef, (Rule, Option<u64>)>, Error> {
        let (asked, changes) = self.cleared.unknown(Clear::Sender, pairs.iter().filter_map(|(from, _)| *from));
        if asked.is_empty() {
            return Ok(HashMap::new());
        }
        // On the heap: most questions are answered from memory, and what a reading holds need not be moved along with them.
        Box::pin(self.read_senders(app, asked, changes)).await
    }

    async fn read_senders(
        &self,
        app: &App,
        asked: Vec<SubjectRef>,
        changes: u64,
    ) -> Result<HashMap<SubjectRef, (Rule, Option<u64>)>, Error> {
        let (read, now) = (&*self.read, self.clock.now());
        let (users, bans, mutes) = tokio::try_join!(
            user_directory::by_subjects(read, &app.id, &asked),
            banned_users::of_subjects(read, &asked),
            mutes::of_subjects(read, &asked),
        )?;
        let deactivated = self.deactivated(users.iter().flatten()).await?;
        let (mut against, mut to_begin) = (HashMap::new(), HashSet::new());
        for (((subject, user), ban), mute) in asked.iter().zip(users).zip(bans).zip(mutes) {
            // No event tells when a ban begins that was set for later.
            to_begin.extend(ban.iter().filter(|ban| ban.starts_at > now).map(|ban| ban.subject));
            let (ban, mute) = (ban.filter(|ban| ban.runs_at(now)), mute.filter(|mute| mute.runs_at(now)));
            let found = match (user, ban, mute) {
                (Some(user), ..) if user.deactivated => (Rule::SenderDeactivated, deactivated.get(subject).copied()),
                (Some(user), ..) if !user.is_active() => (Rule::SenderUnknown, None),
                (None, ..) => (Rule::SenderUnknown, None),
                (_, Some(ban), _) => (Rule::SenderBanned, Some(ban.imposed_position)),
                (_, _, Some(mute)) => (Rule::SenderMuted, Some(mute.set_position)),
                (Some(_), None, None) => continue,
            };
            against.insert(*subject, found);
        }
        let clear = asked.into_iter().filter(|subject| !against.contains_key(subject) && !to_begin.contains(subject));
        self.cleared.remember(Clear::Sender, clear, changes);
        Ok(against)
    }

    /// What stands against receivers, but for their blocklists; a receiver that is not there is clear.
    async fn against_receivers(&self, app: &App, pairs: &[Known]) -> Result<HashMap<SubjectRef, Against>, Error> {
        let (asked, changes) = self.cleared.unknown(Clear::Receiver, pairs.iter().filter_map(|(_, to)| *to));
        if asked.is_empty() {
            return Ok(HashMap::new());
        }
        Box::pin(self.read_receivers(app, pairs, asked, changes)).await
    }

    async fn read_receivers(
        &self,
        app: &App,
        pairs: &[Known],
        asked: Vec<SubjectRef>,
        changes: u64,
    ) -> Result<HashMap<SubjectRef, Against>, Error> {
        let read = &*self.read;
        let (users, in_force) = tokio::try_join!(
            user_directory::by_subjects(read, &app.id, &asked),
            allowlists::in_force_since(read, &asked),
        )?;
        let fenced = self.deactivated(users.iter().flatten()).await?;
        let mut against: HashMap<_, Against> = HashMap::new();
        for ((subject, user), in_force) in asked.iter().zip(users).zip(in_force) {
            let is_deactivated = user.is_some_and(|user| user.deactivated);
            let deactivated = is_deactivated.then(|| fenced.get(subject).copied());
            if deactivated.is_some() || in_force.is_some() {
                against.insert(*subject, Against { deactivated, in_force, allowed: HashSet::new() });
            }
        }
        let clear = asked.into_iter().filter(|subject| !against.contains_key(subject));
        self.cleared.remember(Clear::Receiver, clear, changes);
        // Few have an allowlist in force: for most messages this is not asked.
        let of_listed = |(from, to): &Known| {
            let (from, to) = (*from.as_ref()?, *to.as_ref()?);
            against.get(&to)?.in_force.map(|_| (to, from))
        };
        let listed: Vec<_> = pairs.iter().filter_map(of_listed).collect();
        if !listed.is_empty() {
            let entries = allowlists::entries(read, &listed).await?;
            for ((owner, other), _) in listed.into_iter().zip(entries).filter(|(_, entry)| entry.is_some()) {
                against.entry(owner).and_modify(|against| against.allowed.extend([other]));
            }
        }
        Ok(against)
    }

    /// Positions of the deactivations of those of the users that are deactivated.
    async fn deactivated(
        &self,
        users: impl Iterator<Item = &user_directory::User>,
    ) -> Result<HashMap<SubjectRef, u64>, Error> {
        let fenced: Vec<_> = users.filter(|user| user.deactivated).map(|user| user.subject).collect();
        if fenced.is_empty() {
            return Ok(HashMap::new());
        }
        let found = deactivated_users::of_subjects(&self.read, &fenced).await?;
        Ok(found.into_iter().map(|one| (one.subject, one.deactivated_position)).collect())
    }

    /// Positions of the events by which receivers block senders, in the order of the pairs; nothing where nobody is blocked.
    async fn blocked(&self, pairs: &[Known]) -> Result<Vec<Option<u64>>, Error> {
        let (asked, changes) = self.cleared.unknown(Clear::Blocklist, pairs.iter().filter_map(|(_, to)| *to));
        if asked.is_empty() {
            return Ok(vec![]);
        }
        Box::pin(self.read_blocklists(pairs, asked, changes)).await
    }

    async fn read_blocklists(
        &self,
        pairs: &[Known],
        asked: Vec<SubjectRef>,
        changes: u64,
    ) -> Result<Vec<Option<u64>>, Error> {
        // Of one receiver it is found out whether it blocks anybody, so that the next message to it needs no read.
        if let [owner] = asked[..]
            && blocklists::page(&self.read, owner, None, 1).await?.is_empty()
        {
            self.cleared.remember(Clear::Blocklist, [owner].into_iter(), changes);
            return Ok(vec![]);
        }
        Ok(blocklists::entries(&self.read, &listed(pairs)).await?)
    }

    /// Whether the two of each pair are friends, where the app asks for it.
    async fn friendships(&self, app: &App, pairs: &[Known]) -> Result<Vec<bool>, Error> {
        if app.friends_only_since.is_none() {
            return Ok(vec![]);
        }
        let found = Box::pin(friend_graph::friendships(&self.read, &listed(pairs))).await?;
        Ok(found.iter().map(Option::is_some).collect())
    }
}

/// What stands against a receiver.
struct Against {
    /// It is deactivated, by the event at that position.
    deactivated: Option<Option<u64>>,
    /// Its allowlist is in force, since the event at that position.
    in_force: Option<u64>,
    /// Who of those asked about is on it.
    allowed: HashSet<SubjectRef>,
}

/// The pairs as lists know them: whose it is comes first.
fn listed(pairs: &[Known]) -> Vec<(SubjectRef, SubjectRef)> {
    pairs.iter().map(|(from, to)| (or_nobody(*to), or_nobody(*from))).collect()
}

/// A reference that nobody has, for who is not known.
fn or_nobody(subject: Option<SubjectRef>) -> SubjectRef {
    subject.unwrap_or(SubjectRef(uuid::Uuid::nil()))
}
