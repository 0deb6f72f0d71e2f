//! The table of rivals as a program: `cargo run --release -p benches --bin rivals -- --quick`.

use std::process::ExitCode;

fn main() -> ExitCode {
    benches::rivals::main(std::env::args().skip(1))
}
