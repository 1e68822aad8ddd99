//! Why a command is refused, or would have been at a moment: the events that made it so.
//!
//! The streams the command reads are loaded and the pure decision is asked; nothing is appended. When it refuses,
//! each stream is taken back to its start and brought forward event by event while the others stay as they are. The
//! event from which on the decision is refused in the same way, without a break, is what made it so. That needs no
//! table of refusals, so a new one is explained as well as an old one.

use std::collections::{BTreeMap, HashMap};

use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::stream::Stream;
use serde::Serialize;
use uuid::Uuid;

use super::error::Error;
use super::past::{Past, Who};
use super::tracks::{Fact, Input, Track};
use super::when::Moment;
use super::words::Question;
use crate::domain::friendship::Tally;
use crate::domain::{self, Context, Found, Refusal, State, World};
use crate::engine;

/// How a command is, or would have been, decided.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The moment.
    #[serde(flatten)]
    pub moment: Moment,
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why it is refused, as the caller is told; absent: it is not.
    pub refused: Option<String>,
    /// The same as a value.
    #[serde(skip)]
    pub refusal: Option<Refusal>,
    /// The events that made it so, in the order of the log. None where nothing recorded made it so: something is
    /// missing, such as a registration or a friendship.
    pub facts: Vec<Fact>,
    /// Streams with more events than are tried. Their older events were not varied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only_latest_of: Vec<String>,
}

/// What a decision looks at, each input as it was at the moment except where it is varied.
struct Then {
    states: HashMap<Stream, State>,
    tallies: HashMap<SubjectRef, Tally>,
}

impl World for Then {
    fn state(&self, stream: &Stream) -> Option<&State> {
        self.states.get(stream)
    }
    fn tally(&self, subject: SubjectRef) -> Option<Tally> {
        self.tallies.get(&subject).copied()
    }
}

impl Then {
    fn put(&mut self, input: Input) {
        match input {
            Input::State(stream, state) => drop(self.states.insert(stream, state)),
            Input::Friendships(subject, states) => {
                self.tallies.insert(subject, Input::tally(subject, &states));
            }
        }
    }
}

/// Explains how a command of an app is decided at a moment, over what the log held then. A person without a subject is
/// the one the userId names today; nothing is appended and nobody is introduced.
///
/// # Errors
/// [`Error::UnknownUser`] where a subject is given that the app does not know; a part is unavailable, or an event of one
/// of the streams cannot be decoded.
pub async fn explain(past: Past<'_>, app: &AppId, asked: &Question, moment: Moment) -> Result<Explanation, Error> {
    let found = resolve(past, app, asked).await?;
    let command = asked.command.resolve(&found).map_err(engine::Error::from)?;
    let reads = command.reads(app);
    let mut tracks = Vec::new();
    for stream in reads.streams() {
        tracks.push(Track::of_stream(past, stream.clone(), moment.position).await?);
    }
    for subject in reads.tallies() {
        tracks.push(Track::of_friendships(past, *subject, moment.position).await?);
    }
    let mut then = Then { states: HashMap::new(), tallies: HashMap::new() };
    for track in &tracks {
        then.put(track.last());
    }
    // Nothing is recorded, so the ids do not matter.
    let fresh = (0..command.fresh_ids()).map(|number| Uuid::from_u128(number as u128)).collect();
    let context = Context { now: moment.at, fresh };
    let refused = |then: &Then| match domain::decide(app, then, &context, command.as_ref(), &reads) {
        Ok(_) => Ok(None),
        Err(domain::Error::Refused(refusal)) => Ok(Some(refusal)),
        Err(domain::Error::Defect(defect)) => Err(engine::Error::from(defect)),
    };
    let Some(refusal) = refused(&then)? else {
        return Ok(Explanation {
            moment,
            allowed: true,
            refused: None,
            refusal: None,
            facts: vec![],
            only_latest_of: vec![],
        });
    };
    let mut facts = BTreeMap::new();
    for track in &tracks {
        let made_it_so = track.since(|input| {
            then.put(input);
            matches!(refused(&then), Ok(Some(then)) if then == refusal)
        })?;
        then.put(track.last());
        // A tally counts events of streams that may be tracks of their own.
        facts.extend(made_it_so.map(|fact| (fact.position, fact)));
    }
    let only_latest_of = tracks.iter().filter(|track| track.is_cut()).map(Track::name).collect();
    Ok(Explanation {
        moment,
        allowed: false,
        refused: Some(refusal.to_string()),
        refusal: Some(refusal),
        facts: facts.into_values().collect(),
        only_latest_of,
    })
}

/// Finds the subjects of a command. Somebody a command would introduce gets a reference no stream has.
async fn resolve(past: Past<'_>, app: &AppId, asked: &Question) -> Result<Found, Error> {
    let introduces = asked.command.introduces();
    let (mut found, mut strangers) = (Found::default(), 0);
    for user_id in asked.command.user_ids() {
        if found.contains(user_id) {
            continue;
        }
        let who = match asked.subjects.get(user_id) {
            Some(subject) => Who::Subject(*subject),
            None => Who::UserId(user_id.clone()),
        };
        let subject = match past.subjects(app, &who).await {
            Ok(mut subjects) => {
                let named = subjects.remove(0);
                if asked.command.covers_every_subject() {
                    found.insert_further(user_id.clone(), subjects);
                }
                Some(named)
            }
            // Events of another app are not shown.
            Err(Error::UnknownUser) if matches!(who, Who::Subject(_)) => return Err(Error::UnknownUser),
            Err(Error::UnknownUser) if introduces => {
                strangers += 1;
                Some(SubjectRef(Uuid::from_u128(strangers)))
            }
            Err(Error::UnknownUser) => None,
            Err(error) => return Err(error),
        };
        found.insert(user_id.clone(), subject);
    }
    Ok(found)
}
