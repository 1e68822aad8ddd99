//! Publishes the JSON Schema of every event that has none yet, and adds its digest to `published.lock`. What is
//! published already is never changed: a new shape is a new version.
//!
//! `cargo run -p rollcall-schemas --example publish`

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let lock_path = root.join("published.lock");
    let mut lock = fs::read_to_string(&lock_path).unwrap_or_default();
    for declaration in rollcall_schemas::Event::declarations() {
        let (aggregate, event) = declaration.name.split_once('.').ok_or("an event name has a dot")?;
        let path = root.join(aggregate).join(format!("{event}.v{}.json", declaration.version));
        if path.exists() {
            continue;
        }
        let mut text = serde_json::to_string_pretty(&(declaration.schema)())?;
        text.push('\n');
        fs::write(&path, &text)?;
        let digest: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        lock.push_str(&format!("{} {} {digest}\n", declaration.name, declaration.version));
        println!("published {}", path.display());
    }
    fs::write(lock_path, lock)?;
    Ok(())
}
