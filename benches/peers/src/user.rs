//! The user that everyone registers.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is known of a user at registration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile {
    /// How to write to them: different for each.
    pub(crate) email: String,
    /// How they are called.
    pub(crate) display_name: String,
    /// Their language.
    pub(crate) locale: String,
}

/// A user whom nobody has registered yet.
pub(crate) fn new() -> (Uuid, Profile) {
    let user = Uuid::new_v4();
    let email = format!("{}@example.com", user.simple());
    (user, Profile { email, display_name: "Ada Lovelace".to_owned(), locale: "en-GB".to_owned() })
}
