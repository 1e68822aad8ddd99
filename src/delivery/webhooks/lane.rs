//! What one webhook has to be sent, in memory: a queue for each subject that is not told everything yet, and how far the
//! durable cursor may move.
//!
//! Every event up to the cursor is delivered, of no concern, or has a durable row. Deliveries about one subject are sent one
//! after the other, in the order of the log; subjects do not wait for each other.

use std::collections::{BTreeSet, HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::store::{Delivery, Progress, State};

/// Most deliveries that a webhook holds in memory, rows included; it reads no further until there are fewer.
pub(super) const QUEUED_MAX: usize = 10_000;
/// Most of them that have no row: what a crash sends once more.
const UNSETTLED_MAX: usize = 1_024;
/// How often a delivery is chosen that is first, for each one that is tried again.
const FIRST_ONES: u32 = 4;

/// What deliveries are in order of: a subject, or the app itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key(pub(super) Uuid);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    /// It may be sent.
    Ready,
    InFlight,
    /// It is tried again then.
    Held(DateTime<Utc>),
}

#[derive(Debug)]
struct Item {
    position: u64,
    has_row: bool,
}

#[derive(Debug)]
struct Queue {
    items: VecDeque<Item>,
    status: Status,
    /// How often the first item was tried.
    attempts: u32,
}

/// A delivery to be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) key: Key,
    pub(super) position: u64,
    /// Which attempt it is, from 1.
    pub(super) attempt: u32,
}

/// Why the first delivery about a subject was not acknowledged, and when it is tried again.
#[derive(Debug, Clone)]
pub(super) struct Missed {
    pub(super) status: Option<u16>,
    pub(super) reason: String,
    /// `None`: it is given up.
    pub(super) next_at: Option<DateTime<Utc>>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lane {
    scanned: u64,
    queues: HashMap<Key, Queue>,
    queued: usize,
    /// Subjects of which something may be sent for the first time, and again.
    first: VecDeque<Key>,
    again: VecDeque<Key>,
    chosen: u32,
    held: BTreeSet<(DateTime<Utc>, Key)>,
    /// Positions behind the cursor that have neither a row nor an acknowledgement.
    unsettled: BTreeSet<u64>,
    /// Positions behind the cursor at the start whose deliveries were given up.
    given_up: BTreeSet<u64>,
    upserts: Vec<Delivery>,
    deletes: Vec<u64>,
}

impl Lane {
    /// Begins behind a cursor, with the rows that are there.
    pub(super) fn new(cursor: u64, rows: Vec<Delivery>) -> Self {
        let mut lane = Self { scanned: cursor, ..Self::default() };
        let (given_up, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.state == State::Dead);
        lane.given_up = given_up.iter().map(|row| row.position).filter(|position| *position > cursor).collect();
        lane.adopt(rows);
        lane
    }

    /// Adds rows that are in the store; those that are here already change nothing.
    pub(super) fn adopt(&mut self, rows: Vec<Delivery>) {
        for row in rows {
            let key = Key(row.subject);
            if row.state == State::Replay {
                self.upserts.push(Delivery::waiting(row.position, row.subject));
            }
            let item = Item { position: row.position, has_row: true };
            let Some(queue) = self.queues.get_mut(&key) else {
                let status = row.next_at.map_or(Status::Ready, Status::Held);
                let queue = Queue { items: [item].into(), status, attempts: row.attempts };
                self.queues.insert(key, queue);
                self.queued += 1;
                match row.next_at {
                    Some(at) => drop(self.held.insert((at, key))),
                    None => self.first.push_back(key),
                }
                continue;
            };
            let place = queue.items.partition_point(|there| there.position < item.position);
            if let Some(there) = queue.items.get_mut(place).filter(|there| there.position == item.position) {
                there.has_row = true;
                self.unsettled.remove(&item.position);
                continue;
            }
            // What is on its way stays the first one.
            let place = if place == 0 && queue.status == Status::InFlight { 1 } else { place };
            if place == 0 {
                queue.attempts = 0;
            }
            queue.items.insert(place, item);
            self.queued += 1;
        }
    }

    /// How far the log was read.
    pub(super) fn scanned(&self) -> u64 {
        self.scanned
    }

    /// Up to where every event is delivered, of no concern, or has a row once the changes are stored.
    pub(super) fn cursor(&self) -> u64 {
        self.unsettled.first().map_or(self.scanned, |first| first.saturating_sub(1))
    }

