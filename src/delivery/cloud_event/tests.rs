#![allow(clippy::unwrap_used)]

use rollcall_schemas::envelope::{Actor, Metadata};
use rollcall_schemas::ids::{ErasureId, SecretId};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::plain::{ApiKey, ReportStatus, Settings};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{app, ban, erasure, user};
use serde_json::json;

use super::*;

fn subject() -> SubjectRef {
    SubjectRef(Uuid::from_u128(7))
}

fn recorded(event: impl Into<Event>) -> Recorded<Event> {
    let event = event.into();
    let declaration = event.declaration();
    Recorded {
        position: 42,
        stream: Stream::User(subject()),
        revision: 1,
        id: EventId(Uuid::from_u128(1)),
        recorded_at: DateTime::from_timestamp_millis(1_700_000_000_000).unwrap(),
        metadata: Metadata {
            app: "app-one".parse().unwrap(),
            actor: Actor::Server(SecretId(3)),
            correlation: Uuid::from_u128(2),
            causation: None,
        },
        name: declaration.name,
        version: declaration.version,
        event,
    }
}

fn sealed() -> Personal<String> {
    Personal::Sealed(Sealed {
        class: Class::Moderation,
        subject: subject(),
        epoch: 0,
        commitment: [1; 32],
        digest: [2; 32],
        ciphertext: Some(b"sealed".to_vec()),
    })
}

fn imposed() -> Recorded<Event> {
    let until = DateTime::from_timestamp_millis(1_700_000_060_000).unwrap();
    recorded(ban::Event::from(ban::Imposed { subject: subject(), until, reason: Some(sealed()) }))
}

#[test]
fn an_event_is_a_cloud_event_that_names_its_personal_values_and_tells_none() {
    let told = serde_json::to_value(CloudEvent::thin(imposed()).unwrap()).unwrap();
    assert_eq!(
        told,
        json!({
            "specversion": "1.0",
            "id": "00000000-0000-0000-0000-000000000001",
            "source": "app-one",
            "type": "rollcall.user.banned.v1",
            "subject": "00000000-0000-0000-0000-000000000007",
            "time": "2023-11-14T22:13:20.000Z",
            "datacontenttype": "application/json",
            "sequence": "00000000000000000042",
            "correlation": "00000000-0000-0000-0000-000000000002",
            "actor": "server:3",
            "data": {
                "subject": "00000000-0000-0000-0000-000000000007",
                "until": "2023-11-14T22:14:20Z",
                "personal": {"reason": {"of": "00000000-0000-0000-0000-000000000007", "class": "moderation"}},
            },
        })
    );
}

#[test]
fn a_value_is_added_where_it_is_named_and_is_in_no_debug_output() {
    let (mut event, values) = CloudEvent::with_values(imposed()).unwrap();
    assert_eq!(values.len(), 1);
    assert!(!values[0].is_detached);
    event.personal_mut(&values[0].path).unwrap().told = Some(Told::Value(json!("spam")));
    let told = serde_json::to_value(&event).unwrap();
    assert_eq!(told["data"]["personal"]["reason"]["value"], "spam");
    assert!(!format!("{event:?}").contains("spam"));
    event.personal_mut("reason").unwrap().told = Some(Told::Erased(True));
    assert_eq!(serde_json::to_value(&event).unwrap()["data"]["personal"]["reason"]["erased"], true);
}

#[test]
fn what_checks_a_credential_or_has_an_endpoint_of_its_own_is_not_told() {
    let app: AppId = "app-one".parse().unwrap();
    let key = ApiKey { id: 1, scopes: [].into(), digest: "of the key".into() };
    let settings = Settings { erasure_callback_url: Some("https://u:secret@host".into()), ..Settings::default() };
    let text = |text: &str| serde_json::from_value(json!(text)).unwrap();
    let report = erasure::ReportIssued {
        erasure: ErasureId(Uuid::from_u128(9)),
        subject: subject(),
        number: 1,
        status: ReportStatus::ALL[0],
        sha256: text("digest"),
        envelope: text("the envelope"),
    };
    let told: Vec<_> = [
        recorded(app::Event::from(app::ApiKeyAdded { app: app.clone(), key })),
        recorded(app::Event::from(app::SettingsChanged { app, settings })),
        recorded(erasure::Event::from(report)),
    ]
    .into_iter()
    .map(|recorded| serde_json::to_string(&CloudEvent::thin(recorded).unwrap()).unwrap())
    .collect();
    assert!(told[0].contains(r#""key":{"id":1"#) && !told[0].contains("of the key"), "{}", told[0]);
    assert!(told[1].contains("record_reads") && !told[1].contains("secret"), "{}", told[1]);
    assert!(told[2].contains("digest") && !told[2].contains("the envelope"), "{}", told[2]);
}

#[test]
fn what_is_not_told_is_a_plain_field_of_a_published_event_and_no_field_is_named_like_ours() {
    for (event, pointer) in NOT_TOLD {
        let declared = Event::declarations().find(|declared| declared.name == *event).unwrap();
        let first = pointer.split('/').nth(1).unwrap();
        assert!(
            declared.fields.iter().any(|field| field.name == first && field.personal.is_none()),
            "{event} {pointer}"
        );
    }
    for declared in Event::declarations() {
        assert!(
            declared.fields.iter().all(|field| !["personal", "user_ids"].contains(&field.name)),
            "{}",
            declared.name
        );
    }
}

#[test]
fn an_event_about_the_app_has_no_subject() {
    let retired = app::SecretRetired { app: "app-one".parse().unwrap(), secret: SecretId(1) };
    let told = serde_json::to_value(CloudEvent::thin(recorded(app::Event::from(retired))).unwrap()).unwrap();
    assert!(told.get("subject").is_none());
    let muted = user::DirectMessagesMuted { subject: subject() };
    let told = serde_json::to_value(CloudEvent::thin(recorded(user::Event::from(muted))).unwrap()).unwrap();
    assert_eq!(told["data"], json!({"subject": subject()}));
}
