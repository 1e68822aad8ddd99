//! Reading personal data is itself recorded, where the app asks for it.

use std::collections::BTreeSet;

use rollcall_schemas::ids::{AppId, FieldName, SubjectRef};

use super::{Caller, Engine, Error};
use crate::domain::access::RecordReads;

/// Fields of a subject that are about to be answered.
pub type Read = (SubjectRef, BTreeSet<FieldName>);

/// These fields of a subject.
pub fn fields_of<'f>(subject: SubjectRef, fields: impl IntoIterator<Item = &'f str>) -> Read {
    (subject, fields.into_iter().map(|field| FieldName(field.to_owned())).collect())
}

impl Engine {
    /// Whether an app wants its reads recorded.
    pub(super) fn records_reads(&self, app: &AppId) -> bool {
        self.apps.get(app.as_str()).is_some_and(|app| app.settings.record_reads)
    }

    /// Records that personal data is about to be answered to a caller; when it returns, the record is durable. `reads`
    /// is only asked where the app wants its reads recorded: elsewhere this costs a look at its settings.
    ///
    /// # Errors
    /// It could not be recorded: then the data must not be answered.
    pub async fn record_read(&self, caller: &Caller, reads: impl FnOnce() -> Vec<Read>) -> Result<(), Error> {
        if !self.records_reads(&caller.app) {
            return Ok(());
        }
        // On the heap: most apps do not want it, and every answer would carry it.
        Box::pin(self.record(caller, reads())).await
    }

    pub(super) async fn record(&self, caller: &Caller, reads: Vec<Read>) -> Result<(), Error> {
        if reads.is_empty() {
            return Ok(());
        }
        // A read that is repeated is another read.
        let caller = Caller { idempotency: None, ..caller.clone() };
        self.execute(&caller, RecordReads(reads)).await.map(drop)
    }
}
