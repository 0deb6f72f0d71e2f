//! The table of rivals as a bench: `cargo bench -p benches --bench rivals`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut is_bench = false;
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| {
            is_bench |= arg == "--bench";
            arg != "--bench"
        })
        .collect();
    if !is_bench {
        // `cargo test --all-targets` comes by here; minutes of measuring are not what it asks for.
        println!("measures only under `cargo bench`");
        return ExitCode::SUCCESS;
    }
    benches::rivals::main(args.into_iter())
}
