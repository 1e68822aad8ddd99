//! The shapes in which the platform tells its apps, for receivers that were built for it: its callbacks (`v1`) and its
//! webhook (`v4`). Both name people by their userIds, so whoever is told is a recipient of personal data.

use chrono::{DateTime, Utc};
use form_urlencoded::Serializer;
use rollcall_schemas::envelope::{Actor, Recorded};
use rollcall_schemas::friendship::EndCause;
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::webhook::Format;
use rollcall_schemas::{Event, erasure, friendship, user};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::delivery::cloud_event::CloudEvent;
use crate::engine::client_platform::Platform;
use crate::engine::connection_notices::{ConnectionNotice, ConnectionStatus};
use crate::engine::{Engine, Error};

/// The events of which the platform tells.
const TOLD: &[&str] = &[
    "erasure.finalised",
    "user.reactivated",
    "user.profile_set",
    "user.profile_cleaned",
    "friendship.requested",
    "friendship.refused",
    "friendship.befriended",
    "friendship.ended",
];

/// Whether the platform tells of events of this name.
pub(super) fn tells(name: &str) -> bool {
    TOLD.contains(&name)
}

/// A body and its type.
pub(super) struct Body {
    pub(super) content_type: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// What there is to tell.
enum Notice {
    /// A user was deactivated or reactivated.
    Activation {
        user_id: String,
        operation: String,
        kind: u8,
        time: DateTime<Utc>,
    },
    Friendship {
        kind: u8,
        from: String,
        to: String,
    },
    Profile {
        user_id: String,
        fields: Option<(Map<String, Value>, Map<String, Value>)>,
    },
}

/// Makes the body; `None`: there is nothing to tell, or nobody any more of whom.
///
/// # Errors
/// The read models or the vault are unavailable.
pub(super) async fn body(engine: &Engine, format: Format, recorded: &Recorded<Event>) -> Result<Option<Body>, Error> {
    let Some(notice) = notice(engine, recorded).await? else { return Ok(None) };
    let time = recorded.recorded_at.timestamp_millis();
    let (content_type, text) = match format {
        Format::V4 => ("application/json", v4(&notice, &recorded.id.to_string(), time).to_string()),
        Format::V1 | Format::Standard => v1(&notice, time),
    };
    Ok(Some(Body { content_type, bytes: text.into_bytes() }))
}

/// Makes the body about a connection of a user; `None`: the user is forgotten.
///
/// # Errors
/// The read models or the vault are unavailable.
pub(super) async fn presence(
    engine: &Engine,
    format: Format,
    notice: &ConnectionNotice,
    id: Uuid,
) -> Result<Option<Body>, Error> {
    let Some(user_id) = user_id(engine, &notice.app, notice.subject).await? else { return Ok(None) };
    let body = match format {
        Format::V4 => v4_presence(notice, &user_id, id),
        Format::V1 | Format::Standard => v1_presence(notice, &user_id),
    };
    Ok(Some(Body { content_type: "application/json", bytes: body.to_string().into_bytes() }))
}

/// What became of a connection, as the platform numbers it. `checkOnline` has it the other way round.
const fn status(status: ConnectionStatus) -> &'static str {
    match status {
        ConnectionStatus::Connected => "0",
        ConnectionStatus::Disconnected => "1",
        ConnectionStatus::LoggedOut => "2",
    }
}

/// What a client runs on, as the platform names it.
const fn os(platform: Platform) -> &'static str {
    match platform {
        Platform::Ios => "iOS",
        Platform::Android => "Android",
        Platform::HarmonyOs => "HarmonyOS",
        Platform::Web => "Websocket",
        Platform::Desktop => "PC",
        Platform::MiniProgram => "MiniProgram",
    }
}

/// A list of one. `clientIp` is left out: an address is personal data that nobody needs to know who is online.
fn v1_presence(notice: &ConnectionNotice, user_id: &str) -> Value {
    json!([{"userid": user_id, "status": status(notice.status), "os": os(notice.platform),
        "time": notice.at.timestamp_millis(), "sessionId": notice.connection}])
}

/// As above; the platform names the system only of who comes online.
fn v4_presence(notice: &ConnectionNotice, user_id: &str, id: Uuid) -> Value {
    let time = notice.at.timestamp_millis();
    let mut data = json!({"status": status(notice.status), "userId": user_id, "time": time,
        "sessionId": notice.connection});
    if let Some(data) = data.as_object_mut().filter(|_| notice.status == ConnectionStatus::Connected) {
        data.insert("os".into(), os(notice.platform).into());
    }
    json!({"type": "user:connection_status", "id": id, "time": time, "data": [data]})
}

