//! The schemas of the database that hold read models.

/// What queries are answered from.
pub(in crate::store) const LIVE: &str = "rollcall_read";
/// Where read models are built anew beside the live ones.
pub(super) const NEXT: &str = "rollcall_read_next";
/// What was live before the last rebuild.
pub(super) const BEFORE: &str = "rollcall_read_before";

/// A statement about the store's own tables, of one schema.
pub(super) fn qualified(sql: &str, schema: &str) -> String {
    sql.replace("store_", &format!("{schema}.store_"))
}
