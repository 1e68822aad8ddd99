//! An app as settings name it.

use std::str::FromStr;

use rollcall_schemas::ids::AppId;
use rollcall_schemas::plain::{Environment, Plan};

/// Least length of a production app's secret, in characters. A development app may have a shorter one.
const SECRET_MIN: usize = 16;

/// An app to serve, created if it does not exist: `KEY:SECRET[:development|production[:starter|pro]]`.
#[derive(Clone, PartialEq, Eq)]
pub struct AppSpec {
    /// Its key.
    pub key: AppId,
    /// Its first secret.
    pub secret: String,
    /// Development unless said otherwise.
    pub environment: Environment,
    /// Starter unless said otherwise.
    pub plan: Plan,
}

// The secret must not be printed, not even by accident.
impl std::fmt::Debug for AppSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppSpec").field("key", &self.key).finish_non_exhaustive()
    }
}

impl FromStr for AppSpec {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "expected KEY:SECRET[:development|production[:starter|pro]]";
        let mut parts = text.split(':');
        let key = parts
            .next()
            .unwrap_or_default()
            .parse()
            .map_err(|_| format!("an app key is 1 to 64 of A-Z a-z 0-9 _ -; {FORM}"))?;
        let secret = parts.next().unwrap_or_default();
        if secret.is_empty() || secret.len() > 128 || !secret.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("an app secret is 1 to 128 printable ASCII characters without a colon; {FORM}"));
        }
        let environment = parts.next().map_or(Ok(Environment::Development), str::parse);
        let environment = environment.map_err(|words| format!("the environment is {words}; {FORM}"))?;
        if environment == Environment::Production && secret.len() < SECRET_MIN {
            return Err(format!(
                "the secret of a production app has at least {SECRET_MIN} characters; an app that has a shorter one gets \
                 another with `rollcall apps rotate-secret`; {FORM}"
            ));
        }
        let plan = parts.next().map_or(Ok(Plan::Starter), str::parse);
        let plan = plan.map_err(|words| format!("the plan is {words}; {FORM}"))?;
        if parts.next().is_some() {
            return Err(format!("there is too much after the plan; {FORM}"));
        }
        Ok(Self { key, secret: secret.into(), environment, plan })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_app_is_for_development_on_the_starter_plan_unless_it_says_otherwise() {
        let spec: AppSpec = "key:secret".parse().unwrap();
        assert_eq!((spec.environment, spec.plan), (Environment::Development, Plan::Starter));
        let spec: AppSpec = "key:sixteen-and-more:production:pro".parse().unwrap();
        assert_eq!((spec.environment, spec.plan), (Environment::Production, Plan::Pro));
    }

    #[test]
    fn the_secret_of_a_production_app_is_long_and_that_of_a_development_app_need_not_be() {
        assert!("key:s3cret".parse::<AppSpec>().is_ok());
        assert!("key:s3cret:development".parse::<AppSpec>().is_ok());
        assert!("key:0123456789abcdef:production".parse::<AppSpec>().is_ok());
        let short = "key:0123456789abcde:production".parse::<AppSpec>().unwrap_err();
        assert!(short.contains("at least 16 characters") && !short.contains("abcde"), "{short}");
    }

    #[test]
    fn a_bad_app_is_refused_with_the_form_it_should_have() {
        for bad in [
            "",
            "key",
            "key:",
            ":secret",
            "k y:secret",
            "key:secret:test",
            "key:sixteen-and-more:production:gold",
            "k:sixteen-and-more:production:pro:x",
        ] {
            let error = bad.parse::<AppSpec>().unwrap_err();
            assert!(error.contains("KEY:SECRET"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_debug_print_of_an_app_does_not_show_its_secret() {
        let spec: AppSpec = "key:hunter2".parse().unwrap();
        assert!(!format!("{spec:?}").contains("hunter2"));
    }
}
