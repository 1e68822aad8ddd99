//! Finds the events of one app in a log that all apps share.
//!
//! The log has no index by app. What belongs to others is read and skipped, a bounded part of the log for each page. The
//! events of one subject are found by the audit trail, whatever lies between them.

use rollcall_projections::audit_trail;
use rollcall_schemas::Event;
use rollcall_schemas::envelope::Recorded;
use rollcall_schemas::ids::{AppId, SubjectRef};

use super::{Error, Filter, Selection};
use crate::engine::{Engine, journal};
use crate::eventlog::RawEvent;

/// Most events that are looked at for one page.
const LOOKED_AT_MAX: u64 = 20_000;
/// Most events of one read.
const READ_MAX: u64 = 2_000;
/// A page ends once its events have so many bytes in the log.
const BYTES_MAX: usize = 2 * 1024 * 1024;
/// Positions of a subject that are asked for together.
const POSITIONS: u32 = 500;

/// What was found.
pub(super) struct Found {
    pub(super) events: Vec<Recorded<Event>>,
    /// Up to where the log was looked at.
    pub(super) next: u64,
    /// Whether that was its end.
    pub(super) is_end: bool,
}

/// The events of an app after a position.
pub(super) async fn after(engine: &Engine, app: &AppId, after: u64, selection: &Selection) -> Result<Found, Error> {
    // Whoever was told that a command is recorded finds its events, through whichever node.
    let end = engine.log().latest().await?;
    if after > end {
        return Err(Error::Beyond);
    }
    let mut page = Collected { app, selection, events: vec![], bytes: 0 };
    let needs_read_models = selection.filter.subject.is_some() || selection.discloses_to.is_some();
    if needs_read_models {
        engine.applied_up_to(end).await?;
    }
    let next = match selection.filter.subject {
        Some(subject) => page.collect_along_trail(engine, subject, after, end).await?,
        None => page.collect(engine, after, end).await?,
    };
    Ok(Found { events: page.events, next, is_end: next >= end })
}

/// The events of a page so far.
struct Collected<'p> {
    app: &'p AppId,
    selection: &'p Selection,
    events: Vec<Recorded<Event>>,
    bytes: usize,
}

impl Collected<'_> {
    /// Adds an event that is wanted.
    fn look_at(&mut self, raw: &RawEvent) -> Result<(), journal::ReadError> {
        let filter: &Filter = &self.selection.filter;
        if !filter.wants_type(&raw.name, raw.version) {
            return Ok(());
        }
        let Some(recorded) = journal::decode_of(self.app, raw)? else { return Ok(()) };
        if filter.wants_subject(&recorded) {
            self.bytes += raw.core.len() + raw.blobs.as_ref().map_or(0, bytes::Bytes::len);
            self.events.push(recorded);
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.events.len() >= self.selection.limit || self.bytes >= BYTES_MAX
    }

    /// Looks at the log from a position on; answers up to where.
    async fn collect(&mut self, engine: &Engine, after: u64, end: u64) -> Result<u64, Error> {
        let until = end.min(after.saturating_add(LOOKED_AT_MAX));
        let (mut at, mut read) = (after, self.selection.limit as u64);
        while at < until {
            let limit = usize::try_from(read.min(READ_MAX).min(until - at)).unwrap_or(usize::MAX);
            let events = engine.log().read_all(at, limit).await?;
            if events.is_empty() {
                break;
            }
            for raw in &events {
                self.look_at(raw)?;
                at = raw.position;
                if self.is_full() {
                    return Ok(at);
                }
            }
            read *= 2;
        }
        Ok(at)
    }

    /// Looks at the events that concern a subject; the trail holds all up to `end`.
    async fn collect_along_trail(
        &mut self,
        engine: &Engine,
        subject: SubjectRef,
        after: u64,
        end: u64,
    ) -> Result<u64, Error> {
        let (mut at, mut looked_at) = (after, 0);
        while looked_at < LOOKED_AT_MAX {
            let mut positions = audit_trail::positions_about(engine.read(), subject, at, POSITIONS).await?;
            let is_last = positions.len() < POSITIONS as usize;
            positions.retain(|position| *position <= end);
            for raw in engine.events_at(&positions).await? {
                self.look_at(&raw)?;
                at = raw.position;
                if self.is_full() {
                    return Ok(at);
                }
            }
            if is_last || at >= end {
                return Ok(end);
            }
            looked_at += u64::from(POSITIONS);
        }
        Ok(at)
    }
}
