//! What events change in the register.

use rollcall_schemas::data_request;
use rollcall_schemas::ids::DataRequestId;

use super::queries::{self, Status};
use crate::{Changes, Entry, projection, statements};

statements! {
    receive = "INSERT INTO data_requests_v1 (request, app, subject, kind, received_position, received_at, due_at, status,
            is_open)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1)";
    extend = "UPDATE data_requests_v1 SET due_at = $1, status = $2 WHERE request = $3";
    close = "UPDATE data_requests_v1 SET status = $1, closed_at = $2, is_open = 0 WHERE request = $3";
}

projection! {
    /// Every request of a person about their data.
    DataRequests: "data_requests" version 1, tables ["data_requests_v1"];
    reads(entry, changes) {
        data_request::Received(e) => add(e, entry, changes),
        data_request::Extended(e) =>
            changes.push_must_change(extend, [e.due_at.into(), Status::Extended.as_str().into(), e.request.into()]),
        data_request::Answered(e) => end(Status::Answered, e.request, entry, changes),
        data_request::Refused(e) => end(Status::Refused, e.request, entry, changes),
    }
}

fn add(e: &data_request::Received, entry: &Entry<'_>, changes: &mut Changes) {
    let (kind, status) = (e.kind.as_str().into(), Status::Received.as_str().into());
    let (position, at, due_at) = (entry.position(), entry.at(), e.due_at.into());
    changes.push(receive, [e.request.into(), entry.app(), e.subject.into(), kind, position, at, due_at, status]);
}

fn end(status: Status, request: DataRequestId, entry: &Entry<'_>, changes: &mut Changes) {
    changes.push_must_change(close, [status.as_str().into(), entry.at(), request.into()]);
}
