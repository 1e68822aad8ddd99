//! Personal data in events: always sealed before it is recorded, erased by destroying a key.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::envelope::Recorded;
use crate::ids::{AppId, EventId, SubjectRef};

pub use crate::words::Class;

impl Class {
    /// Stable number of the class in headers and key rows.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Profile => 0,
            Self::Identity => 1,
            Self::Moderation => 2,
            Self::Hold => 3,
        }
    }

    /// The class with that number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// A key that was destroyed. The commitment tells whether bytes that turn up later are that key; it tells nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestroyedKey {
    /// Which of the subject's keys.
    pub epoch: u32,
    /// Its class.
    pub class: Class,
    /// HKDF-SHA256 of the key with the info `rollcall key commitment`, as 64 hexadecimal digits.
    pub commitment: String,
}

/// A sealed value as an event carries it.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Class of the key.
    pub class: Class,
    /// Whose key.
    pub subject: SubjectRef,
    /// Which of the subject's keys: grows by one with each reactivation.
    pub epoch: u32,
    /// Commits to the key, so that a ciphertext opens under one key only.
    pub commitment: [u8; 32],
    /// SHA-256 of the ciphertext.
    pub digest: [u8; 32],
    /// The detachable ciphertext; `None` once it was detached.
    pub ciphertext: Option<Vec<u8>>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({:?} of {}, epoch {})", self.class, self.subject, self.epoch)
    }
}

/// A personal value. Nothing prints or serialises it in the clear.
#[derive(Clone, PartialEq, Eq)]
pub enum Personal<T> {
    /// As recorded.
    Sealed(Sealed),
    /// In the clear, in memory only: on its way to be sealed, or opened for an answer.
    Present(T),
    /// The key is gone.
    Erased,
}

impl<T> Personal<T> {
    /// The value, where it is in the clear.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Sealed(_) | Self::Erased => None,
        }
    }
}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sealed(_) => "Personal(sealed)",
            Self::Present(_) => "Personal(present)",
            Self::Erased => "Personal(erased)",
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Core {
    class: Class,
    subject: SubjectRef,
    epoch: u32,
    #[serde(with = "hex32")]
    commitment: [u8; 32],
    #[serde(with = "hex32")]
    sha256: [u8; 32],
}

impl<T> Serialize for Personal<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Sealed(s) => {
                Core { class: s.class, subject: s.subject, epoch: s.epoch, commitment: s.commitment, sha256: s.digest }
                    .serialize(serializer)
            }
            Self::Present(_) | Self::Erased => {
                Err(serde::ser::Error::custom("a personal value must be sealed before it is recorded"))
            }
        }
    }
}

impl<'de, T> Deserialize<'de> for Personal<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let core = Core::deserialize(deserializer)?;
        Ok(Self::Sealed(Sealed {
            class: core.class,
            subject: core.subject,
            epoch: core.epoch,
            commitment: core.commitment,
            digest: core.sha256,
            ciphertext: None,
        }))
    }
}

/// One personal value without its type: what sealing, attaching and opening need.
pub trait Slot {
    /// The value in the clear as JSON, where it is present.
    ///
    /// # Errors
    /// The value has no JSON form.
    fn plaintext(&self) -> Option<Result<Vec<u8>, serde_json::Error>>;
    /// The sealed form, where it is sealed.
    fn sealed(&mut self) -> Option<&mut Sealed>;
    /// Replaces the value by its sealed form.
    fn seal(&mut self, sealed: Sealed);
    /// Replaces the sealed form by the opened JSON.
    ///
    /// # Errors
    /// The JSON is not of the value's type.
    fn open(&mut self, plaintext: &[u8]) -> Result<(), serde_json::Error>;
    /// Marks the value as erased.
    fn erase(&mut self);
}

impl<T: Serialize + DeserializeOwned> Slot for Personal<T> {
    fn plaintext(&self) -> Option<Result<Vec<u8>, serde_json::Error>> {
        self.present().map(serde_json::to_vec)
    }
    fn sealed(&mut self) -> Option<&mut Sealed> {
        match self {
            Self::Sealed(sealed) => Some(sealed),
            Self::Present(_) | Self::Erased => None,
        }
    }
    fn seal(&mut self, sealed: Sealed) {
        *self = Self::Sealed(sealed);
    }
    fn open(&mut self, plaintext: &[u8]) -> Result<(), serde_json::Error> {
        *self = Self::Present(serde_json::from_slice(plaintext)?);
        Ok(())
    }
    fn erase(&mut self) {
        *self = Self::Erased;
    }
}

/// Called with the path, class, subject and slot of each personal value of an event.
pub type Visit<'v, E> = dyn FnMut(&str, Class, SubjectRef, &mut dyn Slot) -> Result<(), E> + 'v;

