//! The table of rivals as a bench: `cargo bench -p benches --bench rivals`.

use std::process::ExitCode;

fn main() -> ExitCode {
    if !std::env::args().any(|arg| arg == "--bench") {
        // `cargo test --all-targets` comes by here; minutes of measuring are not what it asks for.
        println!("measures only under `cargo bench`");
        return ExitCode::SUCCESS;
    }
    benches::rivals::main(std::env::args().skip(1))
}
