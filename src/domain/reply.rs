//! What a command answers: typed by the command, and in one recorded form for retries.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{self, SecretId, SubjectRef, TokenId};
use rollcall_schemas::plain::TokenScope;
use rollcall_schemas::token::{self, Issued, IssuedV2};
use serde::{Deserialize, Serialize};

use super::token::TokenScopes;

macro_rules! replies {
    ($($(#[$doc:meta])* $variant:ident($type:ty)),* $(,)?) => {
        /// The reply of any command as it is recorded under its idempotency key. It holds no personal data. Replies of
        /// earlier versions must stay readable: fields are only added, with a default.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Reply {
            /// Done.
            Done,
            /// The two are friends now.
            Friends,
            /// The request waits for the target's answer.
            Waiting,
            $($(#[$doc])* $variant($type),)*
        }

        $(
            impl TypedReply for $type {
                fn into_reply(self) -> Reply {
                    Reply::$variant(self)
                }

                fn from_reply(reply: Reply) -> Option<Self> {
                    if let Reply::$variant(value) = reply { Some(value) } else { None }
                }
            }
        )*
    };
}

replies! {
    /// A user was registered and a token issued.
    Token(Registration),
    /// An operation was begun.
    Operation(ids::OperationId),
    /// A request about data was received.
    DataRequest(ids::DataRequestId),
    /// A user was imported.
    Imported(super::user::Imported),
    /// A bulk operation was begun.
    Batch(ids::BatchId),
    /// An import of records was begun.
    Import(ids::ImportId),
    /// A webhook was registered.
    Webhook(ids::WebhookId),
    /// The key of a webhook was rotated.
    WebhookKey(super::webhook::RotatedKey),
}

/// The reply of one command. A retry under the same idempotency key is answered with what was recorded.
pub trait TypedReply: Sized + Send + 'static {
    /// As it is recorded.
    fn into_reply(self) -> Reply;

    /// From what was recorded; `None`: that is the reply of another command.
    fn from_reply(reply: Reply) -> Option<Self>;
}

/// A command that answers nothing but that it is done.
impl TypedReply for () {
    fn into_reply(self) -> Reply {
        Reply::Done
    }

    fn from_reply(reply: Reply) -> Option<Self> {
        (reply == Reply::Done).then_some(())
    }
}

/// What a registration answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The access token.
    #[serde(flatten)]
    pub token: IssuedToken,
    /// Whether the user was not registered before.
    #[serde(default)]
    pub is_new: bool,
}

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedToken {
    /// For whom.
    pub subject: SubjectRef,
    /// Its id.
    pub token: TokenId,
    /// The app's secret it depends on.
    pub secret: SecretId,
    /// The user's epoch it depends on.
    pub epoch: u32,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// What it may do; `None`: everything that its user may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<TokenScopes>,
}

impl IssuedToken {
    /// Whether it may do what a scope is for.
    #[must_use]
    pub fn allows(&self, scope: TokenScope) -> bool {
        self.scopes.as_ref().is_none_or(|scopes| scopes.contains(scope))
    }

    /// That it was issued. The first version is recorded wherever it says everything.
    pub(super) fn event(&self) -> token::Event {
        let Self { subject, token, secret, epoch, issued_at, expires_at, .. } = *self;
        match &self.scopes {
            None => Issued { subject, token, secret, epoch, issued_at, expires_at }.into(),
            Some(scopes) => {
                let scopes = scopes.iter().collect();
                IssuedV2 { subject, token, secret, epoch, issued_at, expires_at, scopes }.into()
            }
        }
    }
}

impl From<&Issued> for IssuedToken {
    fn from(issued: &Issued) -> Self {
        let Issued { subject, token, secret, epoch, issued_at, expires_at } = *issued;
        Self { subject, token, secret, epoch, issued_at, expires_at, scopes: None }
    }
}

impl From<&IssuedV2> for IssuedToken {
    fn from(issued: &IssuedV2) -> Self {
        let IssuedV2 { subject, token, secret, epoch, issued_at, expires_at, .. } = *issued;
        let scopes = TokenScopes::of(issued.scopes.iter().copied());
        Self { subject, token, secret, epoch, issued_at, expires_at, scopes }
    }
}

/// What befriending somebody came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Befriended {
    /// The two are friends now.
    Friends,
    /// The request waits for the target's answer.
    Waiting,
}

impl TypedReply for Befriended {
    fn into_reply(self) -> Reply {
        match self {
            Self::Friends => Reply::Friends,
            Self::Waiting => Reply::Waiting,
        }
    }

    fn from_reply(reply: Reply) -> Option<Self> {
        let is = |befriended: &Self| befriended.into_reply() == reply;
        [Self::Friends, Self::Waiting].into_iter().find(is)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rollcall_schemas::ids::{DataRequestId, OperationId};

    use super::*;

    /// What the first version recorded.
    const RECORDED: [&str; 6] = [
        r#""done""#,
        r#"{"token":{"subject":"6b1ff0a4-43c0-4d7c-9d43-0f7f6e3ac0a1","token":"0c3b2f6e-1a50-4ea1-8d61-3f5fd1a0c111","secret":1,"epoch":0,"issued_at":"2026-01-31T12:00:00Z","expires_at":null}}"#,
        r#"{"operation":"C70B-B1D6-82E8-5A10"}"#,
        r#""friends""#,
        r#""waiting""#,
        r#"{"data_request":"6b1ff0a4-43c0-4d7c-9d43-0f7f6e3ac0a1"}"#,
    ];

    #[test]
    fn replies_that_earlier_versions_recorded_are_read_as_the_replies_of_their_commands() {
        let [done, token, operation, friends, waiting, request] =
            RECORDED.map(|json| serde_json::from_str::<Reply>(json).unwrap());
        assert_eq!(<()>::from_reply(done), Some(()));
        assert!(!Registration::from_reply(token).unwrap().is_new);
        assert_eq!(OperationId::from_reply(operation), Some(OperationId("C70B-B1D6-82E8-5A10".into())));
        assert_eq!(Befriended::from_reply(friends), Some(Befriended::Friends));
        assert_eq!(Befriended::from_reply(waiting.clone()), Some(Befriended::Waiting));
        assert!(DataRequestId::from_reply(request).is_some());
        assert_eq!(OperationId::from_reply(waiting), None, "the reply of another command is none of this one");
    }

    #[test]
    fn a_recorded_registration_keeps_whether_the_user_was_new() {
        let Reply::Token(old) = serde_json::from_str(RECORDED[1]).unwrap() else { unreachable!() };
        let new = Reply::Token(Registration { is_new: true, ..old });
        assert_eq!(serde_json::from_slice::<Reply>(&serde_json::to_vec(&new).unwrap()).unwrap(), new);
    }
}