    /// Whether more of the log may be read.
    pub(super) fn has_room(&self) -> bool {
        self.queued < QUEUED_MAX && self.unsettled.len() < UNSETTLED_MAX
    }

    /// The next event of the log: `key` where it is to be delivered.
    pub(super) fn read(&mut self, position: u64, key: Option<Key>) {
        self.scanned = self.scanned.max(position);
        let Some(key) = key.filter(|_| !self.given_up.contains(&position)) else { return };
        let Some(queue) = self.queues.get_mut(&key) else {
            let items = [Item { position, has_row: false }].into();
            self.queues.insert(key, Queue { items, status: Status::Ready, attempts: 0 });
            self.queued += 1;
            self.unsettled.insert(position);
            self.first.push_back(key);
            return;
        };
        // After a crash, rows are there of events that are read again.
        let place = queue.items.partition_point(|there| there.position < position);
        if queue.items.get(place).is_some_and(|there| there.position == position) {
            return;
        }
        let place = if place == 0 && queue.status == Status::InFlight { 1 } else { place };
        // Never a row while an earlier delivery has none: after a crash the later one would be sent first. So rows are those
        // of the first items, and the item before tells.
        let follows_rows =
            place.checked_sub(1).and_then(|before| queue.items.get(before)).is_none_or(|item| item.has_row);
        let has_row = follows_rows && matches!(queue.status, Status::Held(_));
        queue.items.insert(place, Item { position, has_row });
        self.queued += 1;
        if has_row {
            self.upserts.push(Delivery::waiting(position, key.0));
        } else {
            self.unsettled.insert(position);
        }
    }

    /// The next delivery that may be sent, which is then on its way.
    pub(super) fn next(&mut self, now: DateTime<Utc>) -> Option<Next> {
        while let Some(due) = self.held.first().copied().filter(|(at, _)| *at <= now) {
            self.held.remove(&due);
            if let Some(queue) = self.queues.get_mut(&due.1) {
                queue.status = Status::Ready;
                self.again.push_back(due.1);
            }
        }
        self.chosen = self.chosen.wrapping_add(1);
        let again_first = self.chosen.is_multiple_of(FIRST_ONES + 1);
        let key = if again_first {
            self.again.pop_front().or_else(|| self.first.pop_front())
        } else {
            self.first.pop_front().or_else(|| self.again.pop_front())
        }?;
        let queue = self.queues.get_mut(&key)?;
        let position = queue.items.front()?.position;
        queue.status = Status::InFlight;
        queue.attempts = queue.attempts.saturating_add(1);
        Some(Next { key, position, attempt: queue.attempts })
    }

    /// When something is tried again next.
    pub(super) fn due_at(&self) -> Option<DateTime<Utc>> {
        self.held.first().map(|(at, _)| *at)
    }

    /// Whether something may be sent at once.
    pub(super) fn is_ready(&self) -> bool {
        !self.first.is_empty() || !self.again.is_empty()
    }

    /// What was on its way is acknowledged, or is of no concern any more.
    pub(super) fn settled(&mut self, key: Key) {
        if let Some(item) = self.finish(key)
            && item.has_row
        {
            self.deletes.push(item.position);
        }
    }

    /// Ends the first item of a queue, and lets the next one be sent.
    fn finish(&mut self, key: Key) -> Option<Item> {
        let queue = self.queues.get_mut(&key)?;
        let item = queue.items.pop_front()?;
        self.queued = self.queued.saturating_sub(1);
        self.unsettled.remove(&item.position);
        if queue.items.is_empty() {
            self.queues.remove(&key);
        } else {
            queue.status = Status::Ready;
            queue.attempts = 0;
            self.first.push_back(key);
        }
        Some(item)
    }

    /// What was on its way is not acknowledged: it is tried again later, and what follows about the same subject waits; or it
    /// is given up, and what follows is sent.
    pub(super) fn missed(&mut self, key: Key, missed: Missed) {
        let Missed { status, reason, next_at } = missed;
        let Some(queue) = self.queues.get_mut(&key) else { return };
        let attempts = queue.attempts;
        let row = |position, state| Delivery { position, subject: key.0, state, attempts, next_at, status, reason };
        let Some(at) = next_at else {
            if let Some(item) = self.finish(key) {
                self.upserts.push(row(item.position, State::Dead));
            }
            return;
        };
        queue.status = Status::Held(at);
        self.held.insert((at, key));
        for (place, item) in queue.items.iter_mut().enumerate() {
            if place > 0 && !item.has_row {
                self.upserts.push(Delivery::waiting(item.position, key.0));
            }
            item.has_row = true;
            self.unsettled.remove(&item.position);
        }
        if let Some(first) = queue.items.front() {
            self.upserts.push(row(first.position, State::Waiting));
        }
    }

