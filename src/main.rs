//! The `rollcall` command.

use std::process::ExitCode;

/// A registration makes some hundred short-lived allocations over five threads: with this allocator it takes a fifth
/// less CPU than with the system's (docs/decisions/0007-what-a-registration-costs.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rollcall::cli::main()
}
