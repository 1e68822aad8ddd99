//! One device of each class, on all nodes: of two the newer one stays.
//!
//! On one node the registry closes the older one when the newer one enters. Of a device that connects to another node, this one
//! hears as it hears of every change of presence, and closes its own connection if that is the older one. A node closes nothing
//! but its own, so the newest of a class is never closed, in whatever order the nodes hear of each other.

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::plain::DeviceRule;

use super::close::Close;
use super::presence::{self, Presence};
use super::registry::{Class, Registry};
use crate::engine::Engine;

/// Users that are looked up at once.
const LOOK_UP_MAX: usize = 1_000;

/// Closes those connections of the subjects on this node that a newer one on another node replaces.
///
/// # Errors
/// It is not known who is connected to the other nodes.
pub(super) async fn close_replaced(
    engine: &Engine,
    registry: &Registry,
    presence: &dyn Presence,
    subjects: impl Iterator<Item = SubjectRef>,
) -> Result<(), presence::Error> {
    let here: Vec<_> = subjects.filter(|subject| registry.has(*subject)).collect();
    for some in here.chunks(LOOK_UP_MAX) {
        for (subject, everywhere) in some.iter().zip(presence.connections(some).await?) {
            close_replaced_of(engine, registry, *subject, &everywhere);
        }
    }
    Ok(())
}

fn close_replaced_of(engine: &Engine, registry: &Registry, subject: SubjectRef, everywhere: &[presence::Connection]) {
    for own in registry.of(subject) {
        let app = engine.app(own.app.id.as_str());
        if app.is_none_or(|app| app.client.devices != DeviceRule::OnePerClass) {
            continue;
        }
        let is_newer = |other: &presence::Connection| {
            Class::of(other.platform) == Class::of(own.platform) && other.order() > (own.since, own.id)
        };
        if everywhere.iter().any(is_newer) {
            own.close(Close::SIGNED_IN_ELSEWHERE);
        }
    }
}
