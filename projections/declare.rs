//! How a read model is declared: once, with the tables it owns and the events it reads.

use rollcall_schemas::EventDeclaration;
use rollcall_schemas::personal::Class;

/// What a read model is, apart from what its projector does.
#[derive(Debug)]
pub struct Declaration {
    /// Its name, such as `banned_users`.
    pub name: &'static str,
    /// Version of its tables and of what its projector makes of an event; another version is built from position 0.
    pub version: u32,
    /// The statements that create its tables, for `SQLite` and `PostgreSQL` alike.
    pub schema: &'static str,
    /// Its tables; each has a primary key, and its name ends in the version.
    pub tables: &'static [&'static str],
    /// Every statement its projector may emit.
    pub statements: &'static [&'static str],
    /// Every statement its queries run.
    pub queries: &'static [&'static str],
    /// The queries that count the personal values about a subject it holds, by class; those of an erased class must
    /// all find 0.
    pub remains: &'static [(Class, Query)],
    /// The events it reads; any other one changes nothing in it.
    pub reads: Reads,
}

/// Which events a read model reads.
#[derive(Debug)]
pub enum Reads {
    /// Every event there is, and those that are still to come.
    Every,
    /// These.
    Only(&'static [EventDeclaration]),
}

/// A statement of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Where it is declared: the path of its module, and its name there. Empty for a statement of no read model.
    pub path: &'static str,
    /// The SQL text.
    pub text: &'static str,
    /// Whether those that differ in their parameters alone may be sent to the server as one statement. That pays for
    /// the rows of one key; for the first rows of a list, each of them is better planned by itself.
    pub coalesced: bool,
}

impl Query {
    /// Its read model, and its name there; nothing for a statement of no read model.
    #[must_use]
    pub fn place(&self) -> (&'static str, &'static str) {
        let mut parts = self.path.rsplit("::");
        let name = parts.next().unwrap_or_default();
        // Between them stands the module of the read model's queries.
        (parts.nth(1).unwrap_or_default(), name)
    }
}

impl From<&'static str> for Query {
    /// A statement of no read model, which is never coalesced.
    fn from(text: &'static str) -> Self {
        Self { path: "", text, coalesced: false }
    }
}

/// Names the statements that a projector emits, one SQL text for `SQLite` and `PostgreSQL`, and lists them in
/// `STATEMENTS`.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $( $(#[$doc])* const $name: &str = $text; )*
        /// Every statement of this file, so that a test can prepare each on every database.
        pub(super) const STATEMENTS: &[&str] = &[$($name),*];
    };
}

/// Names the statements that queries run, and lists their texts in `STATEMENTS`. One that finds the rows of one key is
/// marked `name: coalesced = "SELECT ...";`, see [`Query::coalesced`].
macro_rules! queries {
    ($($(#[$doc:meta])* $name:ident $(: $coalesced:ident)? = $text:expr;)*) => {
        $(
            $(#[$doc])*
            const $name: $crate::Query = $crate::Query {
                path: concat!(module_path!(), "::", stringify!($name)),
                text: $text,
                coalesced: $crate::declare::marked!($($coalesced)?),
            };
        )*
        /// Every statement of this file, so that a test can prepare each on every database.
        pub(super) const STATEMENTS: &[&str] = &[$($name.text),*];

        #[cfg(test)]
        mod marks {
            #[test]
            fn queries_are_marked_as_coalesced_where_they_find_the_rows_of_one_key() {
                $( $crate::declare::check_mark(super::$name); )*
            }

            #[test]
            fn queries_know_their_read_model_and_their_name() {
                let model = module_path!().split("::").nth(1).unwrap_or_default();
                $( assert_eq!(super::$name.place(), (model, stringify!($name))); )*
            }
        }
    };
}

macro_rules! marked {
    () => {
        false
    };
    (coalesced) => {
        true
    };
}

/// Declares a read model and what its projector does with each event it reads; it ignores every other one.
///
/// ```text
/// projection! {
///     /// The tags of every user.
///     UserTags: "user_tags" version 1, tables ["user_tags_v1"], remains queries::REMAINS;
///     reads(entry, changes) {
///         user::Tagged(e) => set_tags(e, entry, changes),
///         user::Forgotten(e) => changes.push(untag, [e.subject.into()]),
///     }
/// }
/// ```
///
/// `queries` and `STATEMENTS` are those of the same folder and file. What is read stands in `reads.matrix` as well.
macro_rules! projection {
    (
        $(#[$doc:meta])*
        $model:ident: $name:literal version $version:literal, tables [$($table:literal),* $(,)?]
            $(, remains $remains:expr)?;
        reads($entry:ident, $changes:ident) {
            $( $aggregate:ident::$event:ident($bind:pat) => $body:expr, )*
        }
    ) => {
        $crate::declare::projection! {
            @model [$(#[$doc])*] $model $name $version [$($table),*] [$($remains)?]
            ($crate::Reads::Only(&[$( rollcall_schemas::$aggregate::$event::DECLARATION ),*]))
            |$entry, $changes| {
                match &$entry.recorded.event {
                    $(
                        rollcall_schemas::variant::$aggregate(rollcall_schemas::$aggregate::Event::$event($bind)) => $body,
                    )*
                    _ => {}
                }
            }
        }
    };
    (
        $(#[$doc:meta])*
        $model:ident: $name:literal version $version:literal, tables [$($table:literal),* $(,)?]
            $(, remains $remains:expr)?;
        reads every($entry:ident, $changes:ident) => $body:expr;
    ) => {
        $crate::declare::projection! {
            @model [$(#[$doc])*] $model $name $version [$($table),*] [$($remains)?]
            ($crate::Reads::Every) |$entry, $changes| { $body }
        }
    };
    (
        @model [$(#[$doc:meta])*] $model:ident $name:literal $version:literal [$($table:literal),*] [$($remains:expr)?]
        ($reads:expr) |$entry:ident, $changes:ident| $project:block
    ) => {
        $(#[$doc])*
        pub struct $model;

        impl $crate::Projection for $model {
            fn declared(&self) -> &'static $crate::Declaration {
                const DECLARED: &$crate::Declaration = &$crate::Declaration {
                    name: $name,
                    version: $version,
                    schema: include_str!("schema.sql"),
                    tables: &[$($table),*],
                    statements: STATEMENTS,
                    queries: queries::STATEMENTS,
                    remains: $crate::declare::or_none!($($remains)?),
                    reads: $reads,
                };
                DECLARED
            }

            fn project(
                &self,
                $entry: &$crate::Entry<'_>,
                $changes: &mut $crate::Changes,
            ) -> Result<(), $crate::Inconsistent> {
                $project
                Ok(())
            }
        }
    };
}

macro_rules! or_none {
    () => {
        &[]
    };
    ($list:expr) => {
        $list
    };
}

pub(crate) use {marked, or_none, projection, queries, statements};

/// Fails where a query is marked as coalesced but must not be, or the other way round.
#[cfg(test)]
#[allow(clippy::panic)]
pub(crate) fn check_mark(query: Query) {
    let Query { text, coalesced, .. } = query;
    let finds_by_key = text.contains("$1") && !text.contains("LIMIT") && !text.contains("ORDER BY");
    assert!(
        coalesced == finds_by_key,
        "{} `name: coalesced = ...`, since it {} the rows of one key: {text}",
        if finds_by_key { "write" } else { "do not write" },
        if finds_by_key { "finds" } else { "does not just find" },
    );
}
