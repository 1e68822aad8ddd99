//! Why a command is refused, or would have been at a moment: the events that made it so.
//!
//! The streams the command reads are loaded and the pure decision is asked; nothing is appended. When it refuses,
//! each stream is taken back to its start and brought forward event by event while the others stay as they are. The
//! event from which on the decision is refused in the same way, without a break, is what made it so. That needs no
//! table of refusals, so a new one is explained as well as an old one.

use std::collections::{BTreeMap, HashMap};

use rollcall_schemas::ids::{AppId, OperationId, SubjectRef};
use rollcall_schemas::stream::Stream;
use serde::Serialize;
use uuid::Uuid;

use super::error::Error;
use super::past::{Past, Who};
use super::tracks::{Fact, Input, Track};
use super::when::Moment;
use crate::domain::{Command, Context, Refusal, State, World, decide};

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
    /// Streams with more events than are tried: what is older was taken as it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only_latest_of: Vec<String>,
}

/// What a decision looks at, each input as it was at the moment except where it is varied.
struct Then {
    states: HashMap<Stream, State>,
    friends: HashMap<SubjectRef, usize>,
}

impl World for Then {
    fn state(&self, stream: &Stream) -> Option<&State> {
        self.states.get(stream)
    }
    fn friends(&self, subject: SubjectRef) -> usize {
        self.friends.get(&subject).copied().unwrap_or(0)
    }
}

impl Then {
    fn put(&mut self, input: Input) {
        match input {
            Input::State(stream, state) => drop(self.states.insert(stream, state)),
            Input::Friends(subject, friends) => drop(self.friends.insert(subject, friends.len())),
        }
    }
}

/// Explains how a command of an app is decided at a moment, over what the log held then. A person without a subject is
/// the one the userId names today; nothing is appended and nobody is introduced.
///
/// # Errors
/// [`Error::UnknownUser`] where a subject is given that the app does not know; a part is unavailable, or an event of one
/// of the streams cannot be decoded.
pub async fn explain(past: Past<'_>, app: &AppId, mut command: Command, moment: Moment) -> Result<Explanation, Error> {
    resolve(past, app, &mut command).await?;
    let mut tracks = Vec::new();
    for stream in command.streams(app) {
        tracks.push(Track::of_stream(past, stream, moment.position).await?);
    }
    for subject in command.tallies() {
        tracks.push(Track::of_friends(past, subject, moment.position).await?);
    }
    let mut then = Then { states: HashMap::new(), friends: HashMap::new() };
    for track in &tracks {
        then.put(track.last());
    }
    let context = Context {
        now: moment.at,
        operation: OperationId(String::new()),
        fresh: vec![Uuid::nil(); command.fresh_ids()],
    };
    let refused = |then: &Then| decide(app, then, &context, &command).err();
    let Some(refusal) = refused(&then) else {
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
            refused(&then).as_ref() == Some(&refusal)
        });
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

/// Names the subjects of a command. Somebody a command would introduce gets a reference no stream has.
async fn resolve(past: Past<'_>, app: &AppId, command: &mut Command) -> Result<(), Error> {
    let introduces = command.introduces();
    let mut strangers = HashMap::new();
    for person in command.persons_mut() {
        if let Some(subject) = person.subject {
            // Nobody is shown what happens in another app.
            past.subject(app, &Who::Subject(subject)).await?;
            continue;
        }
        person.subject = match past.subject(app, &Who::UserId(person.user_id.clone())).await {
            Ok(subject) => Some(subject),
            Err(Error::UnknownUser) if introduces => {
                let next = SubjectRef(Uuid::from_u128(strangers.len() as u128 + 1));
                Some(*strangers.entry(person.user_id.clone()).or_insert(next))
            }
            Err(Error::UnknownUser) => None,
            Err(error) => return Err(error),
        };
    }
    Ok(())
}
