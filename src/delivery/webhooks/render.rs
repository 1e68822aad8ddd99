//! What is sent of an event: made when it is sent, so that nothing of an erased person waits anywhere.

use chrono::{DateTime, Utc};
use rollcall_projections::webhooks::Webhook;
use rollcall_schemas::Event;
use rollcall_schemas::envelope::Recorded;
use rollcall_schemas::webhook::Format;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::platform;
use super::post::Request;
use super::sign::{self, Keys};
use crate::delivery::cloud_event::CloudEvent;
use crate::engine::connection_notices::ConnectionNotice;
use crate::engine::{Engine, Error, outgoing};

/// Longest body, in bytes. What a longer event says is left out; its receiver reads it from the feed.
const BODY_MAX: usize = 20_000;
const CLOUD_EVENT: &str = "application/cloudevents+json";

/// What is sent, before it is signed.
#[derive(Debug)]
pub(super) struct Unsigned {
    id: String,
    content_type: &'static str,
    body: Vec<u8>,
}

impl Unsigned {
    /// Bytes of its body.
    pub(super) fn len(&self) -> usize {
        self.body.len()
    }

    /// Signs it as it is sent now. It may block for a read of the vault.
    ///
    /// # Errors
    /// The vault cannot be read, or the app is no more.
    pub(super) fn signed(self, engine: &Engine, keys: &Keys, webhook: &Webhook) -> Result<Request, Error> {
        let (now, url) = (engine.now(), &webhook.endpoint.url);
        let content_type = ("content-type", self.content_type.to_owned());
        if webhook.endpoint.format == Format::Standard {
            let signature = sign::signature(keys, engine.vault().as_ref(), webhook, &self.id, &self.body, now)?;
            let headers = vec![
                content_type,
                ("webhook-id", self.id),
                ("webhook-timestamp", now.timestamp().to_string()),
                ("webhook-signature", signature),
            ];
            return Ok(Request { url: url.clone(), headers, body: self.body });
        }
        let app = engine.app(webhook.app.as_str()).ok_or_else(|| Error::Unavailable("there is no such app".into()))?;
        Ok(Request { url: outgoing::signed(&app, url, now), headers: vec![content_type], body: self.body })
    }
}

/// What is sent of an event as Standard Webhooks: nothing personal, and the same at any time.
///
/// # Errors
/// The event has no JSON form.
pub(super) fn standard(recorded: Recorded<Event>) -> Result<Unsigned, Error> {
    let id = recorded.id.to_string();
    let event = CloudEvent::thin(recorded).map_err(unwritable)?;
    Ok(Unsigned { id, content_type: CLOUD_EVENT, body: bounded(&event)? })
}

/// Makes what is sent of an event; `None`: there is nothing to tell.
///
/// # Errors
/// The read models or the vault are unavailable, or the event has no JSON form.
pub(super) async fn event(
    engine: &Engine,
    webhook: &Webhook,
    recorded: Recorded<Event>,
) -> Result<Option<Unsigned>, Error> {
    match webhook.endpoint.format {
        Format::Standard => standard(recorded).map(Some),
        format @ (Format::V1 | Format::V4) => {
            let id = recorded.id.to_string();
            let body = platform::body(engine, format, &recorded).await?;
            Ok(body.map(|body| Unsigned { id, content_type: body.content_type, body: body.bytes }))
        }
    }
}

/// Makes what is sent of a connection in a shape of the platform; `None`: its user is forgotten.
///
/// # Errors
/// The read models or the vault are unavailable.
pub(super) async fn presence(
    engine: &Engine,
    webhook: &Webhook,
    notice: &ConnectionNotice,
    id: Uuid,
) -> Result<Option<Unsigned>, Error> {
    let body = platform::presence(engine, webhook.endpoint.format, notice, id).await?;
    Ok(body.map(|body| Unsigned { id: id.to_string(), content_type: body.content_type, body: body.bytes }))
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::Unavailable(format!("an event cannot be written: {error}"))
}

/// The bytes of an event; without its data where that is too long.
fn bounded(event: &impl Serialize) -> Result<Vec<u8>, Error> {
    let bytes = serde_json::to_vec(event).map_err(unwritable)?;
    if bytes.len() <= BODY_MAX {
        return Ok(bytes);
    }
    let mut event: Value = serde_json::from_slice(&bytes).map_err(unwritable)?;
    if let Some(event) = event.as_object_mut() {
        event.remove("data");
        event.remove("datacontenttype");
        event.insert("dataomitted".into(), Value::Bool(true));
    }
    serde_json::to_vec(&event).map_err(unwritable)
}

/// Makes what is sent to try a webhook out: of no event and about nobody.
///
/// # Errors
/// It has no JSON form.
pub(super) fn test(engine: &Engine, webhook: &Webhook) -> Result<Unsigned, Error> {
    let (id, now): (Uuid, DateTime<Utc>) = (Uuid::new_v4(), engine.now());
    let (content_type, body) = match webhook.endpoint.format {
        Format::Standard => (
            CLOUD_EVENT,
            json!({"specversion": "1.0", "id": id, "source": webhook.app, "type": "rollcall.webhook.test.v1",
                "time": now, "datacontenttype": "application/json", "data": {"webhook": webhook.webhook}}),
        ),
        Format::V1 | Format::V4 => {
            ("application/json", json!({"type": "rollcall:test", "id": id, "time": now.timestamp_millis(), "data": []}))
        }
    };
    let body = serde_json::to_vec(&body).map_err(unwritable)?;
    Ok(Unsigned { id: id.to_string(), content_type, body })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_body_that_is_too_long_is_sent_without_its_data_and_says_so() {
        let event = json!({"id": "1", "data": {"a": "b"}});
        assert_eq!(bounded(&event).unwrap(), serde_json::to_vec(&event).unwrap());
        let long = bounded(&json!({"id": "1", "data": {"a": "b".repeat(BODY_MAX)}})).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&long).unwrap(), json!({"id": "1", "dataomitted": true}));
    }
}
