//! The typed log: seals and encodes events on their way in, decodes and attaches them on their way out.

use rollcall_schemas::envelope::{Metadata, Recorded};
use rollcall_schemas::ids::{AppId, EventId};
use rollcall_schemas::personal::{Header, Sealed};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{DecodeError, Event};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::{self, Misplaced, Snapshot, State};
use crate::eventlog::{NewEvent, RawEvent};
use crate::privacy::{self, Vault};

/// Why an event could not be sealed and encoded.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The subject's key is gone: the value must not be recorded.
    #[error(transparent)]
    Vault(#[from] privacy::Error),
    /// A value has no JSON form.
    #[error("an event cannot be encoded: {0}")]
    Json(#[from] serde_json::Error),
}

/// Why recorded bytes are not an event.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Name, version or shape are not known.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The envelope is not what this service writes.
    #[error("the envelope of an event is not readable: {0}")]
    Envelope(String),
    /// The event is of another aggregate than its stream.
    #[error("the log is corrupt at position {position}, revision {revision} of {stream}: {misplaced}")]
    Misplaced {
        /// The stream.
        stream: Stream,
        /// Its place in the stream.
        revision: u64,
        /// Its place in the log.
        position: u64,
        /// What stands where.
        misplaced: Misplaced,
    },
}

/// What a recorded event makes of the state of its stream.
///
/// # Errors
/// The state is of another aggregate.
pub fn evolve(state: &mut State, recorded: &Recorded<Event>) -> Result<(), ReadError> {
    let Recorded { stream, revision, position, .. } = recorded;
    let evolved = state.evolve(&recorded.event, recorded.recorded_at);
    evolved.map_err(|misplaced| ReadError::Misplaced {
        stream: stream.clone(),
        revision: *revision,
        position: *position,
        misplaced,
    })
}

#[derive(Serialize, Deserialize)]
struct Core<'c> {
    meta: Metadata,
    #[serde(borrow)]
    data: &'c RawValue,
}

/// Whose event it is.
#[derive(Deserialize)]
struct Owner<'c> {
    #[serde(borrow)]
    meta: OwnerMetadata<'c>,
}

#[derive(Deserialize)]
struct OwnerMetadata<'c> {
    app: &'c str,
}

/// The snapshot that an envelope may carry.
#[derive(Deserialize)]
struct EnvelopeSnapshot {
    #[serde(default)]
    snapshot: Option<Snapshot>,
}

/// What surrounds the events of one command, encoded once for all of them.
pub struct Envelope<'m> {
    metadata: &'m Metadata,
    json: Vec<u8>,
}

impl<'m> Envelope<'m> {
    /// Encodes metadata.
    ///
    /// # Errors
    /// They have no JSON form.
    pub fn of(metadata: &'m Metadata) -> Result<Self, SealError> {
        Ok(Self { metadata, json: serde_json::to_vec(metadata)? })
    }
}

/// Seals and encodes one event. `snapshot`: the state of its stream before it, where that is recorded with it.
///
/// # Errors
/// A key is gone or the vault is unavailable; nothing was recorded.
pub fn encode(
    vault: &dyn Vault,
    stream: &str,
    metadata: &Metadata,
    recorded_at: chrono::DateTime<chrono::Utc>,
    event: Event,
    snapshot: Option<&Snapshot>,
) -> Result<NewEvent, SealError> {
    seal(vault, stream, &Envelope::of(metadata)?, recorded_at, event, snapshot).map(|(new, _)| new)
}

/// As [`encode`]; answers the sealed event as well, which is what [`decode`] makes of the encoded one.
///
/// # Errors
/// As [`encode`].
pub fn seal(
    vault: &dyn Vault,
    stream: &str,
    envelope: &Envelope<'_>,
    recorded_at: chrono::DateTime<chrono::Utc>,
    mut event: Event,
    snapshot: Option<&Snapshot>,
) -> Result<(NewEvent, Event), SealError> {
    let id = Uuid::now_v7();
    let declaration = event.declaration();
    let mut blobs = Vec::new();
    let mut header: Option<Header> = None;
    event.each_personal::<SealError>(&mut |path, class, subject, slot| {
        let Some(plaintext) = slot.plaintext() else { return Ok(()) };
        let plaintext = zeroize::Zeroizing::new(plaintext?);
        let header = match &mut header {
            Some(header) if header.subject == subject => {
                path.clone_into(&mut header.path);
                header.class = class;
                header
            }
            header => header.insert(Header {
                app: envelope.metadata.app.clone(),
                stream: stream.to_owned(),
                event: EventId(id),
                name: declaration.name.to_owned(),
                version: declaration.version,
                path: path.to_owned(),
                subject,
                class,
                epoch: vault.epoch(subject)?.ok_or(privacy::Error::Erased)?,
            }),
        };
        let sealed = vault.seal(header, &plaintext)?;
        pack(&mut blobs, path, sealed.ciphertext.as_deref().unwrap_or_default());
        slot.seal(sealed);
        Ok(())
    })?;
    let data = event.encode()?;
    let mut core = Vec::with_capacity(envelope.json.len() + data.len() + 20);
    core.extend_from_slice(b"{\"meta\":");
    core.extend_from_slice(&envelope.json);
    core.extend_from_slice(b",\"data\":");
    core.extend_from_slice(&data);
    if let Some(snapshot) = snapshot {
        core.extend_from_slice(b",\"snapshot\":");
        core.extend_from_slice(&serde_json::to_vec(snapshot)?);
    }
    core.push(b'}');
    let new = NewEvent {
        id,
        name: declaration.name,
        version: declaration.version,
        recorded_at,
        core: core.into(),
        blobs: (!blobs.is_empty()).then(|| blobs.into()),
    };
    Ok((new, event))
}

