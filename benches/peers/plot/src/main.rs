//! Draws what `rollcall bench --curves` wrote: `rollcall-plot CURVES.json FOLDER`.

mod curves;
mod panel;

use std::path::Path;

use anyhow::{Context, Result};
use plotters::prelude::{IntoDrawingArea as _, RGBColor, SVGBackend, WHITE};
use plotters::style::IntoFont as _;

use curves::{Curves, Point};
use panel::{Ends, Line, Panel};

/// Width and height of a picture of two panels, in pixels.
const SIZE: (u32, u32) = (1000, 400);
/// Height of what stands above the panels.
const HEAD: u32 = 48;

const REGISTER: RGBColor = RGBColor(0xb3, 0x3a, 0x1b);
const QUERY: RGBColor = RGBColor(0x1b, 0x5f, 0xb3);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, folder] = &arguments[..] else { anyhow::bail!("expected CURVES.json FOLDER") };
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let curves: Curves = serde_json::from_str(&text).with_context(|| format!("{file} holds no curves"))?;
    let folder = Path::new(folder);
    if !curves.connections.is_empty() {
        over_connections(&curves, &folder.join("connections.svg"))?;
    }
    if !curves.users.is_empty() {
        over_users(&curves, &folder.join("users.svg"))?;
    }
    Ok(())
}

/// How many a second, and how long the slowest hundredth takes, over the number of connections.
fn over_connections(curves: &Curves, path: &Path) -> Result<()> {
    let lines = |of: fn(&Point) -> f64| {
        [
            Line::new("register", REGISTER, curves.connections.iter().map(|at| (at.connections, of(&at.register)))),
            Line::new("query one user", QUERY, curves.connections.iter().map(|at| (at.connections, of(&at.query)))),
        ]
    };
    let marks: Vec<f64> = curves.connections.iter().map(|at| at.connections).collect();
    let left = Panel {
        title: "Throughput",
        x: "connections, one request in flight on each",
        y: "answers per second",
        marks: marks.clone(),
        logarithmic: false,
        lines: lines(|point| point.per_second),
    };
    let right = Panel {
        title: "Latency, p99",
        x: "connections, one request in flight on each",
        y: "milliseconds",
        marks,
        logarithmic: true,
        lines: lines(|point| point.p99_ms),
    };
    draw(path, &head(curves, "over HTTP, signed and durable"), [&left, &right])
}

/// How many a second, and what each costs, over the number of users.
fn over_users(curves: &Curves, path: &Path) -> Result<()> {
    let lines = |of: fn(&Point) -> f64| {
        [
            Line::new("register", REGISTER, curves.users.iter().map(|at| (at.users, of(&at.register)))),
            Line::new("query one user", QUERY, curves.users.iter().map(|at| (at.users, of(&at.query)))),
        ]
    };
    let ends = Ends::of(curves.users.iter().map(|at| at.users));
    let marks = ends.powers_of_ten();
    let connections = curves.users.first().map_or(0.0, |at| at.connections);
    let left = Panel {
        title: "Throughput",
        x: "users",
        y: "answers per second",
        marks: marks.clone(),
        logarithmic: false,
        lines: lines(|point| point.per_second),
    };
    let right = Panel {
        title: "Processor time of the service",
        x: "users",
        y: "microseconds per answer",
        marks,
        logarithmic: false,
        lines: lines(|point| point.service_cpu_micros),
    };
    draw(path, &head(curves, &format!("{connections} connections, any of all users asked for")), [&left, &right])
}

fn head(curves: &Curves, more: &str) -> String {
    let Curves { build, store, cores, seconds, .. } = curves;
    format!("Rollcall {build} on {store}, {more}; {cores} cores shared with the load generator, {seconds} s a point")
}

fn draw(path: &Path, head: &str, panels: [&Panel; 2]) -> Result<()> {
    let whole = SVGBackend::new(path, SIZE).into_drawing_area();
    // Said, since a page may be dark.
    whole.fill(&WHITE)?;
    let (top, rest) = whole.split_vertically(HEAD);
    top.draw_text(head, &panel::style(("sans-serif", 15).into_font(), panel::INK), (20, 18))?;
    let (left, right) = rest.split_horizontally(SIZE.0 / 2);
    for (panel, area) in panels.into_iter().zip([left, right]) {
        panel.draw(&area)?;
    }
    whole.present()?;
    Ok(())
}