/// A field that holds personal values: one, perhaps one, or one per key.
pub trait PersonalField {
    /// Visits each value; the path of a keyed value is `<field>.<key>`.
    ///
    /// # Errors
    /// What the visitor returns.
    fn each<E>(&mut self, path: &str, class: Class, subject: SubjectRef, visit: &mut Visit<'_, E>) -> Result<(), E>;
}

impl<T: Serialize + DeserializeOwned> PersonalField for Personal<T> {
    fn each<E>(&mut self, path: &str, class: Class, subject: SubjectRef, visit: &mut Visit<'_, E>) -> Result<(), E> {
        visit(path, class, subject, self)
    }
}

impl<F: PersonalField> PersonalField for Option<F> {
    fn each<E>(&mut self, path: &str, class: Class, subject: SubjectRef, visit: &mut Visit<'_, E>) -> Result<(), E> {
        self.as_mut().map_or(Ok(()), |field| field.each(path, class, subject, visit))
    }
}

impl<K: Ord + AsRef<str>, F: PersonalField> PersonalField for BTreeMap<K, F> {
    fn each<E>(&mut self, path: &str, class: Class, subject: SubjectRef, visit: &mut Visit<'_, E>) -> Result<(), E> {
        for (key, field) in self {
            field.each(&format!("{path}.{}", key.as_ref()), class, subject, visit)?;
        }
        Ok(())
    }
}

/// Where a sealed value belongs. Its bytes are the associated data of the seal, so that a moved, swapped or
/// replayed ciphertext does not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The tenant.
    pub app: AppId,
    /// The stream of the event.
    pub stream: String,
    /// The event.
    pub event: EventId,
    /// Name of the event, such as `user.registered`.
    pub name: String,
    /// Version of its shape.
    pub version: u16,
    /// Path of the field in the event, such as `name` or `fields.email`.
    pub path: String,
    /// Whose key seals it.
    pub subject: SubjectRef,
    /// Class of that key.
    pub class: Class,
    /// Epoch of that key.
    pub epoch: u32,
}

/// Why stored bytes are not a sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored bytes are not a sealed value: {0}")]
pub struct Unreadable(&'static str);

/// A sealed value taken from a read model; nothing of it is copied.
///
/// It holds what its row does not say: the app and the subject are those of the row, and whoever opens the value names them.
/// The commitment to the key is left in the log, since the key follows from all of this and none is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<'b> {
    /// The event it was recorded with.
    pub event: EventId,
    /// Path of the field in that event.
    pub path: &'b str,
    /// Class of the key that seals it.
    pub class: Class,
    /// Epoch of that key.
    pub epoch: u32,
    /// Nonce and ciphertext.
    pub ciphertext: &'b [u8],
    /// Name of the event.
    name: &'b str,
    /// Version of its shape.
    version: u16,
    /// The stream of the event; empty: the subject's own stream of the aggregate that the event's name begins with.
    stream: &'b str,
}

const FORMAT: u8 = 1;
/// Of a stored value.
const STORED: u8 = 2;

impl Header {
    /// The associated data: every member, each text with its length before it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { app, stream, event, name, version, path, subject, class, epoch } = self;
        let texts = [app.as_str(), stream, name, path];
        associated(texts, *event, *version, *subject, (*class, *epoch))
    }

    /// The sealed value as a read model stores it, in a row of this app and subject.
    #[must_use]
    pub fn store(&self, ciphertext: &[u8]) -> Vec<u8> {
        let Self { stream, event, name, version, path, subject, class, epoch, .. } = self;
        let stream = if is_own(stream, name, *subject) { "" } else { stream };
        let (event, class, epoch, version) = (*event, *class, *epoch, *version);
        Stored { event, path, class, epoch, ciphertext, name, version, stream }.to_bytes()
    }
}

/// The bytes of a header: app, stream, name and path with their lengths, then the rest.
fn associated(
    texts: [&str; 4],
    event: EventId,
    version: u16,
    subject: SubjectRef,
    (class, epoch): (Class, u32),
) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    out.push(FORMAT);
    for text in texts {
        // Names, streams and paths are bounded far below 64 KiB by what declares them.
        out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(event.0.as_bytes());
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(subject.0.as_bytes());
    out.push(class.number());
    out.extend_from_slice(&epoch.to_be_bytes());
    out
}

/// The aggregate that an event's name begins with.
pub(crate) fn aggregate(name: &str) -> &str {
    name.split_once('.').map_or(name, |(aggregate, _)| aggregate)
}

