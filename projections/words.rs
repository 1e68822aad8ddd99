//! How the plain enumerations of events are written in columns.

use rollcall_schemas::plain::{
    DataRequestKind, Environment, FriendPermission, LegalBasis, Plan, ReportStatus, Requester, Scope,
};

macro_rules! words {
    ($($type:ident: $write:ident, $read:ident { $($variant:ident = $word:literal),* $(,)? })*) => {$(
        pub(crate) const fn $write(value: $type) -> &'static str {
            match value { $($type::$variant => $word),* }
        }
        pub(crate) fn $read(word: &str) -> Option<$type> {
            match word { $($word => Some($type::$variant),)* _ => None }
        }
    )*};
}

words! {
    Environment: environment, read_environment { Development = "development", Production = "production" }
    Plan: plan, read_plan { Starter = "starter", Pro = "pro" }
    FriendPermission: friend_permission, read_friend_permission {
        Anyone = "anyone", Approval = "approval", Nobody = "nobody",
    }
    LegalBasis: basis, read_basis {
        AccountClosed = "account_closed", NoLongerNecessary = "no_longer_necessary",
        ConsentWithdrawn = "consent_withdrawn", Objection = "objection",
        UnlawfulProcessing = "unlawful_processing", LegalObligation = "legal_obligation", Child = "child",
    }
    Requester: requester, read_requester {
        Controller = "controller", Subject = "subject", Representative = "representative", Authority = "authority",
        Drill = "drill",
    }
    ReportStatus: report_status, read_report_status {
        Fenced = "fenced", Scrubbed = "scrubbed", PendingFinality = "pending-finality", Final = "final",
        Partial = "partial", Failed = "failed",
    }
    DataRequestKind: request_kind, read_request_kind {
        Access = "access", Portability = "portability", Erasure = "erasure", Rectification = "rectification",
        Restriction = "restriction", Objection = "objection",
    }
    Scope: scope, read_scope { Deactivate = "deactivate", Forget = "forget" }
}
