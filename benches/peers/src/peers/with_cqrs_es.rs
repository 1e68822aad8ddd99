//! cqrs-es on postgres-es: an aggregate is loaded, handles the command, and its event is inserted in a transaction.

use anyhow::Result;
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use postgres_es::{PostgresCqrs, postgres_cqrs};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::measure::Peer;
use crate::peers::pool;
use crate::place::Place;
use crate::user::Profile;

/// Where the events are.
pub(crate) const TABLE: &str = "events";

/// The table that postgres-es documents.
const SCHEMA: &str = "CREATE TABLE events (
    aggregate_type text NOT NULL,
    aggregate_id text NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 0),
    event_type text NOT NULL,
    event_version text NOT NULL,
    payload json NOT NULL,
    metadata json NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, sequence)
)";

#[derive(Default, Serialize, Deserialize)]
struct User {
    profile: Option<Profile>,
}

struct Register(Profile);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum UserEvent {
    Registered(Profile),
}

#[derive(Debug, thiserror::Error)]
#[error("the user is registered already")]
struct AlreadyRegistered;

impl DomainEvent for UserEvent {
    fn event_type(&self) -> String {
        "Registered".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for User {
    const TYPE: &'static str = "user";
    type Command = Register;
    type Event = UserEvent;
    type Error = AlreadyRegistered;
    type Services = ();

    async fn handle(
        &mut self,
        Register(profile): Register,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), AlreadyRegistered> {
        if self.profile.is_some() {
            return Err(AlreadyRegistered);
        }
        sink.write(UserEvent::Registered(profile), self).await;
        Ok(())
    }

    fn apply(&mut self, UserEvent::Registered(profile): UserEvent) {
        self.profile = Some(profile);
    }
}

struct CqrsEs(PostgresCqrs<User>);

/// Begins in an empty database.
pub(crate) async fn open(place: &Place) -> Result<impl Peer> {
    let pool = pool(place).await?;
    sqlx::query(SCHEMA).execute(&pool).await?;
    Ok(CqrsEs(postgres_cqrs(pool, vec![], ())))
}

impl Peer for CqrsEs {
    async fn register(&self, user: Uuid, profile: Profile) -> Result<u64> {
        self.0.execute(&user.to_string(), Register(profile)).await?;
        Ok(0)
    }
}
