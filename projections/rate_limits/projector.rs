//! What events change about the limits.

use super::queries;
use crate::{Value, projection, statements};

statements! {
    set_limit = "INSERT INTO rate_limits_v1 (app, rate_limit) VALUES ($1, $2)
        ON CONFLICT (app) DO UPDATE SET rate_limit = excluded.rate_limit";
}

projection! {
    /// The limit of each app that has had one.
    RateLimits: "rate_limits" version 1, tables ["rate_limits_v1"];
    reads(_entry, changes) {
        app::RateLimitSet(e) => changes.push(set_limit, [(&e.app).into(), Value::Text(e.limit.to_string())]),
    }
}