async fn notice(engine: &Engine, recorded: &Recorded<Event>) -> Result<Option<Notice>, Error> {
    let app = &recorded.metadata.app;
    match &recorded.event {
        Event::Erasure(erasure::Event::Finalised(e)) => {
            let ledger = rollcall_projections::erasure_ledger::by_id(engine.read(), app, e.erasure).await?;
            let Some(erasure) = ledger else { return Ok(None) };
            // The userId of a forgotten user is no longer known and stays empty.
            let user_id = user_id(engine, app, e.subject).await?.unwrap_or_default();
            let time = erasure.finalised_at.unwrap_or(recorded.recorded_at);
            Ok(Some(Notice::Activation { user_id, operation: erasure.operation.0, kind: 0, time }))
        }
        Event::User(user::Event::Reactivated(e)) => {
            let (operation, time) = (e.operation.0.clone(), recorded.recorded_at);
            let user_id = user_id(engine, app, e.subject).await?;
            Ok(user_id.map(|user_id| Notice::Activation { user_id, operation, kind: 1, time }))
        }
        Event::User(user::Event::ProfileSet(e)) => {
            let Some(user_id) = user_id(engine, app, e.subject).await? else { return Ok(None) };
            let fields = Some(fields(engine, app, recorded).await?);
            Ok(Some(Notice::Profile { user_id, fields }))
        }
        Event::User(user::Event::ProfileCleaned(e)) => {
            let user_id = user_id(engine, app, e.subject).await?;
            Ok(user_id.map(|user_id| Notice::Profile { user_id, fields: None }))
        }
        Event::Friendship(e) => friendship(engine, recorded, e).await,
        _ => Ok(None),
    }
}

async fn friendship(
    engine: &Engine,
    recorded: &Recorded<Event>,
    event: &friendship::Event,
) -> Result<Option<Notice>, Error> {
    let (kind, from, to) = match event {
        friendship::Event::Requested(e) => (1, e.from, e.to),
        friendship::Event::Befriended(e) if is_server(&recorded.metadata.actor) => (5, e.from, e.to),
        friendship::Event::Befriended(e) => (2, e.from, e.to),
        friendship::Event::Refused(e) => (3, e.other, e.by),
        friendship::Event::Ended(e) if e.cause != EndCause::Deactivated => (4, e.by, e.other),
        _ => return Ok(None),
    };
    let found = engine.user_ids(&recorded.metadata.app, &[from, to]).await?;
    let [Some(from), Some(to)] = found.as_slice() else { return Ok(None) };
    Ok(Some(Notice::Friendship { kind, from: from.clone(), to: to.clone() }))
}

/// Whether a back end or the service acted, and not a user.
fn is_server(actor: &Actor) -> bool {
    matches!(actor, Actor::Server(_) | Actor::ApiKey(_) | Actor::Operator | Actor::System)
}

async fn user_id(engine: &Engine, app: &AppId, subject: SubjectRef) -> Result<Option<String>, Error> {
    Ok(engine.user_ids(app, &[subject]).await?.into_iter().next().flatten())
}

/// The fields that were set, as far as they can still be read: those of the platform, and those that the app has declared.
async fn fields(
    engine: &Engine,
    app: &AppId,
    recorded: &Recorded<Event>,
) -> Result<(Map<String, Value>, Map<String, Value>), Error> {
    let (_, values) =
        CloudEvent::with_values(recorded.clone()).map_err(|error| Error::Unavailable(error.to_string()))?;
    let subjects: Vec<SubjectRef> = values.iter().map(|value| value.of).collect();
    engine.vault().load(&subjects).await?;
    let (mut profile, mut declared) = (Map::new(), Map::new());
    for value in values.iter().filter(|value| !value.is_detached) {
        let Some(name) = value.path.strip_prefix("fields.") else { continue };
        if let Some(opened) = engine.open_value::<Value>(app, value.of, &value.stored)? {
            let fields = if name.starts_with("ext_") { &mut declared } else { &mut profile };
            fields.insert(name.to_owned(), opened);
        }
    }
    Ok((profile, declared))
}

/// The first generation: each kind of callback has a shape of its own.
fn v1(notice: &Notice, time: i64) -> (&'static str, String) {
    match notice {
        Notice::Activation { user_id, operation, kind, time } => {
            let form = Serializer::new(String::new())
                .append_pair("userId", user_id)
                .append_pair("operateId", operation)
                .append_pair("type", &kind.to_string())
                .append_pair("code", "0")
                .append_pair("time", &time.timestamp_millis().to_string())
                .finish();
            ("application/x-www-form-urlencoded", form)
        }
        Notice::Friendship { kind, from, to } => {
            // `userId` is whoever acted: the one who accepts or refuses a request.
            let (user, other) = if matches!(kind, 2 | 3) { (to, from) } else { (from, to) };
            let body = json!({"eventType": kind, "userId": user, "toUserId": other, "time": time, "source": "Server"});
            ("application/json", body.to_string())
        }
        Notice::Profile { user_id, fields } => {
            let mut body = json!({"userId": user_id, "type": u8::from(fields.is_some()), "time": time});
            if let (Some((profile, declared)), Some(body)) = (fields, body.as_object_mut()) {
                body.insert("userProfile".into(), profile.clone().into());
                body.insert("userExtProfile".into(), declared.clone().into());
            }
            ("application/json", body.to_string())
        }
    }
}

