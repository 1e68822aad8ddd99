//! Which read model reads which event stands in `reads.matrix`: nobody forgets a read model when an event is new, and a
//! review sees what a projector reads more or less than before.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rollcall_projections::{ALL, PAST_ONLY, Projection, Reads};
use rollcall_schemas::{Event, EventDeclaration};

/// An event as the matrix names it.
fn name(event: &EventDeclaration) -> String {
    format!("{} v{}", event.name, event.version)
}

/// What somebody decided: by event, the text behind its name.
fn decided(matrix: &str) -> BTreeMap<String, String> {
    let lines = matrix.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("a line of reads.matrix is not understood: {line}")))
        .map(|(event, readers)| (event.trim().to_owned(), readers.trim().to_owned()))
        .collect()
}

/// The read models that declare that they read an event, apart from those that read every one.
fn declared<'m>(models: &[&'m dyn Projection], event: &EventDeclaration) -> Vec<&'m str> {
    let reads = |model: &&&dyn Projection| match &model.declared().reads {
        Reads::Every => false,
        Reads::Only(events) => events.iter().any(|read| name(read) == name(event)),
    };
    models.iter().filter(reads).map(|model| model.name()).collect()
}

/// The matrix as the read models declare it. A reason why nobody reads an event stays; a line of an event that was never
/// published is left out.
fn rewritten(matrix: &str, events: &[&EventDeclaration], models: &[&dyn Projection]) -> String {
    let mut decided = decided(matrix);
    let comments = matrix.lines().filter(|line| line.starts_with('#')).map(str::to_owned);
    let mut lines: Vec<_> = comments.collect();
    for event in events {
        let (event, readers) = (name(event), declared(models, event).join(", "));
        match (decided.remove(&event), readers.as_str()) {
            (Some(line), "") => lines.push(format!("{event}: {line}")),
            (None, "") => {}
            (_, readers) => lines.push(format!("{event}: {readers}")),
        }
    }
    lines.join("\n") + "\n"
}

/// What must be changed in the matrix, line by line; nothing where it says what the read models declare.
fn to_change(matrix: &str, events: &[&EventDeclaration], models: &[&dyn Projection]) -> String {
    let mut decided = decided(matrix);
    let mut changes = String::new();
    for event in events {
        let (event, readers) = (name(event), declared(models, event).join(", "));
        let line = decided.remove(&event);
        let reason = line.as_deref().and_then(|line| line.strip_prefix("nobody, since "));
        let _ = match (line.as_deref(), readers.as_str()) {
            (_, "") if reason.is_some_and(|reason| !reason.is_empty()) => Ok(()),
            (Some(line), readers) if line == readers && !readers.is_empty() => Ok(()),
            (None, "") => writeln!(
                changes,
                "{event} is new: let the read models that care read it, or add\n+ {event}: nobody, since <why>"
            ),
            (None, readers) => writeln!(changes, "+ {event}: {readers}"),
            (Some(line), "") => {
                writeln!(changes, "- {event}: {line}\n+ {event}: nobody, since <why>")
            }
            (Some(line), readers) => writeln!(changes, "- {event}: {line}\n+ {event}: {readers}"),
        };
    }
    for (event, readers) in decided {
        let _ = writeln!(changes, "no such event was published:\n- {event}: {readers}");
    }
    changes
}

fn every() -> Vec<&'static dyn Projection> {
    ALL.iter().chain(PAST_ONLY).copied().collect()
}

fn published() -> Vec<&'static EventDeclaration> {
    Event::declarations().collect()
}

const MATRIX: &str = include_str!("../../reads.matrix");

#[test]
fn for_every_published_event_it_is_decided_which_read_models_read_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/reads.matrix");
    let matrix = std::fs::read_to_string(path).unwrap();
    let matrix = if std::env::var_os("WRITE_MATRIX").is_some() {
        let written = rewritten(&matrix, &published(), &every());
        std::fs::write(path, &written).unwrap();
        written
    } else {
        matrix
    };
    let changes = to_change(&matrix, &published(), &every());
    assert!(
        changes.is_empty(),
        "run the test with WRITE_MATRIX=1 and review the diff, or change what a projector reads; the reason why nobody \
         reads an event is written by hand:\n{changes}"
    );
}

#[test]
fn what_is_written_anew_are_the_lines_of_readers_and_never_a_reason() {
    let events = published();
    let line = |event: &str| MATRIX.lines().find(|line| line.starts_with(event)).unwrap();
    assert_eq!(rewritten(MATRIX, &events, &every()), MATRIX);
    let (tagged, nobody) = (format!("{}\n", line("user.tagged v1")), format!("{}\n", line("access.read v1")));
    assert_eq!(rewritten(&MATRIX.replace(&tagged, ""), &events, &every()), MATRIX);
    let undecided = MATRIX.replace(&nobody, "");
    assert_eq!(rewritten(&undecided, &events, &every()), undecided);
    let fewer: Vec<_> = every().into_iter().filter(|model| model.name() != "user_tags").collect();
    let stale = rewritten(MATRIX, &events, &fewer);
    assert!(to_change(&stale, &events, &fewer).contains("+ user.tagged v1: nobody, since <why>"), "{stale}");
}

#[test]
fn an_event_that_is_new_and_a_read_model_that_reads_another_one_are_told_with_what_to_change() {
    let events = published();
    let line = |event: &str| MATRIX.lines().find(|line| line.starts_with(event)).unwrap();
    let tagged = line("user.tagged v1");
    let without = MATRIX.replace(&format!("{tagged}\n"), "");
    assert_eq!(to_change(&without, &events, &every()), format!("+ {tagged}\n"));
    let nobody = line("access.read v1");
    let without = MATRIX.replace(&format!("{nobody}\n"), "");
    assert!(to_change(&without, &events, &every()).starts_with("access.read v1 is new: "));
    let fewer: Vec<_> = every().into_iter().filter(|model| model.name() != "user_tags").collect();
    let changes = to_change(MATRIX, &events, &fewer);
    assert!(changes.contains("- user.tagged v1: user_tags\n+ user.tagged v1: nobody, since <why>\n"), "{changes}");
    assert!(changes.contains("- user.forgotten v1: ") && changes.contains("+ user.forgotten v1: "), "{changes}");
    let gone = format!("{MATRIX}user.teleported v1: user_tags\n");
    assert!(to_change(&gone, &events, &every()).starts_with("no such event was published:\n- user.teleported v1"));
}

#[test]
fn the_audit_trail_reads_every_event() {
    let reads_every = |model: &&&dyn Projection| matches!(model.declared().reads, Reads::Every);
    let every: Vec<_> = every().iter().filter(reads_every).map(|model| model.name()).collect();
    assert_eq!(every, ["audit_trail"]);
}
