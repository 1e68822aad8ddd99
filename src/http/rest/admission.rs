//! Whether one user may message another.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::problem::{Answer, Problem};
use crate::domain::values::{self, Invalid, UserId};
use crate::engine::admission::{Denial, Rule};

/// Pairs one call may ask about.
const CHECKS_MAX: usize = 1_000;

/// Who would message whom.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    from: String,
    to: String,
}

/// One pair, or several.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum Checks {
    /// One.
    One(Check),
    /// At most 1,000.
    Several {
        /// Them.
        checks: Vec<Check>,
    },
}

/// Whether a message is admitted.
#[derive(Serialize, ToSchema)]
pub(super) struct Verdict {
    allowed: bool,
    /// What stands against it: `sender_unknown`, `sender_deactivated`, `sender_banned`, `sender_muted`,
    /// `receiver_deactivated`, `blocked`, `not_allowed` or `not_friends`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'static str>,
    /// The number that the platform's clients know for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    /// Position of the event that makes it so; none for a sender who was never registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
}

/// What was asked, in its order.
#[derive(Serialize, ToSchema)]
pub(super) struct Verdicts {
    results: Vec<Verdict>,
}

/// One verdict, or one for each pair.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Admission {
    /// Of one pair.
    One(Verdict),
    /// Of several.
    Several(Verdicts),
}

impl Verdict {
    fn of(denial: Option<Denial>) -> Self {
        let Some(Denial { rule, position }) = denial else {
            return Self { allowed: true, rule: None, code: None, position: None };
        };
        let (name, code) = match rule {
            Rule::SenderUnknown => ("sender_unknown", 400),
            Rule::SenderDeactivated => ("sender_deactivated", 31029),
            Rule::SenderBanned => ("sender_banned", 31009),
            Rule::SenderMuted => ("sender_muted", 20106),
            Rule::ReceiverDeactivated => ("receiver_deactivated", 31029),
            Rule::Blocked => ("blocked", 405),
            Rule::NotAllowed => ("not_allowed", 407),
            Rule::NotFriends => ("not_friends", 25469),
        };
        Self { allowed: false, rule: Some(name), code: Some(code), position }
    }
}

/// `POST /messages/admission`.
pub(super) async fn check(call: &Call<'_>) -> Result<Answer, Problem> {
    let parse = |field: &'static str, pointer: &'static str, id: &str| {
        UserId::parse(field, id).map_err(|invalid| Problem::Invalid(pointer, invalid))
    };
    // Nearly every call asks about one pair; what may be one or several is read into a tree before it is either.
    let asked = match call.json() {
        Ok(one) => Checks::One(one),
        Err(_) => call.json()?,
    };
    match asked {
        Checks::One(Check { from, to }) => {
            let pair = (parse("from", "#/from", &from)?, parse("to", "#/to", &to)?);
            let denial = call.engine.admission(&call.app.id, &[pair]).await?;
            Answer::query(&Admission::One(Verdict::of(denial.into_iter().next().flatten())))
        }
        Checks::Several { checks } => {
            if checks.len() > CHECKS_MAX {
                let too_many = Invalid::new("checks", values::Problem::TooMany { max: CHECKS_MAX });
                return Err(Problem::Invalid("#/checks", too_many));
            }
            let pair =
                |check: &Check| Ok((parse("from", "#/checks", &check.from)?, parse("to", "#/checks", &check.to)?));
            let pairs = checks.iter().map(pair).collect::<Result<Vec<_>, Problem>>()?;
            let denials = call.engine.admission(&call.app.id, &pairs).await?;
            let results = denials.into_iter().map(Verdict::of).collect();
            Answer::query(&Admission::Several(Verdicts { results }))
        }
    }
}
