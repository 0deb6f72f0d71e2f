//! What the compiler says: programs that must build and run (`ui/pass`), and mistakes with the exact text
//! that the user reads (`ui/fail`, one mistake per file).
//!
//! `TRYBUILD=overwrite cargo test --test ui` writes the texts anew; read them as a user would before
//! keeping them.

#[test]
fn right_programs_build_and_mistakes_say_what_to_do() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/pass/*.rs");
    cases.compile_fail("ui/fail/*.rs");
}
