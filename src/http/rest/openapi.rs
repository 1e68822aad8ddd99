//! The OpenAPI 3.1 document, made from the table of endpoints.

use serde_json::Value;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HeaderBuilder, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, PathItem,
    PathsBuilder, Ref, Required, ResponseBuilder,
};

use super::routes::{ENDPOINTS, Endpoint, Named};
use super::{examples, groups};

/// The document.
pub(in crate::http) fn document() -> OpenApi {
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
    let mut paths = PathsBuilder::new();
    for endpoint in ENDPOINTS {
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
        if let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            operation =
                operation.parameter(parameter(name, ParameterIn::Path, examples::of_parameter(endpoint.path, name)));
        }
    }
    for name in endpoint.query {
        operation = operation.parameter(parameter(name, ParameterIn::Query, None));
    }
    if endpoint.method != "GET" {
        operation = operation.parameter(parameter("Idempotency-Key", ParameterIn::Header, None));
    }
    if endpoint.is_versioned() {
        let name = if endpoint.method == "GET" { "If-None-Match" } else { "If-Match" };
        operation = operation.parameter(parameter(name, ParameterIn::Header));
    }
    if let Some(schema) = last(&(endpoint.takes)()) {
        let example = examples::of_body(endpoint.operation);
        let content = ContentBuilder::new().schema(Some(schema)).example(example).build();
        operation =
            operation.request_body(Some(RequestBodyBuilder::new().content("application/json", content).build()));
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
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let problem = ResponseBuilder::new().description("Not done").content("application/problem+json", problem);
    operation.response("2XX", success).response("default", problem).build()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_two_shapes_have_the_same_name() {
        let (mut shapes, mut twice) = (BTreeMap::new(), Vec::new());
        for endpoint in ENDPOINTS {
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