    /// What was on its way could not be sent for a reason of our own; that is no attempt.
    pub(super) fn postpone(&mut self, key: Key, at: DateTime<Utc>) {
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.status = Status::Held(at);
            queue.attempts = queue.attempts.saturating_sub(1);
            self.held.insert((at, key));
        }
    }

    /// The clock was put back by so much: what waits does not wait longer for that. Stored times stay as they are until the next
    /// attempt.
    pub(super) fn turn_back(&mut self, by: TimeDelta) {
        self.held = std::mem::take(&mut self.held).into_iter().map(|(at, key)| (at - by, key)).collect();
        for (at, key) in &self.held {
            if let Some(queue) = self.queues.get_mut(key) {
                queue.status = Status::Held(*at);
            }
        }
    }

    /// What is to be stored in one transaction.
    pub(super) fn take_progress(&mut self) -> Progress {
        Progress {
            cursor: self.cursor(),
            upserts: std::mem::take(&mut self.upserts),
            deletes: std::mem::take(&mut self.deletes),
        }
    }

    /// Takes back what could not be stored.
    pub(super) fn restore(&mut self, progress: Progress) {
        // Older rows first: a newer one of the same position replaces it.
        let newer = std::mem::replace(&mut self.upserts, progress.upserts);
        self.upserts.extend(newer);
        self.deletes.extend(progress.deletes);
    }

