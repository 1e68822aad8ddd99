//! disintegrate: a decision over the state that a query of the events gives, checked again in a serializable
//! transaction that inserts its event.

use anyhow::Result;
use disintegrate::serde::json::Json;
use disintegrate::{Decision, DecisionError, Event, NoSnapshot, StateMutate, StateQuery};
use disintegrate_postgres::{Error, PgDecisionMaker, PgEventStore};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::measure::Peer;
use crate::peers::pool;
use crate::place::Place;
use crate::user::Profile;

/// Where the events are.
pub(crate) const TABLE: &str = "event";

/// `PostgreSQL` could not serialize the transaction: disintegrate calls it a concurrency error when the commit says
/// so, and a database error when a statement before it does.
const SERIALIZATION_FAILURE: &str = "40001";

/// What the library's own schema does not get done on a server before version 16, which reads no `0xFFFFFFFF`: the
/// same three locks with that number in decimals, and the identifier's column and index.
const REST_OF_SCHEMA: &str = "
CREATE FUNCTION event_store_begin_epoch() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    epoch bigint := (SELECT last_value FROM seq_event_event_id);
    this_database int := (SELECT oid FROM pg_database WHERE datname = current_database());
BEGIN
    PERFORM pg_try_advisory_xact_lock_shared(this_database, 0),
        pg_try_advisory_xact_lock_shared(1, (epoch & 4294967295)::bit(32)::int),
        pg_try_advisory_xact_lock_shared(2, (epoch >> 32)::bit(32)::int);
END $$;
ALTER TABLE event ADD COLUMN user_id uuid;
CREATE INDEX ON event (user_id) WHERE user_id IS NOT NULL";

#[derive(Clone, Debug, PartialEq, Eq, Event, Serialize, Deserialize)]
#[stream(UserEvent, [UserRegistered])]
enum DomainEvent {
    UserRegistered {
        #[id]
        user_id: Uuid,
        profile: Profile,
    },
}

#[derive(Clone, Default, StateQuery, Serialize, Deserialize)]
#[state_query(UserEvent)]
struct User {
    #[id]
    user_id: Uuid,
    registered: bool,
}

impl StateMutate for User {
    fn mutate(&mut self, UserEvent::UserRegistered { .. }: Self::Event) {
        self.registered = true;
    }
}

struct Register {
    user_id: Uuid,
    profile: Profile,
}

#[derive(Debug, thiserror::Error)]
#[error("the user is registered already")]
struct AlreadyRegistered;

impl Decision for Register {
    type Event = DomainEvent;
    type StateQuery = User;
    type Error = AlreadyRegistered;

    fn state_query(&self) -> User {
        User { user_id: self.user_id, registered: false }
    }

    fn process(&self, user: &User) -> Result<Vec<DomainEvent>, AlreadyRegistered> {
        if user.registered {
            return Err(AlreadyRegistered);
        }
        Ok(vec![DomainEvent::UserRegistered { user_id: self.user_id, profile: self.profile.clone() }])
    }
}

struct Disintegrate(PgDecisionMaker<DomainEvent, Json<DomainEvent>, NoSnapshot>);

/// Begins in an empty database: the store makes its tables, as far as the server understands it.
pub(crate) async fn open(place: &Place) -> Result<impl Peer> {
    let (pool, json) = (pool(place).await?, Json::<DomainEvent>::default());
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int").fetch_one(&pool).await?;
    let store = match PgEventStore::try_new(pool.clone(), json.clone()).await {
        Err(Error::Migration(_)) if version < 160_000 => {
            sqlx::raw_sql(REST_OF_SCHEMA).execute(&pool).await?;
            PgEventStore::new_uninitialized(pool, json)
        }
        store => store?,
    };
    Ok(Disintegrate(disintegrate_postgres::decision_maker(store, NoSnapshot)))
}

impl Peer for Disintegrate {
    async fn register(&self, user: Uuid, profile: Profile) -> Result<u64> {
        let mut retried = 0;
        loop {
            match self.0.make(Register { user_id: user, profile: profile.clone() }).await {
                Ok(_) => return Ok(retried),
                Err(error) if is_conflict(&error) => retried += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether another transaction came between: to be decided again.
fn is_conflict(error: &DecisionError<AlreadyRegistered>) -> bool {
    let (DecisionError::EventStore(source) | DecisionError::StateStore(source)) = error else {
        return false;
    };
    match source.downcast_ref::<Error>() {
        Some(Error::Concurrency) => true,
        Some(Error::Database(sqlx::Error::Database(error))) => error.code().as_deref() == Some(SERIALIZATION_FAILURE),
        _ => false,
    }
}