/// Decodes one event; what is still attached is attached, nothing is opened.
///
/// # Errors
/// The bytes are not an event this version knows, or it stands in a stream of another aggregate.
pub fn decode(raw: &RawEvent) -> Result<Recorded<Event>, ReadError> {
    decode_core(raw, core(raw)?)
}

/// Decodes an event of one app; `None`: it is another app's.
///
/// # Errors
/// As [`decode`].
pub fn decode_of(app: &AppId, raw: &RawEvent) -> Result<Option<Recorded<Event>>, ReadError> {
    let core = core(raw)?;
    if core.meta.app == *app { decode_core(raw, core).map(Some) } else { Ok(None) }
}

fn core(raw: &RawEvent) -> Result<Core<'_>, ReadError> {
    serde_json::from_slice(&raw.core).map_err(|e| ReadError::Envelope(e.to_string()))
}

fn decode_core(raw: &RawEvent, core: Core<'_>) -> Result<Recorded<Event>, ReadError> {
    let mut event = Event::decode(&raw.name, raw.version, core.data.get().as_bytes())?;
    let blobs = unpack(raw.blobs.as_deref().unwrap_or_default())?;
    event.each_personal::<ReadError>(&mut |path, _, _, slot| {
        if let Some(sealed) = slot.sealed() {
            sealed.ciphertext = blobs.iter().find(|(at, _)| *at == path).map(|(_, bytes)| bytes.to_vec());
        }
        Ok(())
    })?;
    let stream: Stream =
        raw.stream.parse().map_err(|e: rollcall_schemas::ids::Malformed| ReadError::Envelope(e.to_string()))?;
    let (position, revision) = (raw.position, raw.revision);
    if let Err(misplaced) = domain::belongs(&event, &stream) {
        return Err(ReadError::Misplaced { stream, revision, position, misplaced });
    }
    let declaration = event.declaration();
    Ok(Recorded {
        position,
        stream,
        revision,
        id: EventId(raw.id),
        recorded_at: raw.recorded_at,
        metadata: core.meta,
        name: declaration.name,
        version: declaration.version,
        event,
    })
}

/// The app that an event belongs to: what can be told of it without decoding the rest.
///
/// # Errors
/// The bytes are not what this service writes.
pub fn app(raw: &RawEvent) -> Result<&str, ReadError> {
    let owner: Owner<'_> = serde_json::from_slice(&raw.core).map_err(|e| ReadError::Envelope(e.to_string()))?;
    Ok(owner.meta.app)
}

/// The state of its stream before an event, where it was recorded with it.
///
/// # Errors
/// The bytes are not what this service writes.
pub fn snapshot(raw: &RawEvent) -> Result<Option<Snapshot>, ReadError> {
    let envelope: EnvelopeSnapshot =
        serde_json::from_slice(&raw.core).map_err(|e| ReadError::Envelope(e.to_string()))?;
    Ok(envelope.snapshot)
}

/// The sealed values of an event, each with the header it was sealed under; what is still attached is attached.
///
/// # Errors
/// The bytes are not an event this version knows.
pub fn sealed_values(raw: &RawEvent) -> Result<Vec<(Header, Sealed)>, ReadError> {
    let mut recorded = decode(raw)?;
    let mut values = Vec::new();
    recorded.event.each_personal::<ReadError>(&mut |path, class, subject, slot| {
        let Some(sealed) = slot.sealed() else { return Ok(()) };
        let header = Header {
            app: recorded.metadata.app.clone(),
            stream: raw.stream.to_string(),
            event: recorded.id,
            name: raw.name.to_string(),
            version: raw.version,
            path: path.to_owned(),
            subject,
            class,
            epoch: sealed.epoch,
        };
        values.push((header, sealed.clone()));
        Ok(())
    })?;
    Ok(values)
}

/// What is left of an event's blobs once those that `erased` names are detached; `None`: it has none of them.
///
/// # Errors
/// The bytes are not an event this version knows.
#[allow(clippy::option_option)] // Unchanged, or replaced by what is left, which may be nothing.
pub fn detach(raw: &RawEvent, erased: &dyn Fn(&Sealed) -> bool) -> Result<Option<Option<Vec<u8>>>, ReadError> {
    let mut recorded = decode(raw)?;
    let mut left = Vec::new();
    let mut changed = false;
    recorded.event.each_personal::<ReadError>(&mut |path, _, _, slot| {
        let Some(sealed) = slot.sealed() else { return Ok(()) };
        if let Some(ciphertext) = &sealed.ciphertext {
            if erased(sealed) {
                changed = true;
            } else {
                pack(&mut left, path, ciphertext);
            }
        }
        Ok(())
    })?;
    Ok(changed.then(|| (!left.is_empty()).then_some(left)))
}

fn pack(out: &mut Vec<u8>, path: &str, bytes: &[u8]) {
    // Paths are field names, ciphertexts at most a few KiB: both far below what their lengths can say.
    out.extend_from_slice(&u16::try_from(path.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn unpack(mut rest: &[u8]) -> Result<Vec<(&str, &[u8])>, ReadError> {
    let cut = || ReadError::Envelope("its ciphertexts are cut short".into());
    let mut blobs = Vec::new();
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<2>().ok_or_else(cut)?;
        let (path, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or_else(cut)?;
        let (length, tail) = tail.split_first_chunk::<4>().ok_or_else(cut)?;
        let (bytes, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(cut)?;
        blobs.push((std::str::from_utf8(path).map_err(|_| cut())?, bytes));
        rest = tail;
    }
    Ok(blobs)
}

#[cfg(test)]
mod tests;
