//! The whole of Rollcall: its own bench registers over HTTP, signed, with a service in a process of its own, which it kills
//! and starts again to count what is there.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::process::Command;

use crate::measure::{Figures, Load};

/// What `rollcall bench --curves` writes, as far as it is read here.
#[derive(Deserialize)]
struct Curves {
    connections: Vec<OverConnections>,
}

#[derive(Deserialize)]
struct OverConnections {
    register: Point,
}

#[derive(Deserialize)]
struct Point {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    caller_cpu_micros: f64,
    service_cpu_micros: f64,
    failed: u64,
}

/// Measures with log and read models in an empty database, or in files.
pub(crate) async fn measure(rollcall: &Path, database: Option<&str>, load: Load) -> Result<Figures> {
    let directory = tempfile::Builder::new().prefix("rollcall-peers-").tempdir()?;
    let file = directory.path().join("curves.json");
    let mut command = Command::new(rollcall);
    command.args(["bench", "--over-users", "0", "--over-connections", &load.clients.to_string()]);
    command.args(["--seconds", &load.measured.as_secs().to_string()]);
    command.arg("--curves").arg(&file).arg("--dir").arg(directory.path().join("bench"));
    if let Some(database) = database {
        command.args(["--database", database]);
    }
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.context("cannot run Rollcall")?;
    if !output.status.success() {
        bail!("Rollcall: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let curves: Curves = serde_json::from_slice(&std::fs::read(&file)?)?;
    let point = &curves.connections.first().context("Rollcall measured nothing")?.register;
    if point.failed > 0 {
        bail!("Rollcall did not answer 200 to {} registrations", point.failed);
    }
    let milliseconds = |of: f64| Duration::from_secs_f64(of / 1e3);
    Ok(Figures {
        per_second: point.per_second,
        p50: milliseconds(point.p50_ms),
        p99: milliseconds(point.p99_ms),
        caller_cpu: point.caller_cpu_micros,
        server_cpu: Some(point.service_cpu_micros),
        retries: 0.0,
    })
}
