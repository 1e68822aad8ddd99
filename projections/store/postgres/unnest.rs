//! Many sets of parameters in one statement: one array for each parameter.

use std::fmt::Write as _;

use tokio_postgres::Statement;

/// The names of a statement's parameters' types.
pub(super) fn types(statement: &Statement) -> Vec<&str> {
    statement.params().iter().map(tokio_postgres::types::Type::name).collect()
}

/// Where many sets of parameters come from: one array for each parameter, and one row `asked` with `p1`, `p2` and so on for
/// each set.
pub(super) fn unnested(types: &[&str], option: &str) -> String {
    let mut text = "unnest(".to_owned();
    for (at, name) in types.iter().enumerate() {
        let _ = write!(text, "{}${}::{name}[]", if at == 0 { "" } else { ", " }, at + 1);
    }
    text + ")" + option + " AS asked (" + &(1..=types.len()).map(|at| format!("p{at}")).collect::<Vec<_>>().join(", ")
}
