//! Whom a user has blocked does not see that it is online. For those it is offline, as long as they are blocked; nothing that they
//! are told differs from what they are told of somebody who is.

use std::collections::HashSet;

use rollcall_projections::blocklists;
use rollcall_schemas::blocklist;
use rollcall_schemas::ids::SubjectRef;

use super::Live;
use super::presence::Device;
use crate::engine::{self, Engine};

/// Pairs that are looked up at once.
const LOOK_UP_MAX: usize = 1_000;

/// Whose view of a user has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ViewChange {
    /// Who is seen, or not any more.
    pub(super) seen: SubjectRef,
    /// By whom; `None`: by anybody.
    pub(super) by: Option<SubjectRef>,
}

impl ViewChange {
    /// The changes that an event about a blocklist brings.
    pub(super) fn of(event: &blocklist::Event) -> Vec<Self> {
        let by = |seen: SubjectRef, targets: &[SubjectRef]| {
            targets.iter().map(|target| Self { seen, by: Some(*target) }).collect()
        };
        match event {
            blocklist::Event::Blocked(e) => by(e.subject, &e.targets),
            blocklist::Event::Unblocked(e) => by(e.subject, &e.targets),
            blocklist::Event::Emptied(e) => vec![Self { seen: e.subject, by: None }],
        }
    }
}

/// Those of the viewers whom a user has blocked.
///
/// # Errors
/// The read models are unavailable.
pub(super) async fn hidden_from(
    engine: &Engine,
    user: SubjectRef,
    viewers: &[SubjectRef],
) -> Result<HashSet<SubjectRef>, engine::Error> {
    let mut hidden = HashSet::new();
    // Most users block nobody, and one may have thousands of followers.
    if viewers.is_empty() || blocklists::page(engine.read(), user, None, 1).await?.is_empty() {
        return Ok(hidden);
    }
    for some in viewers.chunks(LOOK_UP_MAX) {
        let pairs: Vec<_> = some.iter().map(|viewer| (user, *viewer)).collect();
        let found = blocklists::entries(engine.read(), &pairs).await?;
        hidden.extend(some.iter().zip(found).filter(|(_, entry)| entry.is_some()).map(|(viewer, _)| *viewer));
    }
    Ok(hidden)
}

impl Live {
    /// The connections of each subject, on all nodes, the earliest first, as another user may see them: none of whoever has
    /// blocked the viewer.
    ///
    /// # Errors
    /// The read models or the nodes' database are unavailable.
    pub async fn devices_seen_by(
        &self,
        viewer: SubjectRef,
        subjects: &[SubjectRef],
    ) -> Result<Vec<Vec<Device>>, engine::Error> {
        let mut devices = self.devices(subjects).await?;
        let pairs: Vec<_> = subjects.iter().map(|subject| (*subject, viewer)).collect();
        let mut blocked = Vec::with_capacity(pairs.len());
        for some in pairs.chunks(LOOK_UP_MAX) {
            blocked.extend(blocklists::entries(self.engine.read(), some).await?);
        }
        for (devices, _) in devices.iter_mut().zip(blocked).filter(|(_, entry)| entry.is_some()) {
            devices.clear();
        }
        Ok(devices)
    }
}
