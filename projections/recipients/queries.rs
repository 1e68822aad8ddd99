//! What can be asked about recipients.

use rollcall_schemas::ids::{SubjectRef, WebhookId};

use crate::store::{Error, ReadStore, Row};
use crate::{paging, queries};

/// Most recipients of one subject that are told: an app has 20 webhooks at a time.
const RECIPIENTS_MAX: u32 = 500;

queries! {
    of_subject = "SELECT webhook, recipient FROM recipients_v1 WHERE subject = $1 ORDER BY webhook, recipient LIMIT $2";
}

/// Somebody who was sent personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// By which webhook.
    pub webhook: WebhookId,
    /// Who: the host it was sent to.
    pub name: String,
}

impl Recipient {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self { webhook: WebhookId(row.id(0)?), name: row.text(1)?.to_owned() })
    }
}

/// The recipients of personal data of a subject.
///
/// # Errors
/// The store is unavailable.
pub async fn of(store: &ReadStore, subject: SubjectRef) -> Result<Vec<Recipient>, Error> {
    store.rows(of_subject, &[subject.into(), paging::limit(RECIPIENTS_MAX)], Recipient::read).await
}
