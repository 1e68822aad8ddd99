//! Many rows in one statement: an `INSERT` that comes again and again in a batch is executed for all its rows at once.
//!
//! It may wait for more of its kind as long as nothing in between reads or writes its table.

use std::fmt::Write as _;

use super::unnest::unnested;
use crate::Value;

/// An `INSERT` of one row, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Insert {
    head: String,
    row: Vec<Piece>,
    tail: String,
    /// Which parameters or constants two rows of one statement must not have alike; none where it does not matter.
    key: Option<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Param(usize),
    Constant(String),
}

/// Most rows that wait.
pub(super) const ROWS_MAX: usize = 1_000;

fn pieces(list: &str) -> Option<Vec<Piece>> {
    let piece = |text: &str| {
        let text = text.trim();
        match text.strip_prefix('$') {
            Some(number) => number.parse().ok().filter(|number| *number > 0).map(Piece::Param),
            None if text.contains(['(', ')', '$']) => None,
            None => Some(Piece::Constant(text.to_owned())),
        }
    };
    list.split(',').map(piece).collect()
}

impl Insert {
    /// Takes a statement apart; `None`: it is none that could have many rows.
    pub(super) fn of(sql: &str) -> Option<Self> {
        let (head, rest) = sql.split_once(" VALUES (").or_else(|| sql.split_once("\n        VALUES ("))?;
        let columns = head.strip_prefix("INSERT INTO ")?.split_once('(')?.1.trim_end().strip_suffix(')')?;
        let columns: Vec<_> = columns.split(',').map(str::trim).collect();
        let (row, tail) = rest.split_once(')')?;
        let row = pieces(row)?;
        if row.len() != columns.len() || tail.contains('$') || tail.contains("SELECT") {
            return None;
        }
        let key = match tail.trim().strip_prefix("ON CONFLICT") {
            None if tail.trim().is_empty() => None,
            None => return None,
            Some(target) => {
                let (target, action) = target.trim().strip_prefix('(')?.split_once(')')?;
                let of = |column: &str| columns.iter().position(|known| *known == column.trim());
                let key =
                    target.split(',').map(|column| of(column).map(|at| row[at].clone())).collect::<Option<Vec<_>>>()?;
                (!action.trim().starts_with("DO NOTHING")).then_some(key)
            }
        };
        Some(Self { head: head.to_owned(), row, tail: tail.to_owned(), key })
    }

    /// What no other row of the statement may have alike with this one; nothing where it does not matter.
    pub(super) fn key(&self, row: &[Value]) -> Option<Vec<Value>> {
        let of = |piece: &Piece| match piece {
            Piece::Param(number) => row.get(number - 1).cloned(),
            Piece::Constant(_) => None,
        };
        self.key.as_ref().map(|key| key.iter().filter_map(of).collect())
    }

    /// The statement for many rows: an array for each parameter, of these types.
    pub(super) fn text(&self, types: &[&str]) -> String {
        let mut text = format!("{} SELECT ", self.head);
        for (index, piece) in self.row.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let _ = match piece {
                Piece::Param(number) => write!(text, "{comma}p{number}"),
                Piece::Constant(constant) => write!(text, "{comma}{constant}"),
            };
        }
        format!("{text} FROM {}){}", unnested(types, ""), self.tail)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ALL;

    #[test]
    fn an_insert_is_written_for_more_rows_with_its_constants_and_its_end() {
        let insert =
            Insert::of("INSERT INTO t (a, b, c) VALUES ($1, 0, $2) ON CONFLICT (a) DO UPDATE SET b = 1").unwrap();
        assert_eq!(
            insert.text(&["text", "int8"]),
            "INSERT INTO t (a, b, c) SELECT p1, 0, p2 FROM unnest($1::text[], $2::int8[]) AS asked (p1, p2) \
             ON CONFLICT (a) DO UPDATE SET b = 1"
        );
        let key = |a: &str, c: &str| insert.key(&[Value::from(a), Value::from(c)]);
        assert!(key("x", "1") == key("x", "2") && key("x", "1") != key("y", "1"));
        assert_eq!(Insert::of("INSERT INTO t (a) VALUES ($1)").unwrap().key(&[Value::from("x")]), None);
        for not in [
            "UPDATE t SET a = $1",
            "INSERT INTO t (a) SELECT $1",
            "INSERT INTO t (a) VALUES (lower($1))",
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = $2",
            "INSERT INTO t (a, b) VALUES ($1) ON CONFLICT (a) DO NOTHING",
        ] {
            assert_eq!(Insert::of(not), None, "{not}");
        }
    }

    #[test]
    fn the_statements_that_come_most_often_can_have_many_rows() {
        let can = |model: &str, start: &str| {
            let model = ALL.iter().find(|found| found.name() == model).unwrap();
            model.statements().iter().any(|sql| sql.starts_with(start) && Insert::of(sql).is_some())
        };
        assert!(can("user_directory", "INSERT INTO user_directory_v2"));
        assert!(can("audit_trail", "INSERT INTO audit_trail_v1"));
        assert!(can("access_tokens", "INSERT INTO access_tokens_v1"));
    }
}
