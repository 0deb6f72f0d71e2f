//! The command line.

use super::work::Effort;

/// What this run of the program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    Measure,
    /// Measure one start by [`StartMethod::Fork`](pool::StartMethod::Fork), for a run that measures.
    StartFork,
    /// End, so that a run that measures knows what that takes.
    Nothing,
}

/// What the command line asks for.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) errand: Errand,
    pub(super) effort: Effort,
    pub(super) rounds: usize,
    pub(super) workers: usize,
    /// Where to write the report to, beside the standard output.
    pub(super) output: Option<String>,
    /// Only the work whose name has one of these in it, with commas between them.
    pub(super) only: Option<String>,
    /// Only these systems, with commas between them.
    systems: Option<String>,
    pub(super) python: String,
}

/// What `--help` prints.
pub(super) const HELP: &str = "\
Runs the same work through this pool and its rivals and prints tables.

  --quick         less of everything: about three minutes instead of about fifteen
  --rounds N      rounds, each through all systems (default 7, quick 3)
  --workers N     workers of every pool (default 2)
  --only NAMES    only the work and limits whose names contain one of these, with commas between them
                  (apply, map_one, bytes, start, ...)
  --systems NAMES beside this pool and the plain loop only these: pool, executor, loky, mpire, procspawn, rayon
  --python PATH   the interpreter (default python3); PYTHONPATH may name where loky and mpire are
  --output FILE   write the Markdown to FILE, and the plot beside it, with the extension svg";

impl Options {
    /// # Errors
    ///
    /// What is wrong with the arguments, or the help that they ask for.
    pub(super) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            errand: Errand::Measure,
            effort: Effort::Full,
            rounds: 0,
            workers: 2,
            output: None,
            only: None,
            systems: None,
            python: "python3".to_owned(),
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("`{arg}` needs a value"));
            match arg.as_str() {
                "--quick" => options.effort = Effort::Quick,
                "--rounds" => options.rounds = number(&value()?)?,
                "--workers" => options.workers = number(&value()?)?,
                "--output" => options.output = Some(value()?),
                "--only" => options.only = Some(value()?),
                "--systems" => options.systems = Some(value()?),
                "--python" => options.python = value()?,
                // Not for users: cargo's word to benches, and what this program asks of itself.
                "--bench" => {}
                "--start-fork" => options.errand = Errand::StartFork,
                "--nothing" => options.errand = Errand::Nothing,
                "--help" => return Err(HELP.to_owned()),
                _ => return Err(format!("unknown option `{arg}`\n\n{HELP}")),
            }
        }
        if options.rounds == 0 {
            options.rounds = if options.effort == Effort::Quick { 3 } else { 7 };
        }
        Ok(options)
    }

    pub(super) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.split(',').any(|only| name.contains(only)))
    }

    pub(super) fn includes(&self, system: &str) -> bool {
        self.systems.as_ref().is_none_or(|systems| systems.split(',').any(|name| name == system))
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("`{text}` is not a positive number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, String> {
        Options::parse(args.iter().map(|arg| (*arg).to_owned()))
    }

    #[test]
    fn quick_means_fewer_rounds_unless_their_number_is_given() {
        assert_eq!(parse(&["--quick"]).unwrap().rounds, 3);
        assert_eq!(parse(&["--rounds", "4", "--quick"]).unwrap().rounds, 4);
        assert_eq!(parse(&[]).unwrap().rounds, 7);
    }

    #[test]
    fn an_unknown_option_lists_the_known_ones() {
        assert!(parse(&["--fast"]).unwrap_err().contains("--quick"));
    }
}
