//! Presence of many nodes, in a `PostgreSQL` database that all of them reach.
//!
//! A node counts for as long as its lease lives, by the database's clock. It writes its connections in batches, in the name of
//! an *epoch*: one life of its lease. Where the lease has ended, or the tables were emptied by a crash of the server, or it is
//! not known whether a batch was written, the node begins another epoch and announces all its connections again. What was sent
//! for an epoch before counts for nothing from then on, however late it arrives.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_schemas::ids::SubjectRef;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::local::{CHANGES_MAX, Local};
use super::{Change, Connection, ConnectionId, Error, Presence, Sockets};
use crate::database::{self, Database};
use crate::live::reach::Reach;

mod clock;
mod tables;
mod timing;

use clock::Clock;
use tables::{Batch, NodeEpoch, Tables};
pub use timing::Timing;

/// Connections to the database: for beats, for batches, for questions.
const POOL_MAX: usize = 6;
/// Connections that are written at once.
const BATCH_MAX: usize = 1_000;
/// How long connections are collected before they are written.
const COLLECT: Duration = Duration::from_millis(30);
/// How long nothing is tried after a failure.
const PAUSE: Duration = Duration::from_millis(250);
/// Changes that are read at once.
const CHANGES_READ_MAX: i64 = 5_000;
/// Connections of a node that ended that are read at once.
const ENDED_READ_MAX: i64 = 1_000;

