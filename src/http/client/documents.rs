//! OpenAPI 3.1 and AsyncAPI 3.0, made from the table of methods.

use rollcall_schemas::plain::TokenScope;
use serde_json::{Map, Value, json};

use super::changes::{FriendGroupChanged, FriendRequested, ListChanged, MeUpdated, OfFriend, RequestEnded};
use super::examples;
use super::methods::{METHODS, Method, properties};
use super::socket::{ConnectParams, Connected, TokenExpiring};
use super::subscriptions::{PresenceChanged, SubscriptionChanged};
use crate::http::router::parameter;
use crate::http::shape::{Named, shape};
use crate::http::terms;
use crate::live::close::Close;

const VERSION: &str = "1";
const COMPONENTS: &str = "#/components/schemas/";
const SCOPES: &str = "An access token. One that was issued with scopes needs the scope of the operation; one without may do \
    everything.";

/// Name, shape of the parameters, what it tells.
type Notification = (&'static str, fn() -> Named, &'static str);

/// What is pushed.
static NOTIFICATIONS: &[Notification] = &[
    ("friend.requested", shape::<FriendRequested>, "The user asked somebody, or was asked."),
    ("friend.accepted", shape::<RequestEnded>, "A request was accepted."),
    ("friend.refused", shape::<RequestEnded>, "A request was refused."),
    ("friend.cancelled", shape::<RequestEnded>, "A request was taken back."),
    ("friend.expired", shape::<RequestEnded>, "A request was not answered within 7 days."),
    ("friend.added", shape::<OfFriend>, "Two are friends now."),
    ("friend.removed", shape::<OfFriend>, "Two are friends no longer, or a request is void."),
    ("friend.remarked", shape::<OfFriend>, "The user described a friend, perhaps on another device."),
    ("blocklist.changed", shape::<ListChanged>, "The blocklist has changed."),
    ("allowlist.changed", shape::<ListChanged>, "The allowlist has changed."),
    ("friend_groups.changed", shape::<FriendGroupChanged>, "A friend group has changed, perhaps on another device."),
    ("me.updated", shape::<MeUpdated>, "The own profile or settings have changed."),
    ("presence.changed", shape::<PresenceChanged>, "Somebody who is followed came, went or has other devices."),
    ("subscription.changed", shape::<SubscriptionChanged>, "The profile of somebody who is followed has changed."),
    ("token.expiring", shape::<TokenExpiring>, "The access token expires within a minute."),
];

/// The name of the shape that a list ends with.
fn name_of(named: &Named) -> Option<&str> {
    named.last().map(|(name, _)| name.as_str())
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("{COMPONENTS}{name}")})
}

/// Problem details (RFC 9457).
fn problem() -> Value {
    json!({
        "type": "object",
        "description": "Problem details (RFC 9457).",
        "properties": {
            "type": {"type": "string", "description": "A stable name: urn:rollcall:problem:..."},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "integer", "description": "The platform's number, where it has one."},
            "error_keys": {
                "type": "array", "items": {"type": "string"}, "description": "Keys of a profile it is about."
            }
        },
        "required": ["type", "title", "status", "detail"]
    })
}

fn schemas(named: impl Iterator<Item = Named>) -> Map<String, Value> {
    let mut schemas = Map::from_iter([("Problem".to_owned(), problem())]);
    for (name, schema) in named.flatten() {
        schemas.insert(name, serde_json::to_value(schema).unwrap_or_default());
    }
    schemas
}

