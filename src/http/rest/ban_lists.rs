//! The bans of an app, by their state, by whom and why.

use chrono::{DateTime, Utc};
use rollcall_projections::banned_users::{self, BanCursor};
use rollcall_projections::{Neighbours, Seek, user_directory};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::words;
use uuid::Uuid;

use super::Call;
use super::bans::{Ban, Bans, shown, subjects_of};
use super::paging::{PageLinks, PageQuery};
use super::problem::{Answer, Problem};
use super::users::opened;
use crate::domain::values::Invalid;
use crate::http::cursor::Cursor;

/// Bans that one call looks at where only some of them are asked for: a page may have fewer than were asked for, and more
/// may follow it.
const LOOKED_AT_MAX: u32 = 2_000;
/// Bans that are read at once where only some of them are asked for.
const BATCH: u32 = 500;

words! {
    /// How far a ban is.
    State {
        /// It runs.
        Running = "running",
        /// It is to begin later.
        Scheduled = "scheduled",
        /// It has ended.
        Ended = "ended",
    }
}

/// A place in the list of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    state: State,
    /// When the last ban that was looked at ends or begins, in milliseconds; of an ended one the position of its end.
    at: i64,
    /// Whose it is.
    subject: Uuid,
}

impl Place {
    /// The place before every ban of a state.
    fn beginning(state: State) -> Self {
        match state {
            State::Running => Self { state, at: DateTime::<Utc>::MAX_UTC.timestamp_millis(), subject: Uuid::max() },
            State::Scheduled => Self { state, at: 0, subject: Uuid::nil() },
            State::Ended => Self { state, at: i64::MAX, subject: Uuid::nil() },
        }
    }

    /// The place behind every ban of a state.
    fn end(state: State) -> Self {
        match state {
            State::Running => Self { state, at: 0, subject: Uuid::nil() },
            State::Scheduled => Self { state, at: DateTime::<Utc>::MAX_UTC.timestamp_millis(), subject: Uuid::max() },
            State::Ended => Self { state, at: 0, subject: Uuid::nil() },
        }
    }

    fn of(state: State, ban: &banned_users::Ban) -> Self {
        let position = || ban.end.as_ref().and_then(|end| i64::try_from(end.position).ok()).unwrap_or_default();
        match state {
            State::Running => Self { state, at: ban.until().timestamp_millis(), subject: ban.subject.0 },
            State::Scheduled => Self { state, at: ban.starts_at.timestamp_millis(), subject: ban.subject.0 },
            State::Ended => Self { state, at: position(), subject: Uuid::nil() },
        }
    }

    /// Of a running or a scheduled one.
    fn in_time(self) -> BanCursor {
        let at = DateTime::from_timestamp_millis(self.at).unwrap_or_default();
        BanCursor { at, subject: SubjectRef(self.subject) }
    }

    /// Of an ended one.
    fn position(self) -> u64 {
        u64::try_from(self.at).unwrap_or_default()
    }
}

impl Cursor for Place {
    fn bytes(&self) -> Vec<u8> {
        [[self.state as u8].as_slice(), &self.at.to_be_bytes(), self.subject.as_bytes()].concat()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (state, rest) = bytes.split_first()?;
        let (at, subject) = rest.split_first_chunk()?;
        let state = State::ALL.into_iter().find(|of| *of as u8 == *state)?;
        let place = Self { state, at: i64::from_be_bytes(*at), subject: Uuid::from_slice(subject).ok()? };
        let is_whole = match state {
            State::Running | State::Scheduled => DateTime::from_timestamp_millis(place.at).is_some(),
            State::Ended => place.at >= 0,
        };
        is_whole.then_some(place)
    }
}

/// What is asked for.
struct Filter {
    /// In this order, each once.
    states: Vec<State>,
    actor: Option<String>,
    /// A part of the reason, in lower case.
    reason: Option<String>,
}

impl Filter {
    fn read(call: &Call<'_>) -> Result<Self, Problem> {
        let mut states = vec![];
        for word in call.value("state").as_deref().unwrap_or(State::Running.as_str()).split(',') {
            let malformed = Invalid::malformed("state", "running, scheduled or ended, or several with a comma between");
            let state = word.parse().map_err(|_| Problem::Invalid("?state", malformed))?;
            if !states.contains(&state) {
                states.push(state);
            }
        }
        let reason = call.value("reason").map(|text| text.to_lowercase());
        Ok(Self { states, actor: call.value("actor"), reason })
    }

    /// The state that is listed behind another one.
    fn state_after(&self, state: State) -> Option<State> {
        self.states.iter().copied().skip_while(|asked| *asked != state).nth(1)
    }

    /// The state that is listed before another one.
    fn state_before(&self, state: State) -> Option<State> {
        self.states.iter().copied().take_while(|asked| *asked != state).last()
    }

    fn chooses_all(&self) -> bool {
        self.actor.is_none() && self.reason.is_none()
    }

    fn chooses_row(&self, ban: &banned_users::Ban) -> bool {
        self.actor.as_ref().is_none_or(|actor| ban.actor == *actor)
    }

    fn chooses(&self, ban: &Ban) -> bool {
        let has = |part: &String| ban.reason().is_some_and(|reason| reason.to_lowercase().contains(part));
        self.reason.as_ref().is_none_or(has)
    }
}

