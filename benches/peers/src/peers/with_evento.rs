//! evento on SQLite: an aggregate is created with its first event, under an id of the library's own.

use anyhow::Result;
use bincode::{Decode, Encode};
use evento::migrator::{Migrate as _, Plan};
use evento::{AggregatorName, EventDetails};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::measure::Peer;
use crate::sqlite::Folder;
use crate::user::Profile;

/// Where the events are: evento's migrations make it.
pub(crate) const TABLE: &str = "event";

#[derive(AggregatorName, Encode, Decode)]
struct Registered {
    email: String,
    display_name: String,
    locale: String,
}

#[derive(Clone, Debug, Default, Encode, Decode, Serialize, Deserialize)]
struct User {
    email: String,
    display_name: String,
    locale: String,
}

#[evento::aggregator]
impl User {
    async fn registered(&mut self, event: EventDetails<Registered>) -> Result<()> {
        let Registered { email, display_name, locale } = event.data;
        *self = Self { email, display_name, locale };
        Ok(())
    }
}

struct Evento(evento::Sqlite);

/// Begins in an empty folder: the migrations make the tables.
pub(crate) async fn open(folder: &Folder) -> Result<impl Peer> {
    let pool = folder.pool().await?;
    let mut connection = pool.acquire().await?;
    evento::sql_migrator::new::<sqlx::Sqlite>()?.run(&mut *connection, &Plan::apply_all()).await?;
    drop(connection);
    Ok(Evento(pool.into()))
}

impl Peer for Evento {
    async fn register(&self, _: Uuid, Profile { email, display_name, locale }: Profile) -> Result<u64> {
        let registered = Registered { email, display_name, locale };
        evento::create::<User>().data(&registered)?.metadata(&true)?.commit(&self.0).await?;
        Ok(0)
    }
}
