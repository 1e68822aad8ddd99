//! The `rollcall` command.

use std::process::ExitCode;

use mimalloc::MiMalloc;
use zeroizing_alloc::ZeroAlloc;

/// A registration makes some hundred short-lived allocations over five threads: with mimalloc it takes a fifth less CPU
/// than with the system's allocator (docs/decisions/0007-what-a-registration-costs.md). What is freed is overwritten, so
/// that personal data does not outlive its erasure in memory that nobody uses.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<MiMalloc> = ZeroAlloc(MiMalloc);

fn main() -> ExitCode {
    rollcall::cli::main()
}
