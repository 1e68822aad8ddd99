//! What events change about the rules.

use super::queries;
use crate::{Value, projection, statements};

statements! {
    set_rules = "INSERT INTO client_rules_v1 (app, devices, invalidation_cuts, erasure,
            without_last_seen) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (app) DO UPDATE SET devices = excluded.devices,
            invalidation_cuts = excluded.invalidation_cuts, erasure = excluded.erasure,
            without_last_seen = excluded.without_last_seen";
}

projection! {
    /// The rules of each app that has its own.
    ClientRules: "client_rules" version 1, tables ["client_rules_v1"];
    reads(_entry, changes) {
        app::ClientRulesSet(e) => {
            let flag = |flag: bool| Value::from(u32::from(flag));
            let (cuts, erasure) = (flag(e.rules.invalidation_cuts), flag(e.rules.erasure));
            let unseen = flag(e.rules.without_last_seen);
            changes.push(set_rules, [(&e.app).into(), e.rules.devices.as_str().into(), cuts, erasure, unseen]);
        },
    }
}
