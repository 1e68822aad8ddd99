//! What a command prints. Where nobody reads any more, as behind `| head`, a command still does the rest of its work.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;

static UNPRINTED: OnceLock<io::Error> = OnceLock::new();

/// Prints what a command was asked for.
pub(crate) fn print(text: Arguments<'_>) {
    note(io::stdout().write_fmt(text));
}

/// Says something beside what was asked for. If it cannot be said, nobody can be told so.
pub(crate) fn aside(text: Arguments<'_>) {
    let _ = io::stderr().write_fmt(text);
}

/// Why something could not be printed, to a full disk for example.
pub(crate) fn unprinted() -> Option<&'static io::Error> {
    note(io::stdout().flush());
    UNPRINTED.get()
}

fn note(printed: io::Result<()>) {
    if let Err(error) = printed
        && error.kind() != ErrorKind::BrokenPipe
    {
        // The first one tells why; those behind it follow from it.
        let _ = UNPRINTED.set(error);
    }
}

/// Prints a line.
macro_rules! say {
    ($($text:tt)*) => { $crate::out::print(format_args!("{}\n", format_args!($($text)*))) };
}

/// Says a line on standard error.
macro_rules! tell {
    ($($text:tt)*) => { $crate::out::aside(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) use say;
pub(crate) use tell;
