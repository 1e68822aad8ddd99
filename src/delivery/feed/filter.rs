//! Which events of an app a reader wants.

use rollcall_schemas::Event;
use rollcall_schemas::envelope::Recorded;
use rollcall_schemas::ids::SubjectRef;

use super::super::event_type::{TypePattern, event_type};

/// Which events; the default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Types that are wanted; none: all.
    pub types: Vec<TypePattern>,
    /// Only events with this subject.
    pub subject: Option<SubjectRef>,
}

impl Filter {
    /// Whether events of this name and version may be wanted, whoever they are about.
    pub(super) fn wants_type(&self, name: &str, version: u16) -> bool {
        if self.types.is_empty() {
            return true;
        }
        let r#type = event_type(name, version);
        self.types.iter().any(|pattern| pattern.matches(&r#type))
    }

    /// Whether an event of a wanted type has the wanted subject.
    pub(super) fn wants_subject(&self, recorded: &Recorded<Event>) -> bool {
        self.subject.is_none_or(|subject| recorded.event.about().0 == Some(subject))
    }
}