    /// Whether rows wait to be stored, and how many.
    pub(super) fn changes(&self) -> usize {
        self.upserts.len() + self.deletes.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A store, a receiver, and a sender over them that may be killed at any moment.
    struct World {
        lane: Lane,
        log: Vec<u8>,
        cursor: u64,
        rows: BTreeMap<u64, Delivery>,
        received: Vec<u64>,
        in_flight: Vec<Next>,
        now: DateTime<Utc>,
    }

    #[derive(Debug, Clone)]
    enum Step {
        Append(u8),
        Read(u8),
        Send,
        Acknowledge(prop::sample::Index),
        /// The receiver has it, and the sender does not hear of it.
        Lose(prop::sample::Index),
        Miss(prop::sample::Index),
        Postpone(prop::sample::Index),
        Store,
        Kill,
        Wait,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0_u8..4).prop_map(Step::Append),
            3 => (1_u8..4).prop_map(Step::Read),
            4 => Just(Step::Send),
            4 => any::<prop::sample::Index>().prop_map(Step::Acknowledge),
            1 => any::<prop::sample::Index>().prop_map(Step::Lose),
            2 => any::<prop::sample::Index>().prop_map(Step::Miss),
            1 => any::<prop::sample::Index>().prop_map(Step::Postpone),
            2 => Just(Step::Store),
            1 => Just(Step::Kill),
            1 => Just(Step::Wait),
        ]
    }

    impl World {
        fn new() -> Self {
            Self {
                lane: Lane::default(),
                log: vec![],
                cursor: 0,
                rows: BTreeMap::new(),
                received: vec![],
                in_flight: vec![],
                now: DateTime::UNIX_EPOCH,
            }
        }

        fn store(&mut self) {
            let Progress { cursor, upserts, deletes } = self.lane.take_progress();
            self.cursor = self.cursor.max(cursor);
            self.rows.extend(upserts.into_iter().map(|row| (row.position, row)));
            deletes.iter().for_each(|position| drop(self.rows.remove(position)));
        }

        fn read(&mut self, count: u64) {
            let from = self.lane.scanned();
            for position in from + 1..=(from + count).min(self.log.len() as u64) {
                let subject = self.log[usize::try_from(position).unwrap() - 1];
                self.lane.read(position, (subject > 0).then(|| Key(Uuid::from_u128(subject.into()))));
            }
        }

        fn take(&mut self, index: prop::sample::Index) -> Option<Next> {
            (!self.in_flight.is_empty()).then(|| self.in_flight.remove(index.index(self.in_flight.len())))
        }

        fn apply(&mut self, step: Step) {
            match step {
                Step::Append(subject) => self.log.push(subject),
                Step::Read(count) => self.read(count.into()),
                Step::Send => self.in_flight.extend(self.lane.next(self.now)),
                Step::Acknowledge(index) => {
                    if let Some(next) = self.take(index) {
                        self.received.push(next.position);
                        self.lane.settled(next.key);
                    }
                }
                Step::Lose(index) | Step::Miss(index) => {
                    let is_lost = matches!(step, Step::Lose(_));
                    if let Some(next) = self.take(index) {
                        self.received.extend(is_lost.then_some(next.position));
                        let next_at = Some(self.now + TimeDelta::seconds(5));
                        self.lane.missed(next.key, Missed { status: None, reason: String::new(), next_at });
                    }
                }
                Step::Store => self.store(),
                Step::Postpone(index) => {
                    if let Some(next) = self.take(index) {
                        self.lane.postpone(next.key, self.now + TimeDelta::seconds(1));
                    }
                }
                Step::Kill => {
                    self.in_flight.clear();
                    self.lane = Lane::new(self.cursor, self.rows.values().cloned().collect());
                }
                Step::Wait => self.now += TimeDelta::seconds(10),
            }
        }
    }

    proptest! {
        #[test]
        fn every_event_is_received_in_the_order_of_its_subject_whenever_the_sender_is_killed(
            steps in prop::collection::vec(step(), 1..250),
        ) {
            let mut world = World::new();
            steps.into_iter().for_each(|step| world.apply(step));
            // From here on everything is acknowledged.
            loop {
                world.apply(Step::Wait);
                world.read(u64::MAX / 2);
                while let Some(next) = world.lane.next(world.now) {
                    world.in_flight.push(next);
                }
                let Some(next) = world.in_flight.pop() else { break };
                world.received.push(next.position);
                world.lane.settled(next.key);
            }
            world.store();
            prop_assert!(world.rows.is_empty(), "{:?}", world.rows);
            prop_assert_eq!(world.cursor, world.log.len() as u64);
            for subject in 1..4 {
                let of = |position: &u64| world.log[usize::try_from(*position).unwrap() - 1] == subject;
                let expected: Vec<u64> = (1..=world.log.len() as u64).filter(of).collect();
                // The first time each was received; what was sent again came between.
                let mut seen = Vec::new();
                for position in world.received.iter().filter(|position| of(position)) {
                    if !seen.contains(position) {
                        seen.push(*position);
                    }
                }
                prop_assert_eq!(seen, expected);
            }
        }
    }

    #[test]
    fn a_delivery_that_is_given_up_lets_the_next_one_about_its_subject_through() {
        let (mut lane, key) = (Lane::default(), Key(Uuid::from_u128(1)));
        lane.read(1, Some(key));
        lane.read(2, Some(key));
        assert_eq!(lane.next(DateTime::UNIX_EPOCH), Some(Next { key, position: 1, attempt: 1 }));
        assert_eq!(lane.next(DateTime::UNIX_EPOCH), None, "the second one waits for the first");
        lane.missed(key, Missed { status: Some(500), reason: "no".into(), next_at: None });
        assert_eq!(lane.next(DateTime::UNIX_EPOCH), Some(Next { key, position: 2, attempt: 1 }));
        let progress = lane.take_progress();
        assert_eq!((progress.cursor, progress.upserts.len(), progress.deletes.len()), (1, 1, 0));
        assert_eq!(progress.upserts[0].state, State::Dead);
    }

    #[test]
    fn what_waits_for_its_next_attempt_does_not_wait_longer_where_the_clock_is_put_back() {
        let (mut lane, now) = (Lane::default(), DateTime::UNIX_EPOCH);
        let keys = [1, 2].map(|number| Key(Uuid::from_u128(number)));
        for (position, key) in (1..).zip(keys) {
            lane.read(position, Some(key));
            lane.next(now).unwrap();
            let next_at = Some(now + TimeDelta::seconds(5 * i64::try_from(position).unwrap()));
            lane.missed(key, Missed { status: None, reason: String::new(), next_at });
        }
        let (back, year) = (now - TimeDelta::days(365), TimeDelta::days(365));
        lane.turn_back(year);
        assert_eq!(lane.due_at(), Some(back + TimeDelta::seconds(5)));
        assert_eq!(lane.next(back + TimeDelta::seconds(4)), None);
        assert_eq!(lane.next(back + TimeDelta::seconds(5)).map(|next| next.key), Some(keys[0]));
        assert_eq!(lane.next(back + TimeDelta::seconds(9)), None);
        assert_eq!(lane.next(back + TimeDelta::seconds(10)).map(|next| next.key), Some(keys[1]));
    }
}
