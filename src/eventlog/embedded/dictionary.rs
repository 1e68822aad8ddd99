//! The dictionary of the file: byte strings that many events have in common, each stored once and named by a number.
//!
//! It only grows, and only so far: what does not fit any more stands in the events themselves. A term is inserted in the
//! transaction of the first event that uses it, so no event is durable before its terms are.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use rusqlite::Connection;

use crate::eventlog::Error;

const ALL: &str = "select kind, number, bytes from term order by kind, number";
const INSERT: &str = "insert into term (kind, number, bytes) values (?1, ?2, ?3)";

/// What a term is. Terms of each kind are numbered from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The name of an event.
    EventName,
    /// The name of a stream with a placeholder for each UUID.
    StreamShape,
    /// The JSON of a core with a placeholder for each value.
    Skeleton,
    /// A short text in cores, or the path of a blob.
    Word,
}

impl Kind {
    const ALL: [Self; 4] = [Self::EventName, Self::StreamShape, Self::Skeleton, Self::Word];

    /// Its number in the table.
    pub(super) const fn number(self) -> usize {
        match self {
            Self::EventName => 1,
            Self::StreamShape => 2,
            Self::Skeleton => 3,
            Self::Word => 4,
        }
    }

    fn from_number(number: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// Most terms of the kind, and most bytes of one. Together they bound what the dictionary takes in memory.
    const fn bounds(self) -> (usize, usize) {
        match self {
            Self::EventName => (65_535, 255),
            Self::StreamShape => (255, 64),
            Self::Skeleton => (4_096, 1_024),
            Self::Word => (16_384, 64),
        }
    }
}

#[derive(Default)]
struct Terms {
    // Skeletons are long, and looked up for each event.
    numbers: HashMap<Arc<[u8]>, u32, foldhash::fast::RandomState>,
    /// The term of number 1, of number 2, and so on.
    terms: Vec<Arc<[u8]>>,
}

/// The terms, as a reader of events and their writer look them up.
#[derive(Default)]
pub(super) struct Table([Terms; 4]);

impl Table {
    fn of(&self, kind: Kind) -> &Terms {
        let [names, shapes, skeletons, words] = &self.0;
        match kind {
            Kind::EventName => names,
            Kind::StreamShape => shapes,
            Kind::Skeleton => skeletons,
            Kind::Word => words,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut Terms {
        let [names, shapes, skeletons, words] = &mut self.0;
        match kind {
            Kind::EventName => names,
            Kind::StreamShape => shapes,
            Kind::Skeleton => skeletons,
            Kind::Word => words,
        }
    }

    /// The term of a number.
    pub(super) fn term(&self, kind: Kind, number: u64) -> Option<&Arc<[u8]>> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.of(kind).terms.get(index)
    }

    /// The number of a term.
    pub(super) fn number(&self, kind: Kind, term: &[u8]) -> Option<u32> {
        self.of(kind).numbers.get(term).copied()
    }

    /// Whether a term that is not there yet may be added.
    pub(super) fn has_room(&self, kind: Kind, term: &[u8]) -> bool {
        let (terms_max, bytes_max) = kind.bounds();
        term.len() <= bytes_max && self.of(kind).terms.len() < terms_max
    }

    fn add(&mut self, kind: Kind, term: &[u8]) -> u32 {
        let terms = self.of_mut(kind);
        let term = Arc::<[u8]>::from(term);
        terms.terms.push(term.clone());
        // The bounds are far below.
        let number = u32::try_from(terms.terms.len()).unwrap_or(u32::MAX);
        terms.numbers.insert(term, number);
        number
    }
}

/// The dictionary in memory. Terms of a transaction that failed are forgotten again.
#[derive(Default)]
pub(super) struct Dictionary(RwLock<Table>);

impl Dictionary {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Table> {
        // A table is whole after every statement: a panic elsewhere does not make it wrong.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what the database holds.
    ///
    /// # Errors
    /// It cannot be read, or a term is missing in it.
    pub(super) fn reload(&self, connection: &Connection) -> Result<(), Error> {
        let mut table = Table::default();
        let mut statement = connection.prepare(ALL)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, number) = (row.get::<_, usize>(0)?, row.get::<_, u32>(1)?);
            let damaged = || Error::Corrupt {
                position: 0,
                reason: format!("its dictionary has no term {number} of kind {kind}").into(),
            };
            let kind = Kind::from_number(kind).ok_or_else(damaged)?;
            if table.add(kind, row.get_ref(2)?.as_blob().map_err(|_| damaged())?) != number {
                return Err(damaged());
            }
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = table;
        Ok(())
    }

    /// The number of a term, which is added in this transaction if it is not there; `None`: it does not fit.
    ///
    /// # Errors
    /// The database cannot be written.
    pub(super) fn number(&self, connection: &Connection, kind: Kind, term: &[u8]) -> rusqlite::Result<Option<u32>> {
        let known = self.read().number(kind, term);
        if known.is_some() {
            return Ok(known);
        }
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !table.has_room(kind, term) {
            return Ok(None);
        }
        let number = table.of(kind).terms.len() + 1;
        connection.prepare_cached(INSERT)?.execute((kind.number(), number, term))?;
        Ok(Some(table.add(kind, term)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(include_str!("schema.sql")).unwrap();
        connection
    }

    #[test]
    fn a_dictionary_takes_so_many_terms_and_is_read_as_it_was_written() {
        let (connection, dictionary) = (database(), Dictionary::default());
        let (most, longest) = Kind::StreamShape.bounds();
        for number in 0..most + 5 {
            let shape = format!("shape{number}");
            let given = dictionary.number(&connection, Kind::StreamShape, shape.as_bytes()).unwrap();
            assert_eq!(given, (number < most).then(|| u32::try_from(number).unwrap() + 1));
        }
        let long = vec![b'x'; longest + 1];
        assert_eq!(dictionary.number(&connection, Kind::Word, &long).unwrap(), None, "it is too long");
        assert_eq!(dictionary.number(&connection, Kind::Word, b"shape1").unwrap(), Some(1), "a kind of its own");

        let again = Dictionary::default();
        again.reload(&connection).unwrap();
        assert_eq!(again.read().number(Kind::StreamShape, b"shape7"), Some(8));
        assert_eq!(again.read().term(Kind::StreamShape, 8).unwrap()[..], *b"shape7");
        assert!(again.read().term(Kind::StreamShape, 0).is_none());
    }

    #[test]
    fn a_dictionary_that_lacks_a_term_is_corrupt() {
        let (connection, dictionary) = (database(), Dictionary::default());
        for word in [b"one", b"two"] {
            dictionary.number(&connection, Kind::Word, word).unwrap();
        }
        let changed = connection.execute("update term set bytes = x'00' where number = 1", []).unwrap_err();
        assert!(changed.to_string().contains("a term is immutable"), "{changed}");
        connection.execute_batch("drop trigger term_is_never_deleted; delete from term where number = 1").unwrap();
        assert!(matches!(dictionary.reload(&connection), Err(Error::Corrupt { .. })));
    }
}
