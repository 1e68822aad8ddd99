//! The count of what was answered, by endpoint.

use std::time::Duration;

use actix_web::HttpResponse;

use crate::metrics::Metrics;

/// Which endpoint made an answer. It travels with the answer to where answers are counted.
pub(super) struct Served {
    pub(super) face: &'static str,
    /// `None`: there is no such endpoint.
    pub(super) route: Option<&'static str>,
}

impl Served {
    pub(super) fn note(self, response: &mut HttpResponse) {
        response.extensions_mut().insert(self);
    }
}

/// Counts an answer. What no face has made is of probes, documents and `/metrics`.
pub(super) fn count(metrics: &Metrics, response: &HttpResponse, took: Duration) {
    let (face, route) = response.extensions().get::<Served>().map_or(("operations", None), |s| (s.face, s.route));
    metrics.answered(face, route.unwrap_or("none"), response.status().as_u16(), took);
}
