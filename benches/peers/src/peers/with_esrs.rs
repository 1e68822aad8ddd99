//! esrs: a new aggregate state handles the command, and its event is inserted in a transaction.

use anyhow::Result;
use esrs::manager::AggregateManager;
use esrs::store::postgres::{PgStore, PgStoreBuilder};
use esrs::{Aggregate, AggregateState};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::measure::Peer;
use crate::peers::pool;
use crate::place::Place;
use crate::user::Profile;

/// Where the events are: esrs names it after the aggregate.
pub(crate) const TABLE: &str = "user_events";

struct User;

struct Register(Profile);

#[derive(Clone, Serialize, Deserialize)]
enum UserEvent {
    Registered(Profile),
}

#[derive(Debug, thiserror::Error)]
#[error("the user is registered already")]
struct AlreadyRegistered;

impl Aggregate for User {
    const NAME: &'static str = "user";
    type State = Option<Profile>;
    type Command = Register;
    type Event = UserEvent;
    type Error = AlreadyRegistered;

    fn handle_command(state: &Self::State, Register(profile): Register) -> Result<Vec<UserEvent>, AlreadyRegistered> {
        if state.is_some() { Err(AlreadyRegistered) } else { Ok(vec![UserEvent::Registered(profile)]) }
    }

    fn apply_event(_: Self::State, UserEvent::Registered(profile): UserEvent) -> Self::State {
        Some(profile)
    }
}

struct Esrs(AggregateManager<PgStore<User>>);

/// Begins in an empty database: the store makes its table.
pub(crate) async fn open(place: &Place) -> Result<impl Peer> {
    let store: PgStore<User> = PgStoreBuilder::new(pool(place).await?).try_build().await?;
    Ok(Esrs(AggregateManager::new(store)))
}

impl Peer for Esrs {
    async fn register(&self, user: Uuid, profile: Profile) -> Result<u64> {
        self.0.handle_command(AggregateState::with_id(user), Register(profile)).await??;
        Ok(0)
    }
}
