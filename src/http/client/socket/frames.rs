//! Requests, answers and notifications of JSON-RPC 2.0.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::http::client::problem::{self, Answer, Details, Problem, Topic};

const VERSION: &str = "2.0";

/// A request.
pub(super) struct Request {
    /// What its answer is called; `None`: no answer is wanted.
    pub(super) id: Option<Value>,
    pub(super) method: String,
    pub(super) params: Value,
}

#[derive(Deserialize)]
struct Frame {
    jsonrpc: String,
    #[serde(default, deserialize_with = "given")]
    id: Option<Value>,
    method: String,
    #[serde(default)]
    params: Value,
}

/// A member that is there, be it null: absent is something else.
fn given<'d, D: serde::Deserializer<'d>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Why a frame is no request, as JSON-RPC numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not JSON.
    Parse,
    /// It is no request.
    Request,
    /// There is no such method.
    Method,
}

impl Fault {
    fn number(self) -> i32 {
        match self {
            Self::Parse => -32_700,
            Self::Request => -32_600,
            Self::Method => -32_601,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Self::Parse => "the frame is not JSON",
            Self::Request => "the frame is no request of JSON-RPC 2.0; batches are not taken",
            Self::Method => "there is no such method",
        }
    }
}

impl Request {
    /// Reads a frame.
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        let frame: Value = serde_json::from_str(text).map_err(|_| Fault::Parse)?;
        let Frame { jsonrpc, id, method, params } = Frame::deserialize(frame).map_err(|_| Fault::Request)?;
        let is_id = |id: &Value| id.is_string() || id.is_number() || id.is_null();
        let params = if params.is_null() { Value::Object(serde_json::Map::new()) } else { params };
        if jsonrpc != VERSION || !id.as_ref().is_none_or(is_id) || !params.is_object() {
            return Err(Fault::Request);
        }
        Ok(Self { id, method, params })
    }
}

#[derive(Serialize)]
struct Success<'r> {
    jsonrpc: &'static str,
    id: &'r Value,
    result: &'r RawValue,
}

#[derive(Serialize)]
struct Failure<'r> {
    jsonrpc: &'static str,
    id: &'r Value,
    error: Error<'r>,
}

#[derive(Serialize)]
struct Error<'r> {
    code: i32,
    message: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'r Details>,
}

#[derive(Serialize)]
struct Notification<'r, P> {
    jsonrpc: &'static str,
    method: &'r str,
    params: &'r P,
}

fn text(frame: &impl Serialize) -> String {
    // Nothing of these types fails to be JSON.
    serde_json::to_string(frame).unwrap_or_default()
}

/// The answer of a request.
pub(super) fn answer(id: &Value, topic: Topic, outcome: Result<Answer, Problem>) -> String {
    let body = match outcome {
        Ok(answer) if answer.body.is_empty() => RawValue::from_string("{}".into()),
        Ok(answer) => RawValue::from_string(String::from_utf8_lossy(&answer.body).into_owned()),
        Err(problem) => return refusal(id, topic, &problem),
    };
    match body {
        Ok(result) => text(&Success { jsonrpc: VERSION, id, result: &result }),
        Err(_) => refusal(id, topic, &Problem::Unwritable),
    }
}

/// The answer that a request is refused, with problem details in `data`.
pub(super) fn refusal(id: &Value, topic: Topic, problem: &Problem) -> String {
    let details = problem::details(problem, topic);
    let code = match (details.code, problem) {
        (_, Problem::Params(_)) => -32_602,
        (Some(number), _) => i32::from(number),
        (None, _) if details.status >= 500 => -32_603,
        (None, _) => -32_000,
    };
    text(&Failure { jsonrpc: VERSION, id, error: Error { code, message: &details.detail, data: Some(&details) } })
}

/// The answer to a frame that is no request.
pub(super) fn fault(id: &Value, fault: Fault) -> String {
    let error = Error { code: fault.number(), message: fault.message(), data: None };
    text(&Failure { jsonrpc: VERSION, id, error })
}

/// A notification.
pub(super) fn notification(method: &str, params: &impl Serialize) -> String {
    text(&Notification { jsonrpc: VERSION, method, params })
}

/// Reads a text frame, hands method and parameters of a request to `read`, and looks at what would be answered.
#[cfg(feature = "fuzzing")]
pub(in crate::http::client) fn fuzz(frame: &str, read: impl FnOnce(&str, Value)) {
    let (id, answer) = match Request::read(frame) {
        Ok(Request { id, method, params }) => {
            read(&method, params);
            let id = id.unwrap_or(Value::Null);
            let answer = fault(&id, Fault::Method);
            (id, answer)
        }
        Err(why) => (Value::Null, fault(&Value::Null, why)),
    };
    assert!(serde_json::from_str::<Value>(&answer).is_ok(), "the answer is not JSON");
    assert!(answer.contains(&format!(r#""id":{id}"#)), "the answer is not that of the request");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_a_request_or_one_of_the_faults(text in "\\PC{0,200}|[\\[{\":,a-z0-9\\]} ]{0,200}") {
            if let Err(fault) = Request::read(&text) {
                prop_assert!([Fault::Parse, Fault::Request].contains(&fault));
            }
        }

        #[test]
        fn the_answer_to_any_request_is_json_with_its_id(id in "\\PC{0,50}", method in "\\PC{0,50}") {
            let frame = json!({"jsonrpc": "2.0", "id": id, "method": method}).to_string();
            let request = Request::read(&frame).unwrap();
            prop_assert_eq!(&request.method, &method);
            let fault: Value = serde_json::from_str(&fault(&request.id.unwrap(), Fault::Method)).unwrap();
            prop_assert_eq!(&fault["id"], &json!(id));
        }
    }

    #[test]
    fn a_request_is_read_and_whatever_else_is_refused() {
        let read = |frame: Value| Request::read(&frame.to_string());
        let request = read(json!({"jsonrpc": "2.0", "id": 1, "method": "me.get"})).unwrap();
        assert_eq!((request.id, request.params), (Some(json!(1)), json!({})));
        assert_eq!(read(json!({"jsonrpc": "2.0", "method": "me.get"})).unwrap().id, None);
        assert_eq!(read(json!({"jsonrpc": "2.0", "id": null, "method": "x"})).unwrap().id, Some(Value::Null));
        for bad in [
            json!([]),
            json!({"jsonrpc": "1.0", "id": 1, "method": "x"}),
            json!({"jsonrpc": "2.0", "id": {}, "method": "x"}),
            json!({"jsonrpc": "2.0", "id": 1, "method": 2}),
            json!({"jsonrpc": "2.0", "id": 1, "method": "x", "params": [1]}),
        ] {
            assert_eq!(read(bad.clone()).err(), Some(Fault::Request), "{bad}");
        }
        assert_eq!(Request::read("{").err(), Some(Fault::Parse));
        assert_eq!(Request::read(&"[".repeat(30_000)).err(), Some(Fault::Parse), "too deep");
    }

    #[test]
    fn an_answer_carries_the_id_of_its_request_and_an_error_the_number_of_the_platform() {
        let answer = answer(&json!("a"), Topic::Others, Ok(Answer::done(7)));
        assert_eq!(answer, r#"{"jsonrpc":"2.0","id":"a","result":{}}"#);
        let refused = refusal(&json!(2), Topic::Others, &Problem::TooOften);
        let refused: Value = serde_json::from_str(&refused).unwrap();
        assert_eq!((&refused["error"]["code"], &refused["error"]["data"]["status"]), (&json!(20_607), &json!(429)));
    }
}
