//! Whether one user may message another, and if not, what stands against it. Asked of the read models alone: a message
//! server may ask for every message.

use std::collections::BTreeSet;

use rollcall_projections::{
    allowlists, banned_users, blocklists, deactivated_users, friend_graph, mutes, user_directory,
};
use rollcall_schemas::ids::{AppId, SubjectRef};

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
                let found = tokio::try_join!(self.find_all(&app.id, &from), self.find_all(&app.id, &to))?;
                found.0.into_iter().zip(found.1).collect()
            }
        };
        self.denials(&app, &pairs).await
    }

    async fn denials(&self, app: &App, pairs: &[Known]) -> Result<Vec<Option<Denial>>, Error> {
        let (read, now) = (&*self.read, self.clock.now());
        let senders: Vec<_> = pairs.iter().map(|(from, _)| or_nobody(*from)).collect();
        let receivers: Vec<_> = pairs.iter().map(|(_, to)| or_nobody(*to)).collect();
        // Whose list it is comes first.
        let listed: Vec<_> = receivers.iter().copied().zip(senders.iter().copied()).collect();
        let friends = async {
            match app.friends_only_since {
                Some(_) => friend_graph::friendships(read, &listed).await,
                None => Ok(vec![]),
            }
        };
        let everybody: Vec<_> = senders.iter().chain(&receivers).copied().collect();
        let (users, bans, muted, blocked, in_force, friends) = tokio::try_join!(
            user_directory::by_subjects(read, &app.id, &everybody),
            banned_users::of_subjects(read, &senders),
            mutes::since(read, &senders),
            blocklists::entries(read, &listed),
            allowlists::in_force_since(read, &receivers),
            friends,
        )?;
        // Few have an allowlist in force or are deactivated: for most messages nothing more is asked.
        let asked = if in_force.iter().any(Option::is_some) { &listed[..] } else { &[] };
        let fenced = users.iter().flatten().filter(|user| user.deactivated).map(|user| user.subject);
        let fenced: Vec<_> = fenced.collect::<BTreeSet<_>>().into_iter().collect();
        let (allowed, deactivated) =
            tokio::try_join!(allowlists::entries(read, asked), deactivated_users::of_subjects(read, &fenced))?;
        let (users, partners) = users.split_at(pairs.len().min(users.len()));
        let deactivation = |subject: SubjectRef| {
            deactivated.iter().find(|found| found.subject == subject).map(|found| found.deactivated_position)
        };
        let denial = |at: usize| -> Option<(Rule, Option<u64>)> {
            let sender = users.get(at)?.as_ref();
            let Some(sender) = sender.filter(|user| user.deactivated || user.is_active()) else {
                return Some((Rule::SenderUnknown, None));
            };
            if sender.deactivated {
                return Some((Rule::SenderDeactivated, deactivation(sender.subject)));
            }
            if let Some(ban) = bans.get(at)?.as_ref().filter(|ban| ban.runs_at(now)) {
                return Some((Rule::SenderBanned, Some(ban.imposed_position)));
            }
            if let Some(position) = muted.get(at)? {
                return Some((Rule::SenderMuted, Some(*position)));
            }
            if let Some(receiver) = partners.get(at)?.as_ref().filter(|user| user.deactivated) {
                return Some((Rule::ReceiverDeactivated, deactivation(receiver.subject)));
            }
            if let Some(position) = blocked.get(at)? {
                return Some((Rule::Blocked, Some(*position)));
            }
            if let (Some(position), Some(None)) = (in_force.get(at)?, allowed.get(at)) {
                return Some((Rule::NotAllowed, Some(*position)));
            }
            let position = app.friends_only_since?;
            friends.get(at)?.is_none().then_some((Rule::NotFriends, Some(position)))
        };
        let denial = |at| denial(at).map(|(rule, position)| Denial { rule, position });
        Ok((0..pairs.len()).map(denial).collect())
    }
}

/// A reference that nobody has, for who is not known.
fn or_nobody(subject: Option<SubjectRef>) -> SubjectRef {
    subject.unwrap_or(SubjectRef(uuid::Uuid::nil()))
}
