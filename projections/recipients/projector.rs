//! What events change about recipients. They stay when the subject is erased: they are told of it then.

use rollcall_schemas::access;

use super::queries;
use crate::{Changes, projection, statements};

statements! {
    add = "INSERT INTO recipients_v1 (subject, webhook, recipient) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
}

projection! {
    /// The recipients of personal data, by subject.
    Recipients: "recipients" version 1, tables ["recipients_v1"];
    reads(entry, changes) {
        access::Disclosed(e) => record(e, changes),
    }
}

fn record(e: &access::Disclosed, changes: &mut Changes) {
    changes.push(add, [e.subject.into(), e.webhook.into(), e.recipient.0.as_str().into()]);
}
