//! The libraries, each used as its own documentation begins.

pub(crate) mod bare;
pub(crate) mod bare_on_sqlite;
mod cqrs_es_user;
pub(crate) mod with_cqrs_es;
pub(crate) mod with_disintegrate;
pub(crate) mod with_esrs;
pub(crate) mod with_evento;
pub(crate) mod with_sqlite_es;
pub(crate) mod with_umadb;

use anyhow::Result;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::place::Place;

/// The pool that every library on PostgreSQL asks for, as sqlx makes it but for the number of connections.
async fn pool(place: &Place) -> Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(place.pool).connect_with(place.options.clone()).await?)
}
