//! Records to whom personal data is sent, before it is sent.

use rollcall_projections::recipients;
use rollcall_projections::webhooks::Webhook;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::SubjectRef;

use super::Webhooks;
use crate::domain::access::Disclose;
use crate::engine::{self, Caller};

/// Whether it is recorded that the receiver of a webhook is sent personal data of a subject.
///
/// # Errors
/// The read models are unavailable.
pub(super) async fn is_recorded(
    webhooks: &Webhooks,
    webhook: &Webhook,
    subject: SubjectRef,
) -> Result<bool, engine::Error> {
    let recipient = super::recipient(&webhook.endpoint.url);
    let known = recipients::of(webhooks.engine.read(), subject).await?;
    Ok(known.iter().any(|known| known.webhook == webhook.webhook && known.name == recipient))
}

/// Records that the receiver of a webhook is sent personal data of these subjects, once for each.
///
/// # Errors
/// It is not recorded, so nothing may be sent.
pub(super) async fn record(
    webhooks: &Webhooks,
    webhook: &Webhook,
    about: impl IntoIterator<Item = SubjectRef>,
) -> Result<(), engine::Error> {
    let mut subjects = Vec::new();
    for subject in about {
        if !is_recorded(webhooks, webhook, subject).await? {
            subjects.push(subject);
        }
    }
    if subjects.is_empty() {
        return Ok(());
    }
    let caller = Caller::internal(webhook.app.clone(), Actor::System);
    let recipient = super::recipient(&webhook.endpoint.url);
    webhooks.engine.execute(&caller, Disclose { subjects, webhook: webhook.webhook, recipient }).await?;
    Ok(())
}
