//! The seats of a development application: at most 100 registered users, decided in this stream.

use crate::declare::events;
use crate::ids::{AppId, SubjectRef};

events! { "roster", "What happens to the seats of a development application.";
    /// A registered user takes a seat.
    Seated = "seated" 1 {
        /// The application.
        app: plain => AppId,
        /// Who took it.
        subject: plain => SubjectRef,
    }
    /// A seat is free again.
    Vacated = "vacated" 1 {
        /// The application.
        app: plain => AppId,
        /// Who left it.
        subject: plain => SubjectRef,
    }
}
