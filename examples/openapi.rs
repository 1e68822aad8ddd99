//! Prints the OpenAPI document: `cargo run --example openapi > schemas/api/openapi.json`.

fn main() {
    print!("{}", rollcall::http::openapi());
}
