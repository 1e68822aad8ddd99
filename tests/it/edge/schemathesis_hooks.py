"""What a document cannot tell, or a test must not do.

- The API key that the test shows and the secrets of its app are not retired.
- A webhook tells a name that nobody has.
- A cursor is what an earlier answer told, by a link; any other one is left out. Pages have one element where links are followed, so that
  there are more of them. An idempotency key is used for one call.
- What a request says twice fits together: a range ends behind its beginning, nobody is their own friend; the client face is asked as `ada`.
- A position is one that the log has reached, and a time before which tokens are invalid one that has passed.
- A ban is for so many minutes, and users are searched among the active ones: of what excludes the other, one is said.
- Records of an import are lines of text.
- JSON Schema counts characters; tags and portraits have so many bytes.
- To JSON Schema 5.0 is an integer; no JSON library of a back end writes it.
"""

import uuid
from urllib.parse import unquote

import schemathesis
from schemathesis.generation.meta import TestPhase


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return str(value).encode(errors="replace")


def is_negative(case):
    return case.meta is not None and case.meta.generation.mode.is_negative


def follows_links(case):
    return case.meta is not None and case.meta.phase.name == TestPhase.STATEFUL


def has_cursor_of_link(case):
    told = getattr(case, "_override", None)
    return follows_links(case) and told is not None and bool((told.query or {}).get("cursor"))


def somebody(but):
    return "somebody-else" if but != "somebody-else" else "somebody"


def whole(value):
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [whole(one) for one in value]
    if isinstance(value, dict):
        return {name: whole(one) for name, one in value.items()}
    return value


def shortened(text, size):
    return text.encode(errors="replace")[:size].decode(errors="ignore")


def fitting(case):
    """Makes what a positive request says twice fit together."""
    path, query = case.path_parameters, case.query
    operation = case.operation.definition.raw.get("operationId")
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if query:
        if not has_cursor_of_link(case):
            query.pop("cursor", None)
        if follows_links(case) and "limit" in query:
            query["limit"] = "1"
        if "wait_seconds" in query:
            query["wait_seconds"] = 0
        if operation == "listUsers" and ("prefix" in query or "name" in query):
            query.pop("state", None)
        if operation == "listEvents" and "type" in query:
            query["type"] = "rollcall.user.*"
        for name in ("at", "from", "to"):
            if name in query:
                query[name] = "1"
    named = {name: unquote(str(value)) for name, value in (path or {}).items()}
    if "id" in named and named["id"] == named.get("target"):
        path["target"] = somebody(but=named["id"])
    if named.get("user_id") == "ada":
        path["user_id"] = "bob"
    if not isinstance(case.body, dict):
        return
    body = case.body = whole(case.body)
    if isinstance(body.get("portrait_uri"), str):
        body["portrait_uri"] = shortened(body["portrait_uri"], 1024)
    if operation == "tagUser":
        body["tags"] = [shortened(tag, 40) for tag in body["tags"]]
    if operation in ("registerWebhook", "changeWebhook"):
        if body.get("url") is not None:
            body["url"] = "https://hooks.invalid/rollcall"
        if body.get("types") is not None:
            body["types"] = ["rollcall.user.*"]
    if operation == "replayWebhook" and body["from"] > body["to"]:
        body["from"], body["to"] = body["to"], body["from"]
    if operation == "changeProfile":
        body.clear()
        body["location"] = "Oslo"
    if operation == "queryUsers" and len(body.get("user_ids", [])) + len(body.get("subjects", [])) > 1000:
        body["subjects"] = []
    if operation in ("describeFriend", "friends.update", "me.update"):
        body.pop("fields", None)
        body.pop("profile", None)
    if operation in ("banUser", "banUsers"):
        for other in ("starts_at", "ends_at", "permanent"):
            body.pop(other, None)
        body["minutes"] = body.get("minutes") or 60
    if operation == "invalidateAllTokens":
        body["issued_before"] = "2020-01-01T00:00:00Z"
    if operation == "explainCommand" and body.get("at"):
        body["at"] = "1"
    if operation == "friends.add" and body.get("user_id") == "ada":
        body["user_id"] = "bob"
    if operation == "befriendUser" and body.get("user_id") == named.get("id"):
        body["user_id"] = somebody(but=named["id"])


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.path_parameters and str(case.path_parameters.get("number", "")).isdigit():
        case.path_parameters["number"] = "999999"
    if not is_negative(case):
        fitting(case)
