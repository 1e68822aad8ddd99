//! The sealed values of the log about one subject: detached once their keys are destroyed, and tried afterwards.

use rollcall_projections::audit_trail;
use rollcall_schemas::ids::{AppId, EventId, SubjectRef};
use rollcall_schemas::personal::{Class, DestroyedKey, Header, Sealed};
use uuid::Uuid;

use super::Error;
use crate::engine::{self, Engine, journal};
use crate::eventlog::RawEvent;
use crate::privacy::{self, Vault};

const PAGE: u32 = 512;

/// Sealed values of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Events that hold some of them.
    pub events: u32,
    /// Values.
    pub values: u32,
}

impl Counted {
    fn add(&mut self, values: usize) {
        self.events += u32::from(values > 0);
        self.values += u32::try_from(values).unwrap_or(u32::MAX);
    }
}

/// What was tried.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tried {
    /// Values.
    pub(super) values: u32,
    /// Those of them that opened.
    pub(super) opened: u32,
}

/// The next events that concern a subject, after a position; none: there are no more.
async fn events_about(engine: &Engine, subject: SubjectRef, after: u64) -> Result<Vec<RawEvent>, Error> {
    let positions = audit_trail::positions_about(engine.read(), subject, after, PAGE).await?;
    Ok(engine.log().read_at(&positions).await?)
}

/// Detaches the ciphertexts that these keys of a subject sealed from the events that hold them; the events stay.
/// Counts what the keys sealed, also where it was detached before.
pub(super) async fn detach(engine: &Engine, subject: SubjectRef, keys: &[DestroyedKey]) -> Result<Counted, Error> {
    let erased = |sealed: &Sealed| {
        let by = |key: &DestroyedKey| (key.epoch, key.class) == (sealed.epoch, sealed.class);
        sealed.subject == subject && keys.iter().any(by)
    };
    let (mut counted, mut after) = (Counted::default(), 0);
    loop {
        let events = events_about(engine, subject, after).await?;
        let Some(last) = events.last() else { return Ok(counted) };
        after = last.position;
        let mut remaining = Vec::new();
        for raw in &events {
            let values = journal::sealed_values(raw)?.iter().filter(|(_, sealed)| erased(sealed)).count();
            if values == 0 {
                continue;
            }
            counted.add(values);
            if let Some(left) = journal::detach(raw, &erased)? {
                remaining.push((raw.position, left.map(Into::into)));
            }
        }
        if !remaining.is_empty() {
            engine.log().detach(remaining).await?;
        }
    }
}

/// Counts the values of a class about a subject that are still attached.
pub(super) async fn count(engine: &Engine, subject: SubjectRef, class: Class) -> Result<Counted, Error> {
    let (mut counted, mut after) = (Counted::default(), 0);
    loop {
        let events = events_about(engine, subject, after).await?;
        let Some(last) = events.last() else { return Ok(counted) };
        after = last.position;
        for raw in &events {
            let attached = |(_, sealed): &&(Header, Sealed)| {
                (sealed.subject, sealed.class) == (subject, class) && sealed.ciphertext.is_some()
            };
            counted.add(journal::sealed_values(raw)?.iter().filter(attached).count());
        }
    }
}

/// Tries to open every value of these classes about a subject.
pub(super) async fn try_to_open(engine: &Engine, subject: SubjectRef, classes: &[Class]) -> Result<Tried, Error> {
    let (mut tried, mut after) = (Tried::default(), 0);
    loop {
        let events = events_about(engine, subject, after).await?;
        let Some(last) = events.last() else { return Ok(tried) };
        after = last.position;
        for raw in &events {
            for (header, sealed) in journal::sealed_values(raw)? {
                if sealed.subject != subject || !classes.contains(&sealed.class) {
                    continue;
                }
                tried.values += 1;
                match engine.vault().open(&header, &sealed) {
                    // What is damaged does not open, but its key is still there.
                    Ok(_) | Err(privacy::Error::Tampered(_)) => tried.opened += 1,
                    Err(privacy::Error::Erased) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

/// Whether a value that nobody erased opens: without it, a vault that opens nothing at all would verify everything.
pub(super) async fn control_opens(vault: &dyn Vault) -> Result<bool, Error> {
    const VALUE: &[u8] = b"\"control\"";
    let app: AppId = "control".parse().map_err(|_| engine::Error::Unavailable("no control value".into()))?;
    let header = Header {
        app,
        stream: "control".into(),
        event: EventId(Uuid::new_v4()),
        name: "control".into(),
        version: 1,
        path: "value".into(),
        subject: vault.allocate().await?,
        class: Class::Profile,
        epoch: 0,
    };
    let sealed = vault.seal(&header, VALUE)?;
    Ok(vault.open(&header, &sealed).is_ok_and(|opened| opened.as_slice() == VALUE))
}