/// The OpenAPI document.
pub(in crate::http) fn openapi() -> Value {
    let mut paths = Map::new();
    for method in METHODS {
        let item = paths.entry(format!("/client/v1/{}", method.path)).or_insert_with(|| json!({}));
        item[method.verb.to_lowercase()] = operation(method);
    }
    // Parameters of a query are no components.
    let shapes = METHODS.iter().flat_map(|method| [(method.takes)(), (method.answers)()]);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Rollcall, the users' own face",
            "version": VERSION,
            "description": "What an app's users ask for themselves. Every operation but the export is also a method over \
                the WebSocket at /client/v1/connect: see the AsyncAPI document."
        },
        "paths": paths,
        "components": {
            "schemas": schemas(shapes),
            "securitySchemes": {"access_token": {"type": "http", "scheme": "bearer", "description": SCOPES}}
        },
        "security": [{"access_token": []}]
    })
}

fn operation(method: &Method) -> Value {
    let takes = (method.takes)();
    let in_path: Vec<_> = method.path.split('/').filter_map(parameter).collect();
    let required = takes.last().and_then(|(_, schema)| serde_json::to_value(schema).ok()).unwrap_or_default();
    let is_required =
        |name: &str| required["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name));
    // Many users are named in a body, also to remove them.
    let has_body = match method.verb {
        "GET" => false,
        "DELETE" => in_path.is_empty(),
        _ => true,
    };
    let example = examples::of(method.name).unwrap_or_default();
    let (mut parameters, mut members, mut shown) = (vec![], Map::new(), Map::new());
    for (name, mut schema) in properties(&takes) {
        terms::describe(method.name, &name, &mut schema);
        let place = if in_path.contains(&name.as_str()) { "path" } else { "query" };
        let example = example.get(&name);
        if place == "query" && has_body {
            shown.extend(example.map(|value| (name.clone(), value.clone())));
            members.insert(name, schema);
            continue;
        }
        let required = place == "path" || is_required(&name);
        terms::in_query(&mut schema);
        let mut parameter = json!({"name": name, "in": place, "required": required, "schema": schema});
        // What narrows a list down is left to the reader.
        if let Some(example) = example.filter(|_| required) {
            parameter["example"] = example.clone();
        }
        parameters.push(parameter);
    }
    if method.verb != "GET" {
        let mut key = json!({"type": "string"});
        terms::describe(method.name, "Idempotency-Key", &mut key);
        parameters.push(json!({"name": "Idempotency-Key", "in": "header", "required": false, "schema": key}));
    }
    let mut success = json!({"description": "Done"});
    if let Some(name) = name_of(&(method.answers)()) {
        success["content"] = json!({"application/json": {"schema": reference(name)}});
    }
    let mut operation = json!({
        "operationId": method.name,
        "security": [{"access_token": [method.scope.as_str()]}],
        "tags": [method.name.split('.').next()],
        "summary": method.summary,
        "parameters": parameters,
        "responses": {
            "2XX": success,
            "default": {
                "description": "Not done",
                "content": {"application/problem+json": {"schema": reference("Problem")}}
            }
        }
    });
    if !members.is_empty() {
        let names: Vec<_> = members.keys().filter(|name| is_required(name)).cloned().collect();
        let schema = json!({
            "type": "object", "properties": members, "required": names, "additionalProperties": false
        });
        let content = json!({"schema": schema, "example": shown});
        operation["requestBody"] = json!({"required": true, "content": {"application/json": content}});
    }
    operation
}

/// A frame of JSON-RPC 2.0 with these members.
fn frame(members: &Value, required: &[&str]) -> Value {
    let mut properties = json!({"jsonrpc": {"const": "2.0"}});
    for (name, schema) in members.as_object().into_iter().flatten() {
        properties[name] = schema.clone();
    }
    let required: Vec<_> = ["jsonrpc"].iter().chain(required).collect();
    json!({"type": "object", "properties": properties, "required": required})
}

fn request(name: &str, takes: &Named) -> Value {
    let params = name_of(takes).map_or_else(|| json!({"type": "object"}), reference);
    let id = json!({"type": ["string", "number", "null"]});
    frame(&json!({"id": id, "method": {"const": name}, "params": params}), &["method"])
}

/// An answer: a result or an error.
fn response(answers: &Named) -> Value {
    let result = name_of(answers).map_or_else(|| json!({"type": "object"}), reference);
    let error = json!({
        "type": "object",
        "properties": {
            "code": {"type": "integer", "description": "The platform's number, or one of JSON-RPC."},
            "message": {"type": "string"},
            "data": reference("Problem")
        },
        "required": ["code", "message"]
    });
    frame(&json!({"id": {"type": ["string", "number", "null"]}, "result": result, "error": error}), &["id"])
}

/// The AsyncAPI document.
pub(in crate::http) fn asyncapi() -> Value {
    let connect: (&str, TokenScope, Named, Named, &str) = (
        "connect",
        TokenScope::Connect,
        shape::<ConnectParams>(),
        shape::<Connected>(),
        "The first frame, within 10 seconds.",
    );
    let methods = METHODS.iter().filter(|method| method.on_socket);
    let methods =
        methods.map(|method| (method.name, method.scope, (method.takes)(), (method.answers)(), method.summary));
    let (mut messages, mut operations, mut shapes) = (Map::new(), Map::new(), vec![]);
    let channel = json!({"$ref": "#/channels/connect"});
    let in_channel = |name: &str| json!({"$ref": format!("#/channels/connect/messages/{name}")});
    for (name, scope, takes, answers, summary) in std::iter::once(connect).chain(methods) {
        let (asked, told) = (format!("{name}.request"), format!("{name}.response"));
        let mut message = json!({"name": asked, "summary": summary, "payload": request(name, &takes)});
        if let Some(params) = examples::of(name) {
            message["examples"] = json!([{"payload": {"jsonrpc": "2.0", "id": 1, "method": name, "params": params}}]);
        }
        messages.insert(asked.clone(), message);
        messages.insert(told.clone(), json!({"name": told, "payload": response(&answers)}));
        operations.insert(
            name.to_owned(),
            json!({
                "action": "receive", "channel": channel, "summary": summary, "messages": [in_channel(&asked)],
                // What an access token that has scopes needs.
                "x-scope": scope.as_str(),
                "reply": {"channel": channel, "messages": [in_channel(&told)]}
            }),
        );
        shapes.extend([takes, answers]);
    }
    for (name, params, summary) in NOTIFICATIONS {
        let params = params();
        messages
            .insert((*name).to_owned(), json!({"name": name, "summary": summary, "payload": request(name, &params)}));
        let send = json!({"action": "send", "channel": channel, "summary": summary, "messages": [in_channel(name)]});
        operations.insert((*name).to_owned(), send);
        shapes.push(params);
    }
    let closes: Vec<_> = Close::ALL.iter().map(|close| format!("{}: {}", close.code, close.reason)).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Rollcall, the users' own socket",
            "version": VERSION,
            "description": format!("JSON-RPC 2.0 in text frames of at most 32 KiB. Close codes up to 4499: come back after a \
                random wait; from 4500 on: do not by yourself. The reason begins with the platform's number.\n\n{}",
                closes.join("\n"))
        },
        "channels": {"connect": {"address": "/client/v1/connect", "messages": messages}},
        "operations": operations,
        "components": {"schemas": schemas(shapes.into_iter())}
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_two_shapes_have_the_same_name() {
        let (mut shapes, mut twice) = (BTreeMap::new(), vec![]);
        let of_methods = METHODS.iter().flat_map(|method| [(method.takes)(), (method.answers)()]);
        let pushed = NOTIFICATIONS.iter().map(|(_, params, _)| params());
        let connect = [shape::<ConnectParams>(), shape::<Connected>()];
        for (name, schema) in of_methods.chain(pushed).chain(connect).flatten() {
            let schema = serde_json::to_value(schema).unwrap();
            if *shapes.entry(name.clone()).or_insert_with(|| schema.clone()) != schema {
                twice.push(name);
            }
        }
        assert!(twice.is_empty(), "the documents would hold one of each two: {twice:?}");
    }
}
