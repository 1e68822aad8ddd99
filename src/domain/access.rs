//! Who read what of a user, and to whom it was sent.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rollcall_schemas::access::{Disclosed, Event, Read};
use rollcall_schemas::ids::{AppId, FieldName, SubjectRef, WebhookId};
use rollcall_schemas::plain::OwnText;
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};

use super::state::Recorded;
use super::{Decide, Error, Reads, UnitOfWork};

/// Most recipients of one user that are remembered; who comes after that is recorded with each delivery.
const RECIPIENTS_MAX: usize = 200;

/// What later decisions know: who is a recipient already. Of reads they know nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    recipients: BTreeSet<(WebhookId, String)>,
}

impl Recorded for State {
    const VERSION: u32 = 2;

    fn entries(&self) -> usize {
        self.recipients.len()
    }
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    match event {
        Event::Read(_) => {}
        Event::Disclosed(e) => {
            if state.recipients.len() < RECIPIENTS_MAX {
                state.recipients.insert((e.webhook, e.recipient.0.clone()));
            }
        }
    }
}

/// Record that personal data of subjects is sent to a recipient, once for each.
#[derive(Debug, Clone)]
pub struct Disclose {
    /// Of whom.
    pub subjects: Vec<SubjectRef>,
    /// By which webhook.
    pub webhook: WebhookId,
    /// To whom.
    pub recipient: String,
}

impl Decide for Disclose {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        self.subjects.iter().for_each(|subject| reads.stream(Stream::Access(*subject)));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let recipient = (self.webhook, self.recipient.clone());
        for subject in &self.subjects {
            if !work.state::<State>(*subject)?.recipients.contains(&recipient) {
                let (webhook, recipient) = (self.webhook, OwnText(self.recipient.clone()));
                work.record::<State>(*subject, [Disclosed { subject: *subject, webhook, recipient }.into()])?;
            }
        }
        Ok(())
    }
}

/// Record that fields of subjects are answered to the caller, where the app asks for it.
#[derive(Debug, Clone)]
pub struct RecordReads(pub Vec<(SubjectRef, BTreeSet<FieldName>)>);

impl Decide for RecordReads {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        self.0.iter().for_each(|(subject, _)| reads.stream(Stream::Access(*subject)));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        if work.application()?.settings.record_reads {
            for (subject, fields) in &self.0 {
                work.record::<State>(*subject, [Read { subject: *subject, fields: fields.clone() }.into()])?;
            }
        }
        Ok(())
    }
}
