//! The OpenAPI 3.1 document, made from the table of endpoints.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HeaderBuilder, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, PathItem,
    PathsBuilder, Ref, Required, ResponseBuilder,
};

use super::endpoint::Endpoint;
use super::routes::endpoints;
use super::{examples, groups, links};
use crate::http::shape::Named;
use crate::http::{router, terms};

/// What a call may be answered that was not done: those of the table in `problem.rs`.
const PROBLEMS: &[(&str, &str)] = &[
    ("400", "The body is not the JSON it should be, or a header is malformed"),
    ("401", "The credentials are missing or wrong"),
    ("403", "The caller may not do this, or a rule stands against it"),
    ("404", "There is no such thing"),
    ("405", "The path takes other methods"),
    ("408", "The body did not arrive in time"),
    ("409", "The state of things stands against it"),
    ("410", "The user is deactivated"),
    ("413", "The body is too long"),
    ("422", "A value is not what it should be; `errors` says which"),
    ("429", "Too many calls, or erasures; `Retry-After` says when to come again"),
    ("500", "A defect of the service"),
    ("503", "The service cannot answer at the moment; try again"),
];

/// The document: what the table of endpoints says, and what the names in its requests mean.
pub(in crate::http) fn document() -> Value {
    let mut document = serde_json::to_value(of_the_table()).unwrap_or_default();
    let shapes = endpoints().flat_map(|endpoint| (endpoint.takes)()).map(|(name, _)| name);
    for name in shapes.collect::<BTreeSet<_>>() {
        if let Some(schema) = document["components"]["schemas"].get_mut(&name) {
            terms::describe_members(&name, schema);
        }
    }
    let operations = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in operations.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        let place = operation["operationId"].as_str().unwrap_or_default().to_owned();
        // The names of a link's members are not those of the specification in `utoipa`.
        let links = endpoints().find(|endpoint| endpoint.operation == place).map(links::of).unwrap_or_default();
        if !links.is_empty() {
            operation["responses"]["2XX"]["links"] = links.into();
        }
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap_or_default().to_owned();
            terms::describe(&place, &name, &mut parameter["schema"]);
        }
    }
    document
}

fn of_the_table() -> OpenApi {
    let mut components = ComponentsBuilder::new().security_scheme(
        "api_key",
        SecurityScheme::Http(
            HttpBuilder::new()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some("An API key, or `<app key>:<app secret>`, which may do everything but `operator`."))
                .build(),
        ),
    );
    components = components.schema("Problem", problem());
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    for (status, description) in PROBLEMS {
        let response = ResponseBuilder::new().description(*description);
        let response = response.content("application/problem+json", content.clone()).build();
        components = components.response(format!("Problem{status}"), response);
    }
    let mut paths = PathsBuilder::new();
    for endpoint in endpoints() {
        for (name, schema) in (endpoint.takes)().into_iter().chain((endpoint.answers)()) {
            components = components.schema(name, schema);
        }
        let method = match endpoint.method {
            "PUT" => HttpMethod::Put,
            "POST" => HttpMethod::Post,
            "PATCH" => HttpMethod::Patch,
            "DELETE" => HttpMethod::Delete,
            _ => HttpMethod::Get,
        };
        paths = paths.path(format!("/api/v1/{}", endpoint.path), PathItem::new(method, operation(endpoint)));
    }
    let info = InfoBuilder::new()
        .title("Rollcall")
        .version("1")
        .description(Some("User management for chat and community apps: the REST face."))
        .build();
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components.build())).build()
}

/// Shapes of bodies that may be left out.
const OPTIONAL_BODIES: &[&str] = &["MuteBody", "TokenBody", "Hold", "Why", "Overlap"];
/// Operations that answer a dry run with a body, and the act itself without one.
const WITHOUT_A_BODY: &[&str] = &["changeBlocklist", "changeAllowlist"];
/// Parameters of a query without which a call cannot be answered.
const REQUIRED: &[(&str, &str)] =
    &[("proveEvent", "position"), ("importRecords", "kind"), ("findFriendPath", "from"), ("findFriendPath", "to")];

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String))
}

