//! Making the tables of a part, and telling whether they are of the version that this program knows.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::Error;

/// Tables, and how they came to be what they are.
pub struct Tables {
    /// Whose tables, in a word.
    pub what: &'static str,
    /// The table that says which migrations were applied.
    pub history: &'static str,
    /// Brings them to their newest version.
    pub migrations: fn() -> refinery::Runner,
    /// The task of `rollcall database` that makes them.
    pub command: &'static str,
}

/// How often it is tried to make tables while other nodes do so.
const MIGRATIONS_MAX: usize = 20;
/// How long a question may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long the tables may take: a migration may rewrite a log of many years.
const MIGRATION_MAX: Duration = Duration::from_secs(3_600);

/// Waits for an answer no longer than this.
async fn within<T, E: Into<Error>>(limit: Duration, asked: impl Future<Output = Result<T, E>>) -> Result<T, Error> {
    let answered = tokio::time::timeout(limit, asked).await;
    answered.map_err(|_| Error::Refused("the database does not answer".into()))?.map_err(Into::into)
}

impl Tables {
    fn newest(&self) -> i32 {
        i32::try_from((self.migrations)().get_migrations().len()).unwrap_or(i32::MAX)
    }

    async fn version(&self, client: &Client) -> Result<i32, Error> {
        let there = "select to_regclass($1) is not null";
        if !client.query_typed_one(there, &[(&self.history, Type::TEXT)]).await?.try_get::<_, bool>(0)? {
            return Ok(0);
        }
        let version = format!("select coalesce(max(version), 0) from {}", self.history);
        Ok(client.query_typed_one(&version, &[]).await?.try_get(0)?)
    }

    /// Whether they are of the newest version.
    ///
    /// # Errors
    /// They are of a newer one, or the server is unavailable.
    pub async fn are_current(&self, client: &Client) -> Result<bool, Error> {
        let (found, known) = (within(ANSWER_MAX, self.version(client)).await?, self.newest());
        if found > known {
            return Err(Error::Newer { what: self.what, found, known });
        }
        Ok(found == known)
    }

    /// Brings them to the newest version; where they are, that needs no right to make any.
    ///
    /// # Errors
    /// They are of a newer one, they may not be made, or the server is unavailable.
    pub async fn prepare(&self, client: &mut Client) -> Result<(), Error> {
        let mut reason = String::new();
        for _ in 0..MIGRATIONS_MAX {
            if self.are_current(client).await? {
                return Ok(());
            }
            let mut runner = (self.migrations)();
            let run = runner.set_migration_table_name(self.history).run_async(client);
            let run = tokio::time::timeout(MIGRATION_MAX, run).await;
            let Err(error) = run.map_err(|_| Error::Refused("the database does not answer".into()))? else {
                return Ok(());
            };
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            reason = format!("{error}{cause}");
            // Another node may be doing it at the same time.
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(Error::Unmade { what: self.what, reason, command: self.command })
    }
}
