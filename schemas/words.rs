//! Enumerations whose values are written as one word each: in events, in columns, in requests and on the command line.

/// A word that is none of an enumeration's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownWord {
    /// Its words.
    pub words: &'static [&'static str],
}

impl std::fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.words {
            [others @ .., last] if !others.is_empty() => write!(f, "{} or {last}", others.join(", ")),
            words => f.write_str(&words.concat()),
        }
    }
}

impl std::error::Error for UnknownWord {}

/// Declares an enumeration with the word of each value, so that the two are written down together and once:
///
/// ```
/// rollcall_schemas::words! {
///     /// Which way.
///     Direction {
///         /// To the top.
///         Up = "up",
///         /// To the bottom.
///         Down = "down",
///     }
/// }
/// assert_eq!(Direction::Up.as_str(), "up");
/// assert_eq!("down".parse(), Ok(Direction::Down));
/// assert_eq!("left".parse::<Direction>().unwrap_err().to_string(), "up or down");
/// ```
#[macro_export]
macro_rules! words {
    ($( $(#[$meta:meta])* $type:ident { $( $(#[$value_meta:meta])* $value:ident = $word:literal, )* } )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $type { $( $(#[$value_meta])* $value, )* }

        impl $type {
            /// The word of each value, in the order of the values.
            pub const WORDS: &'static [&'static str] = &[$($word),*];
            /// Every value.
            pub const ALL: [Self; Self::WORDS.len()] = [$(Self::$value),*];

            /// Its word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $word,)* }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$value),)*
                    _ => Err($crate::UnknownWord { words: Self::WORDS }),
                }
            }
        }
    )*};
}

/// Lets enumerations of words be written in events. One that a single aggregate needs stands in the aggregate's module.
macro_rules! recorded {
    ($($type:ident),* $(,)?) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                word.parse().map_err(|_| <D::Error as serde::de::Error>::unknown_variant(&word, Self::WORDS))
            }
        }

        impl $crate::plain::Shape for $type {
            fn shape() -> serde_json::Value {
                serde_json::json!({"enum": Self::WORDS})
            }
        }

        impl $crate::plain::Plain for $type {}
    )*};
}

pub(crate) use recorded;

words! {
    /// What kind of personal data a value is, in the order of their numbers; each class of a subject has its own key.
    #[derive(PartialOrd, Ord)]
    Class {
        /// Name, portrait, hosted profile, tags, remarks others wrote about the subject, request texts.
        Profile = "profile",
        /// The app's userId.
        Identity = "identity",
        /// Free-text reasons and notes of moderators.
        Moderation = "moderation",
        /// Why data is held for legal reasons, although its erasure was requested.
        Hold = "hold",
    }

    /// What an app is for; a development app registers at most 100 users.
    Environment {
        /// At most 100 registered users; users can be listed and deleted.
        Development = "development",
        /// Unlimited.
        Production = "production",
    }

    /// What an app's owner subscribed to.
    Plan {
        /// The smaller plan.
        Starter = "starter",
        /// The larger plan.
        Pro = "pro",
    }

    /// Who may become a user's friend.
    FriendPermission {
        /// At once, without asking.
        Anyone = "anyone",
        /// After the user accepted.
        Approval = "approval",
        /// No one.
        Nobody = "nobody",
    }

    /// How many devices of one class (mobile, web, desktop) a user may be connected with.
    #[derive(Default)]
    DeviceRule {
        /// One; the newest closes the one before, as the platform does.
        #[default]
        OnePerClass = "one_per_class",
        /// Several.
        Several = "several",
    }

    /// Who sees of a user more than name and portrait.
    Visibility {
        /// No one.
        Hidden = "hidden",
        /// Everyone of the app.
        All = "all",
        /// The user's friends.
        Friends = "friends",
    }

    /// How far an erasure goes.
    Scope {
        /// Classes profile and moderation; the userId stays listed as deactivated.
        Deactivate = "deactivate",
        /// Class identity too: the userId is unlinked and free again.
        Forget = "forget",
    }

    /// On what ground data is erased (GDPR, Article 17(1)).
    #[derive(Default)]
    LegalBasis {
        /// The app closes the account; it gave no other ground.
        #[default]
        AccountClosed = "account_closed",
        /// (a) the data is no longer necessary.
        NoLongerNecessary = "no_longer_necessary",
        /// (b) consent was withdrawn.
        ConsentWithdrawn = "consent_withdrawn",
        /// (c) the person objects.
        Objection = "objection",
        /// (d) the data was processed unlawfully.
        UnlawfulProcessing = "unlawful_processing",
        /// (e) the law demands it.
        LegalObligation = "legal_obligation",
        /// (f) the data is of a child.
        Child = "child",
    }

    /// What a person asks about their data (GDPR, Articles 15 to 21).
    DataRequestKind {
        /// What is held (Article 15).
        Access = "access",
        /// The data in a form that can be taken elsewhere (Article 20).
        Portability = "portability",
        /// Erasure (Article 17).
        Erasure = "erasure",
        /// Correction (Article 16).
        Rectification = "rectification",
        /// That it is only kept (Article 18).
        Restriction = "restriction",
        /// An objection (Article 21).
        Objection = "objection",
    }

    /// In whose name an erasure is requested.
    #[derive(Default)]
    Requester {
        /// The app's back end, by itself.
        #[default]
        Controller = "controller",
        /// The person whose data it is.
        Subject = "subject",
        /// Somebody who acts for that person.
        Representative = "representative",
        /// An authority or a court.
        Authority = "authority",
        /// The service itself, to try the way of an erasure on a person that was made up for it.
        Drill = "drill",
    }

    /// What a report says of an erasure.
    ReportStatus {
        /// Nothing can be written about the person; the data is still there.
        Fenced = "fenced",
        /// The keys are destroyed; it is not verified yet.
        Scrubbed = "scrubbed",
        /// Verified; what held the root key keeps it until a waiting period ends.
        PendingFinality = "pending-finality",
        /// Verified and final.
        Final = "final",
        /// A part remains.
        Partial = "partial",
        /// It could not be done.
        Failed = "failed",
    }

    /// What a caller of the REST face may do.
    #[derive(PartialOrd, Ord)]
    ApiScope {
        /// What the app's back end does: users and their relations.
        Server = "server",
        /// Bans and who is banned.
        Moderator = "moderator",
        /// Erasures, reports, history and what else a data-protection officer needs.
        Compliance = "compliance",
        /// What overrides a safeguard.
        Operator = "operator",
    }

    /// What a client may do that shows an access token of few scopes.
    #[derive(PartialOrd, Ord)]
    TokenScope {
        /// Ask what the user may see; nothing is changed by it.
        Read = "read",
        /// Change the user's own profile, settings, lists, friends and subscriptions.
        Write = "write",
        /// Open a socket: the user is shown online, and is told what changes.
        Connect = "connect",
        /// Export all that is held about the user, and erase it where the app lets its users do that.
        Account = "account",
    }
}

recorded! {
    Class, Environment, Plan, FriendPermission, Visibility, DeviceRule, Scope, LegalBasis, DataRequestKind,
    Requester, ReportStatus, ApiScope, TokenScope,
}