/// RFC 9457.
fn problem() -> ObjectBuilder {
    let number = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer));
    let names = ["type", "title", "detail"];
    let object =
        names.into_iter().fold(ObjectBuilder::new(), |object, name| object.property(name, text()).required(name));
    object.property("status", number).required("status")
}

fn parameter(name: &str, place: ParameterIn, example: Option<Value>) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    let parameter = ParameterBuilder::new().name(name).parameter_in(place).required(required);
    parameter.schema(Some(text())).example(example).build()
}

/// The schema a list ends with.
fn last(named: &Named) -> Option<Ref> {
    named.last().map(|(name, _)| Ref::from_schema_name(name))
}

fn operation(endpoint: &Endpoint) -> Operation {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(endpoint.operation))
        .tag(groups::of(endpoint.path))
        .summary(Some(endpoint.summary))
        .description(Some(format!("Needs the scope `{}`.", endpoint.scope.as_str())))
        .security(SecurityRequirement::new("api_key", [endpoint.scope.as_str()]));
    for part in endpoint.path.split('/') {
        if let Some(name) = router::parameter(part) {
            operation =
                operation.parameter(parameter(name, ParameterIn::Path, examples::of_parameter(endpoint.path, name)));
        }
    }
    for name in endpoint.query {
        let mut asked = parameter(name, ParameterIn::Query, None);
        if REQUIRED.contains(&(endpoint.operation, name)) {
            asked.required = Required::True;
        }
        operation = operation.parameter(asked);
    }
    if endpoint.method != "GET" {
        operation = operation.parameter(parameter("Idempotency-Key", ParameterIn::Header, None));
    }
    if endpoint.is_versioned() {
        let name = if endpoint.method == "GET" { "If-None-Match" } else { "If-Match" };
        operation = operation.parameter(parameter(name, ParameterIn::Header, None));
    }
    let shapes = (endpoint.takes)();
    if let Some(schema) = last(&shapes) {
        let example = examples::of_body(endpoint.operation);
        let content = ContentBuilder::new().schema(Some(schema)).example(example).build();
        let may_be_absent = shapes.last().is_some_and(|(name, _)| OPTIONAL_BODIES.contains(&name.as_str()));
        let required = if may_be_absent { Required::False } else { Required::True };
        let types: &[&str] =
            if endpoint.uploads() { &["application/x-ndjson", "text/csv"] } else { &["application/json"] };
        let body = types.iter().fold(RequestBodyBuilder::new(), |body, name| body.content(*name, content.clone()));
        let body = body.required(Some(required)).build();
        operation = operation.request_body(Some(body));
    }
    let mut success = ResponseBuilder::new().description("Done");
    if endpoint.is_versioned() {
        success = success.header("ETag", HeaderBuilder::new().schema(text()).build());
        let (status, says) = match endpoint.method {
            "GET" => ("304", "The caller knows it already"),
            _ => ("412", "It has another revision than the caller expects"),
        };
        operation = operation.response(status, ResponseBuilder::new().description(says).build());
    }
    if let Some(schema) = last(&(endpoint.answers)()) {
        success = success.content("application/json", ContentBuilder::new().schema(Some(schema)).build());
    }
    if WITHOUT_A_BODY.contains(&endpoint.operation) {
        operation = operation.response("204", ResponseBuilder::new().description("Done").build());
    }
    let answered = PROBLEMS.iter().fold(operation.response("2XX", success), |operation, (status, _)| {
        operation.response(*status, Ref::from_response_name(format!("Problem{status}")))
    });
    answered.build()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_two_shapes_have_the_same_name() {
        let (mut shapes, mut twice) = (BTreeMap::new(), Vec::new());
        for endpoint in endpoints() {
            for (name, schema) in (endpoint.takes)().into_iter().chain((endpoint.answers)()) {
                let json = serde_json::to_value(&schema).unwrap();
                let (first, before) = shapes.entry(name.clone()).or_insert_with(|| (endpoint.operation, json.clone()));
                if *before != json {
                    twice.push(format!("{name}: {first}, {}", endpoint.operation));
                }
            }
        }
        assert!(twice.is_empty(), "the document would hold one of each two: {twice:#?}");
    }
}