impl From<database::Error> for Error {
    fn from(error: database::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// The present epoch, and what is still to be written in it. Both change under one lock: what was taken to be written in an
/// epoch before is noted again by the next one.
struct Writing {
    /// 0: none was begun.
    epoch: NodeEpoch,
    /// An epoch before still counts, until all is written in this one.
    follows_another: bool,
    unwritten: Unwritten,
}

/// What is still to be written.
#[derive(Default)]
struct Unwritten {
    /// Connections that were announced or are gone, whose they are, and whether that is a change that others are told.
    connections: HashMap<ConnectionId, (SubjectRef, bool)>,
    /// What else others are told.
    changes: HashSet<Change>,
}

impl Unwritten {
    fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.changes.is_empty()
    }

    fn note(&mut self, id: ConnectionId, subject: SubjectRef, is_change: bool) {
        let (_, told) = self.connections.entry(id).or_insert((subject, false));
        *told |= is_change;
    }

    fn take(&mut self, max: usize) -> Self {
        if self.connections.len() <= max && self.changes.len() <= max {
            return std::mem::take(self);
        }
        let ids: Vec<_> = self.connections.keys().take(max).copied().collect();
        let changes: Vec<_> = self.changes.iter().take(max).copied().collect();
        Self {
            connections: ids.iter().filter_map(|id| self.connections.remove_entry(id)).collect(),
            changes: changes.into_iter().filter(|change| self.changes.remove(change)).collect(),
        }
    }

    fn put_back(&mut self, taken: Self) {
        for (id, (subject, is_change)) in taken.connections {
            self.note(id, subject, is_change);
        }
        self.changes.extend(taken.changes);
    }
}

/// What is known of the others, to tell their changes.
#[derive(Default)]
struct Heard {
    /// The own epoch as of then: a later one may mean that the tables were emptied.
    epoch: i64,
    /// The number up to which all changes were read; `None`: nothing was read yet.
    settled: Option<i64>,
    /// Numbers above it that were read.
    seen: BTreeSet<i64>,
    /// The other nodes that lived when this was last asked.
    living: HashSet<NodeEpoch>,
    asked: Option<Instant>,
    /// Nodes that have ended, and the last of their connections that was read.
    ended: Vec<(NodeEpoch, Uuid)>,
}

/// Presence in a database.
pub struct Postgres {
    tables: Tables,
    timing: Timing,
    local: Local,
    writing: Mutex<Writing>,
    to_write: Notify,
    /// Another epoch has to begin.
    begins_again: AtomicBool,
    beats_now: Notify,
    /// When the last beat began that was answered.
    last_beat: Mutex<Instant>,
    clock: Clock,
    cut_off: AtomicBool,
    heard: tokio::sync::Mutex<Heard>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is locked is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Postgres {
    /// Opens presence in a database, making the tables where they are missing. Its connections live on the runtime this is
    /// called on.
    ///
    /// # Errors
    /// The database is unavailable, or the tables cannot be made.
    pub async fn open(database: &Database, timing: Timing) -> Result<Self, database::Error> {
        Ok(Self {
            tables: Tables(Reach::open(database, POOL_MAX, timing.answer_max()).await?),
            timing,
            local: Local::default(),
            writing: Mutex::new(Writing {
                epoch: NodeEpoch { node: Uuid::new_v4(), epoch: 0 },
                follows_another: false,
                unwritten: Unwritten::default(),
            }),
            to_write: Notify::new(),
            begins_again: AtomicBool::new(true),
            beats_now: Notify::new(),
            last_beat: Mutex::new(Instant::now()),
            clock: Clock::default(),
            cut_off: AtomicBool::new(false),
            heard: tokio::sync::Mutex::default(),
        })
    }

    fn epoch(&self) -> NodeEpoch {
        locked(&self.writing).epoch
    }

    fn note_changed(&self, connection: Connection) {
        locked(&self.writing).unwritten.note(connection.id, connection.subject, true);
        self.to_write.notify_one();
    }

    /// Renews the lease, or begins another epoch where that must be.
    async fn beat(&self) -> Result<(), Error> {
        let (began, epoch) = (Instant::now(), self.epoch());
        let is_whole = !self.begins_again.load(Ordering::Acquire) && !self.is_cut_off();
        if !is_whole || !self.tables.renew(epoch, self.timing.lease).await? {
            self.begin_epoch(epoch).await?;
        }
        *locked(&self.last_beat) = began;
        if self.cut_off.swap(false, Ordering::AcqRel) {
            tracing::info!("this node is not cut off any more");
        }
        Ok(())
    }

    /// Begins another epoch and notes that all connections are to be announced.
    async fn begin_epoch(&self, before: NodeEpoch) -> Result<(), Error> {
        // What fails to be written from here on is not overlooked.
        self.begins_again.store(false, Ordering::Release);
        let begun = self.tables.begin(before, self.timing.lease).await;
        let next = begun.inspect_err(|_| self.begins_again.store(true, Ordering::Release))?;
        // The tables may have been emptied, and with them what the nodes told each other: it is told once more.
        let tell_again = before.epoch > 0;
        let mut writing = locked(&self.writing);
        writing.epoch = next;
        writing.follows_another = true;
        for connection in self.local.all() {
            writing.unwritten.note(connection.id, connection.subject, tell_again);
            if tell_again {
                self.local.note(Change { subject: connection.subject, to: None });
            }
        }
        drop(writing);
        self.to_write.notify_one();
        tracing::info!(epoch = next.epoch, "this node announces its connections");
        Ok(())
    }

    async fn keep_beating(&self, sockets: &dyn Sockets) {
        let (mut failed, mut beats) = (false, 0_u64);
        loop {
            // A process that was stopped for a while must not begin anew as if nothing had been.
            self.watch(sockets);
            let beaten = self.beat().await;
            if let (Err(error), false) = (&beaten, failed) {
                tracing::warn!(%error, "this node cannot tell the others that it lives");
            }
            failed = beaten.is_err();
            beats += 1;
            if !failed
                && beats.is_multiple_of(10)
                && let Err(error) = self.tables.sweep().await
            {
                tracing::debug!(%error, "what other nodes left behind is not swept for now");
            }
            tokio::select! {
                () = tokio::time::sleep(if failed { PAUSE } else { self.timing.beat() }) => {}
                () = self.beats_now.notified() => {}
            }
        }
    }

    /// Takes what is to be written next, and the epoch to write it in; `None`: there is nothing.
    fn take_batch(&self) -> Option<(NodeEpoch, Batch, Unwritten)> {
        let (epoch, taken) = {
            let mut writing = locked(&self.writing);
            (writing.epoch, writing.unwritten.take(BATCH_MAX))
        };
        if taken.is_empty() {
            return None;
        }
        let mut batch = Batch::default();
        let mut changes = taken.changes.clone();
        for (id, (subject, is_change)) in &taken.connections {
            match self.local.get(*id) {
                Some(connection) => batch.added.push(connection),
                None => batch.removed.push(*id),
            }
            if *is_change {
                changes.insert(Change { subject: *subject, to: None });
            }
        }
        batch.changes = changes.into_iter().collect();
        Some((epoch, batch, taken))
    }

    /// Writes all there is.
    async fn write(&self) -> Result<(), Error> {
        if self.epoch().epoch == 0 {
            return Err(Error::Unavailable("this node has no lease yet".into()));
        }
        while let Some((epoch, batch, taken)) = self.take_batch() {
            let written = match self.tables.write(epoch, &batch).await {
                Ok(false) => Err(Error::Unavailable("the lease of this node has ended".into())),
                written => written.map(drop),
            };
            if written.is_err() {
                let mut writing = locked(&self.writing);
                writing.unwritten.put_back(taken);
                // Whether it was written is not known, or nothing counts any more: what is sent late must not count either.
                // Where another epoch has begun meanwhile, it is one.
                if writing.epoch == epoch {
                    self.begins_again.store(true, Ordering::Release);
                    self.beats_now.notify_one();
                }
                return written;
            }
        }
        self.end_epochs_before().await
    }

    /// Ends the epochs before, once all is written in the present one.
    async fn end_epochs_before(&self) -> Result<(), Error> {
        let epoch = {
            let writing = locked(&self.writing);
            if !writing.follows_another || !writing.unwritten.is_empty() {
                return Ok(());
            }
            writing.epoch
        };
        self.tables.end_before(epoch).await?;
        let mut writing = locked(&self.writing);
        if writing.epoch == epoch {
            writing.follows_another = false;
        }
        Ok(())
    }

    async fn keep_writing(&self) {
        let mut failed = false;
        loop {
            self.to_write.notified().await;
            tokio::time::sleep(COLLECT).await;
            let written = self.write().await;
            if let (Err(error), false) = (&written, failed) {
                tracing::warn!(%error, "who is connected to this node cannot be written for now");
            }
            failed = written.is_err();
            if failed {
                tokio::time::sleep(PAUSE).await;
                self.to_write.notify_one();
            }
        }
    }

    /// Tells the sockets when this node is cut off.
    async fn keep_watching(&self, sockets: &dyn Sockets) {
        loop {
            tokio::time::sleep(self.timing.watch()).await;
            self.watch(sockets);
        }
    }

    fn watch(&self, sockets: &dyn Sockets) {
        let age = locked(&self.last_beat).elapsed();
        if self.timing.is_cut_off(age) && !self.cut_off.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                seconds = age.as_secs(),
                "this node could not tell the others that it lives for too long; it closes its sockets"
            );
            sockets.close_all();
        }
    }

