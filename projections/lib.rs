//! What can be asked of Rollcall: read models, each in its own folder.
//!
//! A read model is a pure projector (event in, statements out), the tables it owns and the queries it answers. It
//! may be dropped at any moment and built again from the log. Only its projector writes it, only its queries read
//! it, and none reads another. Personal values are stored as they were sealed; nothing here can open them.

// A statement is named like what it does and stands in lower case, as the SQL around it.
#![allow(non_upper_case_globals)]

use rollcall_schemas::Event;
use rollcall_schemas::envelope::Recorded;
use rollcall_schemas::ids::{EventId, SubjectRef};
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::StoreCount;

mod changes;
mod declare;
mod paging;
pub mod store;

pub mod access_tokens;
pub mod allowlists;
pub mod apps;
pub mod audit_trail;
pub mod banned_users;
pub mod blocklists;
pub mod client_rules;
pub mod data_requests;
pub mod deactivated_users;
pub mod erasure_ledger;
pub mod friend_graph;
pub mod friend_groups;
pub mod hosted_profiles;
pub mod imports;
pub mod invalidated_tokens;
pub mod mutes;
pub mod operations;
pub mod rate_limits;
pub mod recipients;
pub mod remarks;
pub mod unique_ids;
pub mod user_directory;
pub mod user_settings;
pub mod user_tags;
pub mod webhooks;

pub use changes::{Change, Changes, Value};
pub use declare::{Declaration, Query, Reads};
pub use paging::{Neighbours, NumberedPage, Order, PAGE_MAX, SKIPPED_MAX, Seek, TooDeep};

use declare::{projection, queries, statements};

/// An event as projectors see it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'e> {
    /// What was recorded, its ciphertexts attached where they still exist.
    pub recorded: &'e Recorded<Event>,
    /// Tag of the value by which the event lets its user be found: of the userId for `user.named` and for `user.registered`
    /// with one, of the uniqueId for `user.profile_set` with one. The engine sets it.
    pub tag: Option<[u8; 16]>,
}

impl Entry<'_> {
    /// The app it belongs to.
    pub(crate) fn app(&self) -> Value {
        (&self.recorded.metadata.app).into()
    }

    /// When it was recorded.
    pub(crate) fn at(&self) -> Value {
        self.recorded.recorded_at.into()
    }

    /// Its place in the log.
    pub(crate) fn position(&self) -> Value {
        self.recorded.position.into()
    }
}

/// A recorded event that could not be decoded: every read model parks its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poison {
    /// Place in the log.
    pub position: u64,
    /// Name of its stream.
    pub stream: String,
    /// Identifies the event.
    pub id: EventId,
    /// What is wrong with it; never a value of the event.
    pub reason: String,
}

/// What one position of the log holds, to be applied to the read models.
#[derive(Debug, Clone)]
pub enum Arrival<'e> {
    /// An event.
    Decoded(Entry<'e>),
    /// Something that should be one.
    Undecodable(Poison),
}

impl Arrival<'_> {
    /// Its place in the log.
    #[must_use]
    pub fn position(&self) -> u64 {
        match self {
            Self::Decoded(entry) => entry.recorded.position,
            Self::Undecodable(poison) => poison.position,
        }
    }

    /// Identifies the event.
    #[must_use]
    pub fn id(&self) -> EventId {
        match self {
            Self::Decoded(entry) => entry.recorded.id,
            Self::Undecodable(poison) => poison.id,
        }
    }
}

/// An event contradicts what its read model relies on. It parks its stream; it never stops the read model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event contradicts what the read model relies on: {0}")]
pub struct Inconsistent(pub &'static str);

/// One read model: what it declares, and what an event changes in its tables.
pub trait Projection: Sync + Send {
    /// What it is.
    fn declared(&self) -> &'static Declaration;
    /// Its name, such as `banned_users`.
    fn name(&self) -> &'static str {
        self.declared().name
    }
    /// Version of its tables and of what its projector makes of an event.
    fn version(&self) -> u32 {
        self.declared().version
    }
    /// The statements that create its tables.
    fn schema(&self) -> &'static str {
        self.declared().schema
    }
    /// Its tables.
    fn tables(&self) -> &'static [&'static str] {
        self.declared().tables
    }
    /// Every statement its projector may emit.
    fn statements(&self) -> &'static [&'static str] {
        self.declared().statements
    }
    /// Every statement its queries run.
    fn queries(&self) -> &'static [&'static str] {
        self.declared().queries
    }
    /// What an event changes. Pure: no clock, no random number, no I/O.
    ///
    /// # Errors
    /// The event contradicts what the read model relies on.
    fn project(&self, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent>;
}

/// Every read model that is kept up with the log.
pub static ALL: &[&dyn Projection] = &[
    &user_directory::UserDirectory,
    &audit_trail::AuditTrail,
    &hosted_profiles::HostedProfiles,
    &deactivated_users::DeactivatedUsers,
    &banned_users::BannedUsers,
    &blocklists::Blocklists,
    &allowlists::Allowlists,
    &friend_graph::FriendGraph,
    &friend_groups::FriendGroups,
    &user_tags::UserTags,
    &mutes::Mutes,
    &user_settings::UserSettings,
    &remarks::Remarks,
    &apps::Apps,
    &client_rules::ClientRules,
    &rate_limits::RateLimits,
    &invalidated_tokens::InvalidatedTokens,
    &unique_ids::UniqueIds,
    &erasure_ledger::ErasureLedger,
    &data_requests::DataRequests,
    &operations::Operations,
    &imports::Imports,
    &webhooks::Webhooks,
    &recipients::Recipients,
];

/// Read models that nobody asks about the present: they are filled in a scratch store, for a look at the past.
pub static PAST_ONLY: &[&dyn Projection] = &[&access_tokens::AccessTokens];

/// How many values of these classes each read model holds about a subject; read models that never hold any are left out.
///
/// # Errors
/// The store is unavailable.
pub async fn remains(
    store: &store::ReadStore,
    subject: SubjectRef,
    classes: &[Class],
) -> Result<Vec<StoreCount>, store::Error> {
    let mut counts = Vec::new();
    for model in ALL {
        let queries = model.declared().remains.iter().filter(|(class, _)| classes.contains(class));
        let mut values = None;
        for (_, query) in queries {
            let found = store.row(*query, &[subject.into()], |row| row.number::<u32>(0)).await?.unwrap_or(0);
            values = Some(values.unwrap_or(0) + found);
        }
        counts.extend(values.map(|values| StoreCount { store: model.name().into(), values }));
    }
    Ok(counts)
}
