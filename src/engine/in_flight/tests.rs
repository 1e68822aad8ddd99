//! What a command that failed takes along, and what it does not.
#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_oneof, proptest};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::stream::Stream;
use uuid::Uuid;

use super::{Belief, Dependencies, InFlight, beliefs_of};

fn user(number: u128) -> Stream {
    Stream::User(SubjectRef(Uuid::from_u128(number)))
}

fn changes(number: u128) -> Vec<Belief> {
    beliefs_of(&user(number)).collect()
}

fn begin(in_flight: &InFlight, writes: u128, reads: &[u128]) -> Dependencies {
    in_flight.begin(changes(writes), reads.iter().copied().flat_map(changes).collect())
}

#[test]
fn only_what_was_decided_on_a_failed_command_is_invalid_until_the_decider_begins_anew() {
    let in_flight = InFlight::default();
    let before = begin(&in_flight, 1, &[]);
    let failed = begin(&in_flight, 1, &[9]);
    let (on_it, beside) = (begin(&in_flight, 2, &[1]), begin(&in_flight, 3, &[9]));
    in_flight.fail(&failed, []);
    let checked = [&before, &on_it, &beside].map(|of| in_flight.is_invalid(of));
    assert_eq!(checked, [false, true, false], "what it only looked at is as it was");
    // What was decided on that one, too, and not before it is known to have failed.
    let on_that = begin(&in_flight, 4, &[2]);
    assert!(!in_flight.is_invalid(&on_that));
    in_flight.fail(&on_it, []);
    assert!(in_flight.is_invalid(&on_that));
    in_flight.fail(&on_that, []);
    let dropped: std::collections::HashSet<_> = in_flight.take_dropped().into_iter().collect();
    assert_eq!(dropped, [1, 2, 4].into_iter().flat_map(changes).collect());
    assert!(in_flight.take_dropped().is_empty());
    let again = begin(&in_flight, 1, &[2, 4]);
    assert!(!in_flight.is_invalid(&again));
    assert!(in_flight.is_invalid(&on_it), "it may still be on its way");
    in_flight.passed(again.number);
    assert!(in_flight.inner().invalid.is_empty(), "nobody is left who could be");
}

#[test]
fn a_stream_that_was_not_as_believed_is_dropped_with_what_would_have_changed() {
    let in_flight = InFlight::default();
    let (failed, on_the_same) = (begin(&in_flight, 1, &[9]), begin(&in_flight, 2, &[9]));
    in_flight.fail(&failed, changes(9));
    assert!(in_flight.is_invalid(&on_the_same));
    let pair = rollcall_schemas::ids::Pair::of(SubjectRef(Uuid::from_u128(1)), SubjectRef(Uuid::from_u128(2)));
    assert_eq!(beliefs_of(&Stream::Friendship(pair.unwrap())).count(), 3, "two numbers of friends change with it");
}

#[tokio::test]
async fn who_loads_waits_for_what_is_on_its_way_and_for_nothing_else() {
    let in_flight = Arc::new(InFlight::default());
    let (one, two) = (begin(&in_flight, 1, &[]), begin(&in_flight, 1, &[]));
    in_flight.settled(&changes(2)).await;
    let waits = tokio::spawn({
        let in_flight = in_flight.clone();
        async move { in_flight.settled(&changes(1)).await }
    });
    tokio::task::yield_now().await;
    in_flight.succeed(&one);
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    in_flight.fail(&two, []);
    waits.await.unwrap();
}

/// What one step of the model does.
#[derive(Debug, Clone)]
enum Step {
    /// A command over these streams is decided; it changes the first and reads the others.
    Decide(Vec<u8>),
    /// Whatever waits is sent in one append, if it may be.
    Send,
    /// The oldest append in flight, or the one behind it, reaches the log, which keeps it or fails.
    Reach { behind: bool, keeps: bool },
    /// The oldest append in flight is answered, if it reached the log.
    Answer,
    /// Another node appends to a stream.
    Foreign(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let reach = (any::<bool>(), proptest::bool::weighted(0.8));
    prop_oneof![
        6 => vec(0..5_u8, 1..4).prop_map(Step::Decide),
        3 => Just(Step::Send),
        3 => reach.prop_map(|(behind, keeps)| Step::Reach { behind, keeps }),
        3 => Just(Step::Answer),
        1 => (0..5_u8).prop_map(Step::Foreign),
    ]
}

/// Who wrote to a stream, in order.
type History = Vec<u64>;

/// A command, and what it was decided on; it changes the first of these streams.
type Decided = (Dependencies, Vec<(u8, History)>);

/// An append in flight.
struct Sent {
    items: Vec<Decided>,
    last: u64,
    /// Once it reached the log: whether each item was kept, or else the stream that was not as expected, if that is why.
    outcomes: Option<Vec<Result<(), Option<u8>>>>,
}

/// A decider that believes, a log that checks nothing but lengths, and commands between them.
#[derive(Default)]
struct Model {
    in_flight: InFlight,
    log: HashMap<u8, History>,
    believed: HashMap<u8, History>,
    queue: Vec<Decided>,
    sent: VecDeque<Sent>,
    last_sent: u64,
    last_answered: u64,
    foreign: u64,
    kept: usize,
}

impl Model {
    fn belief(stream: u8) -> Belief {
        Belief::Stream(user(stream.into()))
    }

