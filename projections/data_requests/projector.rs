//! What events change in the register.

use rollcall_schemas::{Event, data_request};

use super::queries::{self, Status};
use crate::{Changes, Entry, Inconsistent, Projection, statements, words};

statements! {
    receive = "INSERT INTO data_requests_v1 (request, app, subject, kind, received_position, received_at, due_at, status,
            is_open)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1)";
    extend = "UPDATE data_requests_v1 SET due_at = $1, status = $2 WHERE request = $3";
    close = "UPDATE data_requests_v1 SET status = $1, closed_at = $2, is_open = 0 WHERE request = $3";
}

/// The read model.
pub struct DataRequests;

impl Projection for DataRequests {
    fn name(&self) -> &'static str {
        "data_requests"
    }
    fn version(&self) -> u32 {
        1
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["data_requests_v1"]
    }
    fn statements(&self) -> &'static [&'static str] {
        STATEMENTS
    }
    fn queries(&self) -> &'static [&'static str] {
        queries::STATEMENTS
    }
    fn project(&self, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
        match &entry.recorded.event {
            Event::DataRequest(event) => project_request(entry, event, changes),
            Event::App(_)
            | Event::Roster(_)
            | Event::User(_)
            | Event::Token(_)
            | Event::Ban(_)
            | Event::Blocklist(_)
            | Event::Allowlist(_)
            | Event::Friendship(_)
            | Event::Remarks(_)
            | Event::Erasure(_)
            | Event::Access(_) => {}
        }
        Ok(())
    }
}

fn project_request(entry: &Entry<'_>, event: &data_request::Event, changes: &mut Changes) {
    let recorded = entry.recorded;
    match event {
        data_request::Event::Received(e) => changes.push(
            receive,
            [
                e.request.into(),
                (&recorded.metadata.app).into(),
                e.subject.into(),
                words::request_kind(e.kind).into(),
                recorded.position.into(),
                recorded.recorded_at.into(),
                e.due_at.into(),
                Status::Received.as_str().into(),
            ],
        ),
        data_request::Event::Extended(e) => {
            let status = Status::Extended.as_str().into();
            changes.push_must_change(extend, [e.due_at.into(), status, e.request.into()]);
        }
        data_request::Event::Answered(e) => {
            let status = Status::Answered.as_str().into();
            changes.push_must_change(close, [status, recorded.recorded_at.into(), e.request.into()]);
        }
        data_request::Event::Refused(e) => {
            let status = Status::Refused.as_str().into();
            changes.push_must_change(close, [status, recorded.recorded_at.into(), e.request.into()]);
        }
    }
}
