//! The record of what personal data there is (GDPR, Article 30), generated from the declarations of the events: a field
//! that is not in it cannot be recorded.

use rollcall_schemas::Event;
use rollcall_schemas::personal::Class;
use serde::Serialize;

/// One personal field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Entry {
    /// The event that records it.
    pub event: &'static str,
    /// Version of the event.
    pub version: u16,
    /// The field.
    pub field: &'static str,
    /// Its class.
    pub class: &'static str,
    /// The field of the event that says whose it is.
    pub subject: &'static str,
    /// What the class is for.
    pub purpose: &'static str,
    /// How long it is kept.
    pub kept: &'static str,
    /// Which erasures erase it.
    pub erased_by: &'static [&'static str],
}

/// Word, purpose, time and erasures of a class.
#[must_use]
pub fn of_class(class: Class) -> (&'static str, &'static str, &'static str, &'static [&'static str]) {
    const BOTH: &[&str] = &["deactivate", "forget"];
    const FORGET: &[&str] = &["forget"];
    match class {
        Class::Profile => ("profile", "To show a user to others as the user or the app chose", "Until erasure", BOTH),
        Class::Identity => {
            ("identity", "To find the user by the id the app chose", "Until the user is forgotten", FORGET)
        }
        Class::Moderation => ("moderation", "To tell why a moderator acted", "Until erasure", BOTH),
        Class::Hold => {
            ("hold", "To tell why data must be kept for legal reasons", "Until the user is forgotten", FORGET)
        }
    }
}

/// Every personal field that can be recorded.
#[must_use]
pub fn data_map() -> Vec<Entry> {
    let fields = Event::declarations().flat_map(|event| {
        event.fields.iter().filter_map(move |field| {
            let (class, subject) = field.personal?;
            let (class, purpose, kept, erased_by) = of_class(class);
            let (event, version) = (event.name, event.version);
            Some(Entry { event, version, field: field.name, class, subject, purpose, kept, erased_by })
        })
    });
    fields.collect()
}

/// The same for people, as HTML that prints well.
#[must_use]
pub fn page() -> String {
    super::report::pages::page(
        "Personal data and what it is for",
        &maud::html! {
            h1 { "Personal data and what it is for" }
            p { "Generated from what the service can record (GDPR, Article 30). Every value is encrypted under a key of its person." }
            table {
                tr { th { "Event and field" } th { "Class" } th { "Purpose" } th { "Kept" } th { "Erased by" } }
                @for entry in data_map() {
                    tr {
                        td { code { (entry.event) "/" (entry.field) } }
                        td { (entry.class) } td { (entry.purpose) } td { (entry.kept) } td { (entry.erased_by.join(", ")) }
                    }
                }
            }
        },
    )
}