    /// What others wrote since the last call, and the users of nodes that ended. What was found before a failure is in `found`.
    async fn changes_of_others(&self, heard: &mut Heard, found: &mut HashSet<Change>) -> Result<(), Error> {
        let own = self.epoch();
        let settled = match heard.settled {
            Some(settled) if heard.epoch == own.epoch => settled,
            settled => {
                let last = self.tables.last_change().await?;
                heard.epoch = own.epoch;
                // Where the tables were emptied, the numbers begin again.
                if settled.is_some_and(|settled| last < settled) {
                    heard.seen.clear();
                }
                settled.map_or(last, |settled| if last < settled { 0 } else { settled })
            }
        };
        let changes = self.tables.changes(settled, CHANGES_READ_MAX).await?;
        for (seq, node, change) in changes.found {
            if heard.seen.insert(seq) && node != own.node {
                found.insert(change);
            }
        }
        let settled = changes.settled.unwrap_or(settled);
        heard.settled = Some(settled);
        heard.seen = heard.seen.split_off(&(settled + 1));
        if heard.asked.is_none_or(|asked| asked.elapsed() >= self.timing.beat()) {
            let living = self.tables.living(own.node).await?;
            heard.ended.extend(heard.living.difference(&living).map(|ended| (*ended, Uuid::nil())));
            heard.living = living;
            heard.asked = Some(Instant::now());
        }
        if let Some((ended, after)) = heard.ended.last_mut() {
            let connections = self.tables.of_node(*ended, *after, ENDED_READ_MAX).await?;
            match connections.last() {
                Some((last, _)) => *after = *last,
                None => drop(heard.ended.pop()),
            }
            found.extend(connections.into_iter().map(|(_, subject)| Change { subject, to: None }));
        }
        Ok(())
    }
}

