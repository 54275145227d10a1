//! The `locum` command: see `locum --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    locum::cli::main()
}