/// Whether a stream is the subject's own one of the aggregate that an event's name begins with.
fn is_own(stream: &str, name: &str, subject: SubjectRef) -> bool {
    let id = stream.strip_prefix(aggregate(name)).and_then(|rest| rest.strip_prefix('-'));
    id.is_some_and(|id| id == subject.0.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()))
}

impl<'b> Stored<'b> {
    /// A value of an event, as [`Header::store`] has it: `stream` is empty where it is the subject's own.
    pub(crate) fn of<E>(recorded: &'b Recorded<E>, stream: &'b str, path: &'b str, sealed: &'b Sealed) -> Option<Self> {
        let (event, name, version) = (recorded.id, recorded.name, recorded.version);
        let (class, epoch, ciphertext) = (sealed.class, sealed.epoch, sealed.ciphertext.as_deref()?);
        Some(Self { event, path, class, epoch, ciphertext, name, version, stream })
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let Self { event, path, class, epoch, ciphertext, name, version, stream } = self;
        let texts = [path, name, stream];
        let mut out = Vec::with_capacity(28 + texts.iter().map(|text| text.len()).sum::<usize>() + ciphertext.len());
        out.extend_from_slice(&[STORED, class.number()]);
        out.extend_from_slice(&epoch.to_be_bytes());
        out.extend_from_slice(event.0.as_bytes());
        out.extend_from_slice(&version.to_be_bytes());
        for text in texts {
            // Names, streams and paths are bounded far below 256 bytes by what declares them.
            out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(ciphertext);
        out
    }

    /// Reads what [`Header::store`] wrote.
    ///
    /// # Errors
    /// The bytes are cut short or of another format.
    pub fn from_bytes(bytes: &'b [u8]) -> Result<Self, Unreadable> {
        let mut rest = Rest(bytes);
        let [format, class] = rest.array()?;
        if format != STORED {
            return Err(Unreadable("unknown format"));
        }
        let class = Class::from_number(class).ok_or(Unreadable("class"))?;
        let epoch = u32::from_be_bytes(rest.array()?);
        let event = EventId(uuid::Uuid::from_bytes(rest.array()?));
        let version = u16::from_be_bytes(rest.array()?);
        let (path, name, stream) = (rest.text()?, rest.text()?, rest.text()?);
        Ok(Self { event, path, class, epoch, ciphertext: rest.0, name, version, stream })
    }

    /// The associated data of the seal, for a row of this app and subject.
    #[must_use]
    pub fn associated(&self, app: &AppId, subject: SubjectRef) -> Vec<u8> {
        let of = |stream: &str| {
            let texts = [app.as_str(), stream, self.name, self.path];
            associated(texts, self.event, self.version, subject, (self.class, self.epoch))
        };
        match self.stream {
            "" => {
                let mut id = uuid::Uuid::encode_buffer();
                of(&[aggregate(self.name), "-", subject.0.hyphenated().encode_lower(&mut id)].concat())
            }
            stream => of(stream),
        }
    }
}

struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take(&mut self, length: usize) -> Result<&'b [u8], Unreadable> {
        let (head, tail) = self.0.split_at_checked(length).ok_or(Unreadable("cut short"))?;
        self.0 = tail;
        Ok(head)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        self.take(N)?.try_into().map_err(|_| Unreadable("cut short"))
    }
    fn text(&mut self) -> Result<&'b str, Unreadable> {
        let [length] = self.array()?;
        std::str::from_utf8(self.take(usize::from(length))?).map_err(|_| Unreadable("not UTF-8"))
    }
}

mod hex32 {
    use std::fmt;

    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    const NO_DIGIT: u8 = 0xff;
    /// What each byte is worth as a digit.
    const VALUES: [u8; 256] = {
        let mut values = [NO_DIGIT; 256];
        let mut value: u8 = 0;
        while value < 16 {
            values[DIGITS[value as usize] as usize] = value;
            value += 1;
        }
        values
    };

    struct Digits;

    impl Visitor<'_> for Digits {
        type Value = [u8; 32];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("64 hexadecimal digits")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<[u8; 32], E> {
            let (pairs, rest) = text.as_bytes().as_chunks::<2>();
            if pairs.len() != 32 || !rest.is_empty() {
                return Err(E::custom("expected 64 hexadecimal digits"));
            }
            let (mut bytes, mut all) = ([0u8; 32], 0);
            for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
                let (high, low) = (VALUES[usize::from(*high)], VALUES[usize::from(*low)]);
                all |= high | low;
                *byte = high << 4 | low;
            }
            if all & 0xf0 != 0 {
                return Err(E::custom("expected lower-case hexadecimal digits"));
            }
            Ok(bytes)
        }
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0u8; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        serializer.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        deserializer.deserialize_str(Digits)
    }
}
