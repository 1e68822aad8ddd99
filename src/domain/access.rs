//! Who read what of a user. Nothing is decided by it.

use std::collections::BTreeSet;

use rollcall_schemas::access::{Event, Read};
use rollcall_schemas::ids::{FieldName, SubjectRef};

/// What later decisions know of reads: nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State;

/// Records that fields of a subject were answered.
#[must_use]
pub fn read(subject: SubjectRef, fields: &BTreeSet<FieldName>) -> Event {
    Read { subject, fields: fields.clone() }.into()
}
