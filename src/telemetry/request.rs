//! What lines of the log tell about the request during whose answering they are written.
//!
//! It travels with the task that answers and is read where a line is written. A span of `tracing` would be registered, written out and
//! released for each request: about a tenth of what a point query costs, and next to no request has a line.

use std::fmt;
use std::sync::{Arc, OnceLock};

use rollcall_schemas::ids::AppId;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// A request that is being answered.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext(Arc<Fields>);

#[derive(Debug)]
struct Fields {
    id: Uuid,
    /// `None`: it came over a WebSocket.
    method: Option<&'static str>,
    /// The face, and the name of the endpoint there.
    endpoint: OnceLock<(&'static str, &'static str)>,
    app: OnceLock<AppId>,
    trace: Span,
}

impl RequestContext {
    /// A request with this span for traces; which endpoint and app it is about shows later.
    pub(crate) fn new(id: Uuid, method: Option<&'static str>, trace: Span) -> Self {
        Self(Arc::new(Fields { id, method, endpoint: OnceLock::new(), app: OnceLock::new(), trace }))
    }

    /// Does something for the request.
    pub(crate) async fn around<T>(&self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self.clone(), work).instrument(self.0.trace.clone()).await
    }

    /// Does something for the request that waits for nothing.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), work)
    }

    /// Looks at the request that is being answered, if one is.
    pub(crate) fn with_current<T>(look: impl FnOnce(&Self) -> T) -> Option<T> {
        CURRENT.try_with(look).ok()
    }

    /// Notes where it goes.
    pub(crate) fn routed(&self, face: &'static str, route: &'static str) {
        let _ = self.0.endpoint.set((face, route));
    }

    /// Notes for which app it speaks.
    pub(crate) fn of_app(&self, app: &AppId) {
        let _ = self.0.app.set(app.clone());
        self.0.trace.record("rollcall.app", app.as_str());
    }

    /// Its span for traces.
    pub(crate) fn trace(&self) -> &Span {
        &self.0.trace
    }

    /// Writes the names and values of what is known of it, the id first.
    pub(super) fn write_fields(&self, mut field: impl FnMut(&'static str, &str) -> fmt::Result) -> fmt::Result {
        let Fields { id, method, endpoint, app, trace: _ } = &*self.0;
        field("id", id.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()))?;
        if let Some(method) = method {
            field("method", method)?;
        }
        if let Some((face, route)) = endpoint.get() {
            field("face", face)?;
            field("route", route)?;
        }
        app.get().map_or(Ok(()), |app| field("app", app.as_str()))
    }
}
