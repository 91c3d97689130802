//! The `standin` binary. Everything is in the library; here is only the way in.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    standin::cli::main()
}