/// The fourth generation: one envelope. Empty members are left out.
fn v4(notice: &Notice, id: &str, time: i64) -> Value {
    let (kind, data) = match notice {
        Notice::Activation { user_id, operation, kind, time } => (
            "user:activation_state",
            json!({"userId": user_id, "operateId": operation, "operationType": kind, "code": "0",
                "time": time.timestamp_millis()}),
        ),
        Notice::Friendship { kind, from, to } => (
            "user:friendship",
            json!({"operationType": kind, "userId": from, "toUserId": to, "time": time, "os": "Server"}),
        ),
        Notice::Profile { user_id, fields } => {
            let mut data = json!({"operatorId": user_id, "operationType": u8::from(fields.is_some()), "time": time});
            if let (Some((profile, declared)), Some(data)) = (fields, data.as_object_mut()) {
                for (name, fields) in [("userProfile", profile), ("userMetaData", declared)] {
                    if !fields.is_empty() {
                        data.insert(name.into(), fields.clone().into());
                    }
                }
            }
            ("user:profile_update", data)
        }
    };
    let mut data = data;
    if let Some(data) = data.as_object_mut() {
        data.retain(|_, value| value.as_str() != Some(""));
    }
    json!({"type": kind, "id": id, "time": time, "data": [data]})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_notice_has_the_shape_that_the_platform_gives_it() {
        let accepted = Notice::Friendship { kind: 2, from: "ada".into(), to: "bob".into() };
        let parsed = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        assert_eq!(
            parsed(v1(&accepted, 7).1),
            json!({"eventType": 2, "userId": "bob", "toUserId": "ada", "time": 7, "source": "Server"}),
            "who accepted acted"
        );
        assert_eq!(
            v4(&accepted, "x", 7),
            json!({"type": "user:friendship", "id": "x", "time": 7, "data": [
                {"operationType": 2, "userId": "ada", "toUserId": "bob", "time": 7, "os": "Server"}]})
        );
        let refused = Notice::Friendship { kind: 3, from: "ada".into(), to: "bob".into() };
        assert_eq!(parsed(v1(&refused, 7).1)["userId"], "bob", "who refused acted");
        assert_eq!(v4(&refused, "x", 7)["data"][0]["toUserId"], "bob");
        let time = DateTime::UNIX_EPOCH;
        let forgotten = Notice::Activation { user_id: String::new(), operation: "OP".into(), kind: 0, time };
        assert_eq!(v1(&forgotten, 7).1, "userId=&operateId=OP&type=0&code=0&time=0");
        assert_eq!(
            v4(&forgotten, "x", 7)["data"],
            json!([{"operateId": "OP", "operationType": 0, "code": "0", "time": 0}])
        );
        let cleaned = Notice::Profile { user_id: "ada".into(), fields: None };
        assert_eq!(parsed(v1(&cleaned, 7).1), json!({"userId": "ada", "type": 0, "time": 7}));
        let set = Some(([("name".to_owned(), json!("Ada"))].into_iter().collect(), Map::new()));
        let set = Notice::Profile { user_id: "ada".into(), fields: set };
        assert_eq!(
            v4(&set, "x", 7)["data"],
            json!([{"operatorId": "ada", "operationType": 1, "time": 7, "userProfile": {"name": "Ada"}}])
        );
    }

    #[test]
    fn a_connection_is_told_in_the_shapes_of_the_platform_without_the_address_of_its_client() {
        let (session, id) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let notice = |status| ConnectionNotice {
            app: "app".parse().unwrap(),
            subject: SubjectRef(Uuid::nil()),
            platform: Platform::Desktop,
            connection: session,
            status,
            at: DateTime::from_timestamp_millis(1_795_420_824_001).unwrap(),
        };
        let time = 1_795_420_824_001_i64;
        for (status, text) in [
            (ConnectionStatus::Connected, "0"),
            (ConnectionStatus::Disconnected, "1"),
            (ConnectionStatus::LoggedOut, "2"),
        ] {
            assert_eq!(
                v1_presence(&notice(status), "ada"),
                json!([{"userid": "ada", "status": text, "os": "PC", "time": time, "sessionId": session}])
            );
            let mut data = json!({"status": text, "userId": "ada", "time": time, "sessionId": session});
            if text == "0" {
                data["os"] = json!("PC");
            }
            assert_eq!(
                v4_presence(&notice(status), "ada", id),
                json!({"type": "user:connection_status", "id": id, "time": time, "data": [data]})
            );
        }
    }
}