    fn is_changing(&self, stream: u8) -> bool {
        self.in_flight.inner().changing.contains_key(&Self::belief(stream))
    }

    fn decide(&mut self, streams: &[u8]) {
        for belief in self.in_flight.take_dropped() {
            self.believed.retain(|stream, _| Self::belief(*stream) != belief);
        }
        for stream in streams {
            if !self.believed.contains_key(stream) {
                if self.is_changing(*stream) {
                    // Who loads it waits.
                    return;
                }
                self.believed.insert(*stream, self.log.get(stream).cloned().unwrap_or_default());
            }
        }
        let seen = streams.iter().map(|stream| (*stream, self.believed[stream].clone())).collect();
        let reads = streams[1..].iter().copied().map(Self::belief).collect();
        let dependencies = self.in_flight.begin(vec![Self::belief(streams[0])], reads);
        self.believed.entry(streams[0]).or_default().push(dependencies.number);
        self.queue.push((dependencies, seen));
    }

    /// As the committer does it.
    fn send(&mut self) {
        let in_flight = self.last_answered + 1..=self.last_sent;
        let rests_on_one = self.queue.iter().any(|(dependencies, _)| dependencies.rest_on(&in_flight));
        if self.sent.len() == 2 || !self.sent.is_empty() && rests_on_one {
            return;
        }
        let Some(last) = self.queue.last().map(|(dependencies, _)| dependencies.number) else { return };
        let mut items = vec![];
        for decided in self.queue.drain(..) {
            if self.in_flight.is_invalid(&decided.0) {
                self.in_flight.fail(&decided.0, []);
            } else {
                items.push(decided);
            }
        }
        self.in_flight.passed(last);
        if !items.is_empty() {
            self.last_sent = last;
            self.sent.push_back(Sent { items, last, outcomes: None });
        }
    }

    /// As every log does it: what expects more of a stream than an item that was refused is refused.
    fn reach(&mut self, index: usize, keeps: bool) {
        let Some(sent) = self.sent.get_mut(index).filter(|sent| sent.outcomes.is_none()) else { return };
        let mut refused = HashMap::<u8, usize>::new();
        let mut outcomes = vec![];
        for (dependencies, seen) in &sent.items {
            let differs = |(stream, seen): &&(u8, History)| {
                let rests_on_refused = refused.get(stream).is_some_and(|expected| seen.len() > *expected);
                rests_on_refused || seen.len() != self.log.get(stream).map_or(0, Vec::len)
            };
            let outcome = match seen.iter().find(differs) {
                _ if !keeps => Err(None),
                Some((stream, _)) => Err(Some(*stream)),
                None => Ok(()),
            };
            outcomes.push(outcome);
            let (changed, before) = &seen[0];
            if outcome.is_err() {
                let expected = refused.entry(*changed).or_insert(before.len());
                *expected = before.len().min(*expected);
                continue;
            }
            for (stream, seen) in seen {
                let log = self.log.get(stream).cloned().unwrap_or_default();
                assert_eq!(*seen, log, "a wrong belief is recorded");
            }
            self.log.entry(*changed).or_default().push(dependencies.number);
            self.kept += 1;
        }
        sent.outcomes = Some(outcomes);
    }

    fn answer(&mut self) {
        let Some(sent) = self.sent.pop_front_if(|sent| sent.outcomes.is_some()) else { return };
        self.last_answered = sent.last;
        for ((dependencies, _), outcome) in sent.items.iter().zip(sent.outcomes.unwrap_or_default()) {
            match outcome {
                Ok(()) => self.in_flight.succeed(dependencies),
                Err(stream) => self.in_flight.fail(dependencies, stream.map(Self::belief)),
            }
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Decide(streams) => self.decide(streams),
            Step::Send => self.send(),
            Step::Reach { behind, keeps } => self.reach(usize::from(*behind), *keeps),
            Step::Answer => self.answer(),
            Step::Foreign(stream) => {
                self.foreign += 1;
                self.log.entry(*stream).or_default().push(1_000_000 + self.foreign);
            }
        }
    }

    /// Until nothing is in flight.
    fn finish(&mut self) {
        while !self.queue.is_empty() || !self.sent.is_empty() {
            self.send();
            self.reach(0, true);
            self.answer();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_command_that_rests_on_what_did_not_happen_is_recorded_and_none_waits_for_ever(steps in vec(step(), 1..120)) {
        let mut model = Model::default();
        steps.iter().for_each(|step| model.take(step));
        model.finish();
        // Whatever happened, a command over all streams gets through: at most one attempt per stream that is not as believed.
        let kept = model.kept;
        for _ in 0..=5 {
            model.decide(&[0, 1, 2, 3, 4]);
            model.finish();
        }
        prop_assert!(model.kept > kept, "nothing is recorded any more");
        prop_assert!(model.in_flight.inner().changing.is_empty());
    }
}