#[async_trait]
impl Presence for Postgres {
    fn announce(&self, connection: Connection) {
        if self.local.announce(connection) {
            self.note_changed(connection);
        }
    }

    fn gone(&self, id: ConnectionId) {
        if let Some(connection) = self.local.gone(id) {
            self.note_changed(connection);
        }
    }

    fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Acquire)
    }

    async fn shared_time(&self, own: DateTime<Utc>) -> DateTime<Utc> {
        self.clock.time(&self.tables, own).await
    }

    async fn connections(&self, subjects: &[SubjectRef]) -> Result<Vec<Vec<Connection>>, Error> {
        let mut elsewhere: HashMap<SubjectRef, Vec<Connection>> = HashMap::new();
        for connection in self.tables.connections(self.epoch().node, subjects).await? {
            elsewhere.entry(connection.subject).or_default().push(connection);
        }
        let here = self.local.connections(subjects);
        let all = subjects.iter().zip(here).map(|(subject, mut found)| {
            found.extend(elsewhere.get(subject).into_iter().flatten().copied());
            found
        });
        Ok(all.collect())
    }

    fn of_this_node(&self, subjects: &[SubjectRef]) -> Vec<SubjectRef> {
        self.local.has(subjects)
    }

    async fn nodes(&self) -> Result<(Uuid, Vec<Uuid>), Error> {
        let own = self.epoch().node;
        let mut others: Vec<_> = self.tables.living(own).await?.into_iter().map(|living| living.node).collect();
        others.sort_unstable();
        Ok((own, others))
    }

    fn tell(&self, change: Change) {
        self.local.note(change);
        let mut writing = locked(&self.writing);
        if writing.unwritten.changes.len() < CHANGES_MAX {
            writing.unwritten.changes.insert(change);
        }
        drop(writing);
        self.to_write.notify_one();
    }

    async fn changes(&self) -> Result<Vec<Change>, Error> {
        let mut heard = self.heard.lock().await;
        let mut found = self.local.take_changes();
        if let Err(error) = self.changes_of_others(&mut heard, &mut found).await {
            found.into_iter().for_each(|change| self.local.note(change));
            return Err(error);
        }
        Ok(found.into_iter().collect())
    }

    async fn keep(&self, sockets: Arc<dyn Sockets>, stop: CancellationToken) {
        tokio::select! {
            () = self.keep_beating(sockets.as_ref()) => {}
            () = self.keep_writing() => {}
            () = self.keep_watching(sockets.as_ref()) => {}
            () = stop.cancelled() => {}
        }
        let epoch = self.epoch();
        // It ends by itself where that fails.
        if let Err(error) = self.tables.end_before(NodeEpoch { epoch: epoch.epoch + 1, ..epoch }).await {
            tracing::debug!(%error, "the lease of this node ends by itself");
        }
    }
}
