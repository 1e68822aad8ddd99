//! Who is connected: connections, presence, subscriptions. Nothing of it is a fact, so none of it is in the log.

pub mod presence;
