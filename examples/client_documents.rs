//! Writes the documents of the client face: `cargo run --all-features --example client_documents` in the root of the project.

fn main() -> std::io::Result<()> {
    std::fs::write("schemas/api/client-openapi.json", rollcall::http::client_openapi())?;
    std::fs::write("schemas/api/client-asyncapi.json", rollcall::http::client_asyncapi())
}
