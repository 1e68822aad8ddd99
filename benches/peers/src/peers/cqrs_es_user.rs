//! The user as an aggregate of cqrs-es, on whatever store.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};

use crate::user::Profile;

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct User {
    profile: Option<Profile>,
}

pub(crate) struct Register(pub(crate) Profile);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum UserEvent {
    Registered(Profile),
}

#[derive(Debug, thiserror::Error)]
#[error("the user is registered already")]
pub(crate) struct AlreadyRegistered;

impl DomainEvent for UserEvent {
    fn event_type(&self) -> String {
        "Registered".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for User {
    const TYPE: &'static str = "user";
    type Command = Register;
    type Event = UserEvent;
    type Error = AlreadyRegistered;
    type Services = ();

    async fn handle(
        &mut self,
        Register(profile): Register,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), AlreadyRegistered> {
        if self.profile.is_some() {
            return Err(AlreadyRegistered);
        }
        sink.write(UserEvent::Registered(profile), self).await;
        Ok(())
    }

    fn apply(&mut self, UserEvent::Registered(profile): UserEvent) {
        self.profile = Some(profile);
    }
}
