//! A read model that was built anew in a file of its own takes the place of the live one, where the read models are in a
//! file too. For those on a server see [`super::Shadow`].

use std::path::Path;

use super::{Backend, Error, ReadStore, shares};
use crate::{Arrival, Projection};

/// The tables beside the live ones of a read model, filled from the file that it was built in.
pub struct Beside<'s> {
    live: &'s ReadStore,
    built: &'s ReadStore,
    model: &'static dyn Projection,
    suffix: &'static str,
}

impl ReadStore {
    /// The file that holds the read models; `None`: they are on a server.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.backend {
            Backend::Sqlite(store) => Some(store.path()),
            Backend::Postgres(_) => None,
        }
    }

    /// Brings a read model from the file that it was built in beside the live one, which goes on meanwhile. `goes_on` is told
    /// how many rows were brought and how many there are, and answers whether to go on; where it does not, so does the
    /// answer.
    ///
    /// # Errors
    /// The read models are on a server, or a file cannot be read or written.
    pub fn bring_beside<'s>(
        &'s self,
        built: &'s Self,
        model: &'static dyn Projection,
        goes_on: &dyn Fn(u64, u64) -> bool,
    ) -> Result<Option<Beside<'s>>, Error> {
        let (to, from) = (self.file()?, built.file()?);
        let suffix = to.make_beside(model)?;
        let mut all = 0;
        for table in model.tables() {
            all += from.count(table)?;
        }
        let brought = std::cell::Cell::new(0);
        let goes_on = |count: u64| {
            brought.set(brought.get() + count);
            goes_on(brought.get(), all)
        };
        let beside = Beside { live: self, built, model, suffix };
        for table in model.tables() {
            if !to.bring_rows(from, (table, suffix), &goes_on)? {
                return Ok(None);
            }
        }
        Ok(Some(beside))
    }
}

impl Beside<'_> {
    /// Takes the place of the live read model, if that is at `until`, and applies `tail`, which is what it lacks up to there.
    /// Answers whether it did. A query that is under way sees the former one to its end.
    ///
    /// # Errors
    /// Events are missing, or a file cannot be read or written. Nothing was changed.
    pub fn take_place(&self, tail: &[Arrival<'_>], until: u64) -> Result<bool, Error> {
        let (to, from) = (self.live.file()?, self.built.file()?);
        let at = self.built.checkpoint(self.model.name())?;
        let which: [&dyn Projection; 1] = [self.model];
        let shares = shares::of(tail, &which, &|_| Ok(at))?;
        to.take_place(from, (self.model, self.suffix), &shares, until)
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        // What is left is dropped when the store is opened, or when the next one is brought.
        if let Ok(store) = self.live.file() {
            let _ = store.drop_beside();
        }
    }
}
