//! Values on their way to and from the server.

use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::Value;
use crate::store::{Checkpoint, Error};

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) if *ty == Type::INT4 => i32::try_from(*number)?.to_sql(ty, out),
            Self::Int(number) => number.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Bytes(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        // The server says what it expects where a statement is prepared; what does not fit there is refused then.
        true
    }

    to_sql_checked!();
}

/// A position as a column holds it.
pub(super) fn stored(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

pub(super) fn read_checkpoint(model: &'static str, row: &tokio_postgres::Row) -> Result<Checkpoint, Error> {
    Ok(Checkpoint {
        model,
        version: u32::try_from(row.try_get::<_, i64>(1)?).map_err(|_| Error::Column(1))?,
        position: row.try_get::<_, i64>(2)?.unsigned_abs(),
        event: row
            .try_get::<_, Option<Vec<u8>>>(3)?
            .map(|id| uuid::Uuid::from_slice(&id).map(rollcall_schemas::ids::EventId).map_err(|_| Error::Column(3)))
            .transpose()?,
    })
}
