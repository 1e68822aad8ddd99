//! Which endpoint made an answer, and why it could not make a better one: what is counted and logged of a request.

use actix_web::HttpResponse;

use crate::telemetry::traces::Endpoint;

/// Which endpoint made an answer. It travels with the answer to where answers are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Served {
    pub(super) face: &'static str,
    /// `None`: there is no such endpoint.
    pub(super) endpoint: Option<Endpoint>,
    /// Whether its answer may take long: it waits for events, or reads the log from its beginning.
    pub(super) may_wait: bool,
}

impl Served {
    /// By the endpoint of that name, if there is one; `template`: its path, with parameters in braces.
    pub(super) fn by(face: &'static str, endpoint: Option<(&'static str, &'static str)>) -> Self {
        let endpoint = endpoint.map(|(name, template)| Endpoint { face, name, template });
        Self { face, endpoint, may_wait: false }
    }

    /// The name of the endpoint, for a metric.
    pub(super) fn route(&self) -> &'static str {
        self.endpoint.map_or("none", |endpoint| endpoint.name)
    }

    pub(super) fn note(self, response: &mut HttpResponse) {
        response.extensions_mut().insert(self);
    }

    /// What no face has made is of probes, documents and `/metrics`.
    pub(super) fn of(response: &HttpResponse) -> Option<Self> {
        response.extensions().get::<Self>().copied()
    }
}

/// Why the service could not do what it was asked, for whoever runs it: callers are not told.
pub(super) struct Cause(pub(super) String);

impl Cause {
    pub(super) fn note(cause: Option<String>, response: &mut HttpResponse) {
        if let Some(cause) = cause {
            response.extensions_mut().insert(Self(cause));
        }
    }
}