/// The bans of a state behind a place or up to it; the one that is nearest to it first.
async fn nearest(
    call: &Call<'_>,
    (state, seek): (State, Seek<Place>),
    now: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<banned_users::Ban>, Problem> {
    let (read, app) = (call.engine.read(), &call.app.id);
    let mut rows = match state {
        State::Running => banned_users::running(read, app, now, seek.map(Place::in_time), limit).await?,
        State::Scheduled => banned_users::scheduled(read, app, now, seek.map(Place::in_time), limit).await?,
        State::Ended => banned_users::ended(read, app, seek.map(Place::position), limit).await?,
    };
    if matches!(seek, Seek::UpTo(_)) {
        rows.reverse();
    }
    Ok(rows)
}

/// Each of these bans as it is told, where it is asked for.
async fn told(
    call: &Call<'_>,
    filter: &Filter,
    rows: &[banned_users::Ban],
    now: DateTime<Utc>,
) -> Result<Vec<Option<Ban>>, Problem> {
    let chosen: Vec<_> = rows.iter().filter(|ban| filter.chooses_row(ban)).cloned().collect();
    let subjects = subjects_of(&chosen);
    let ids = user_directory::user_ids(call.engine.read(), &call.app.id, &subjects).await?;
    let shown = call.engine.disclose(&call.caller, &subjects, |opener| {
        let mut ids = ids.iter();
        let mut bans = Vec::with_capacity(rows.len());
        for ban in rows {
            let id = if filter.chooses_row(ban) { ids.next().and_then(Option::as_deref) } else { None };
            let user_id = opened(opener, ban.subject, "user_id", id)?;
            bans.push(user_id.map(|user_id| shown(opener, user_id, ban, now)).transpose()?);
        }
        Ok::<_, Problem>(bans)
    });
    Ok(shown.await?.into_iter().map(|ban| ban.filter(|ban| filter.chooses(ban))).collect())
}

/// `GET /bans?state=&actor=&reason=&cursor=&limit=`: the running ones by their end, the latest first; the scheduled ones by
/// their start, the earliest first; the ended ones by when they ended, the latest first.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let (asked, filter) = (PageQuery::<Place>::read(call.query)?, Filter::read(call)?);
    let given = match asked.seek {
        Seek::After(place) => place,
        Seek::UpTo(place) => Some(place),
    };
    if given.is_some_and(|place| !filter.states.contains(&place.state)) {
        let malformed =
            Invalid::malformed("cursor", "the `next` or `previous` of an earlier answer to the same question");
        return Err(Problem::Invalid("?cursor", malformed));
    }
    call.engine.caught_up(&call.app.id).await?;
    let now = call.engine.now();
    let first = filter.states.first().map(|state| Place::beginning(*state));
    // Behind which place, or up to which one, there may be more.
    let mut beyond = given.or(first);
    let seek_at = |place| match asked.seek {
        Seek::After(_) => Seek::After(Some(place)),
        Seek::UpTo(_) => Seek::UpTo(place),
    };
    let (mut bans, mut looked_at, wanted) = (vec![], 0, asked.limit as usize);
    while let Some(place) = beyond
        && bans.len() < wanted
        && looked_at < LOOKED_AT_MAX
    {
        let batch = if filter.chooses_all() { wanted - bans.len() } else { BATCH as usize };
        let size = u32::try_from(batch).unwrap_or(BATCH);
        let rows = nearest(call, (place.state, seek_at(place)), now, size + 1).await?;
        looked_at += size;
        let told = told(call, &filter, &rows[..rows.len().min(batch)], now).await?;
        let mut done = 0;
        for ban in told {
            if bans.len() == wanted {
                break;
            }
            bans.extend(ban);
            done += 1;
        }
        beyond = match (asked.seek, rows.get(done)) {
            (Seek::After(_), Some(_)) => {
                done.checked_sub(1).and_then(|last| rows.get(last)).map(|ban| Place::of(place.state, ban))
            }
            (Seek::After(_), None) => filter.state_after(place.state).map(Place::beginning),
            (Seek::UpTo(_), Some(ban)) => Some(Place::of(place.state, ban)),
            (Seek::UpTo(_), None) => filter.state_before(place.state).map(Place::end),
        };
    }
    let beside = match asked.seek {
        Seek::After(previous) => Neighbours { next: beyond, previous },
        Seek::UpTo(next) => {
            bans.reverse();
            Neighbours { next: Some(next), previous: beyond }
        }
    };
    Answer::query(&Bans { bans, links: PageLinks::to(beside) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written_and_nothing_else_is_one() {
        for state in State::ALL {
            for place in [Place::beginning(state), Place::end(state)] {
                assert_eq!(Place::decode(&place.encode()), Some(place));
            }
        }
        let place = Place::beginning(State::Running).bytes();
        assert_eq!(Place::read(&place[1..]), None);
        assert_eq!(Place::read(&[[3].as_slice(), &place[1..]].concat()), None, "no such state");
        assert_eq!(Place::read(&[[0].as_slice(), &[0x7f; 8], &[0; 16]].concat()), None, "no such time");
        assert_eq!(Place::read(&[[2].as_slice(), &[0xff; 24]].concat()), None, "no such position");
    }
}
