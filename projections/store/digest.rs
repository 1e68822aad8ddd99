//! One number for the rows of a read model: equal exactly when the rows are, in whichever database they stand.

use sha2::{Digest, Sha256};

use super::row::Cell;

/// Collects rows in the order of their primary key.
#[derive(Default)]
pub(super) struct Rows(Sha256);

impl Rows {
    pub(super) fn table(&mut self, name: &str) {
        self.0.update(name.as_bytes());
    }

    pub(super) fn row(&mut self) {
        self.0.update([0xff]);
    }

    /// A type and a length before each value: two different rows never read as the same bytes.
    pub(super) fn cell(&mut self, cell: &Cell<'_>) {
        match cell {
            Cell::Null => self.0.update([0]),
            Cell::Int(number) => {
                self.0.update([1]);
                self.0.update(number.to_be_bytes());
            }
            Cell::Text(text) => self.bytes(3, text.as_bytes()),
            Cell::Bytes(bytes) => self.bytes(4, bytes),
        }
    }

    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.0.update([kind]);
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}
