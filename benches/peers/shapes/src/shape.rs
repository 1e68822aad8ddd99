//! What each shape has to do.

use anyhow::Result;

use crate::registration::{Registration, Stream};

/// A log that one thread appends to.
pub(crate) trait Shape {
    /// Stores registrations; they are on the disk when it returns.
    ///
    /// # Errors
    /// The disk, or a stream that is not new.
    fn append(&mut self, batch: &[Registration]) -> Result<()>;

    /// Brings everything to the files whose size counts.
    ///
    /// # Errors
    /// The disk.
    fn settle(&mut self) -> Result<()>;

    /// Reads all events in their order, and says how many.
    ///
    /// # Errors
    /// The disk.
    fn read_all(&mut self) -> Result<usize>;

    /// Reads the events of a stream and says how many; `None` where nothing finds them but reading all.
    ///
    /// # Errors
    /// The disk.
    fn read_stream(&mut self, stream: &Stream) -> Result<Option<usize>>;

    /// Takes the ciphertexts of a stream's first event away, so that they are not in the file afterwards; durably.
    ///
    /// # Errors
    /// The disk, or no such stream.
    fn detach(&mut self, stream: &Stream) -> Result<()>;
}
