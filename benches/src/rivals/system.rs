//! What is compared: everything that can do the work and time it.

use super::work::{Effort, Kind, Pace, Work};

/// One system under measurement. It keeps its pool from one measurement to the next.
pub(super) trait System {
    /// Its name in the program.
    fn key(&self) -> &'static str;

    /// The head of its column.
    fn name(&self) -> String;

    /// Does the work once and times it: a figure for each row of the work, in seconds.
    ///
    /// # Errors
    ///
    /// A word on why there is no figure: the system has no such call, or it failed.
    fn measure(&mut self, work: &Work, items: usize) -> Result<Vec<f64>, String>;

    /// Which size of this work it gets.
    fn pace(&self, work: &Work) -> Pace;

    /// Items for this work.
    fn items(&self, work: &Work, effort: Effort) -> usize {
        let is_given = matches!(work.kind, Kind::Items { .. } | Kind::ConcurrentImap | Kind::Prefixes);
        let effort = if is_given { Effort::Full } else { effort };
        work.size.items(self.pace(work), effort)
    }
}
