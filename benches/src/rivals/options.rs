//! The command line.

use super::work::Effort;

/// What the command line asks for.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) effort: Effort,
    pub(super) rounds: usize,
    pub(super) workers: usize,
    /// Where to write the report to, beside the standard output.
    pub(super) output: Option<String>,
    /// Only the work whose name has this in it.
    pub(super) only: Option<String>,
    pub(super) python: String,
}

/// What `--help` prints.
pub(super) const HELP: &str = "\
Runs the same work through this pool and its rivals and prints one table.

  --quick         less of everything: about three minutes instead of about twenty
  --rounds N      rounds, each through all systems (default 7, quick 3)
  --workers N     workers of every pool (default 2)
  --only NAME     only the work and limits whose name contains NAME (apply, map_one, bytes, start, ...)
  --python PATH   the interpreter (default python3); PYTHONPATH may name where loky and mpire are
  --output FILE   write the Markdown to FILE as well";

impl Options {
    /// # Errors
    ///
    /// What is wrong with the arguments, or the help that they ask for.
    pub(super) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            effort: Effort::Full,
            rounds: 0,
            workers: 2,
            output: None,
            only: None,
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
                "--python" => options.python = value()?,
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
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
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
        assert_eq!(parse(&["--rounds", "5", "--quick"]).unwrap().rounds, 5);
        assert_eq!(parse(&[]).unwrap().rounds, 7);
    }

    #[test]
    fn an_unknown_option_lists_the_known_ones() {
        assert!(parse(&["--fast"]).unwrap_err().contains("--quick"));
    }
}
