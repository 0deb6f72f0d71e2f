//! What was measured so far.

use std::collections::BTreeMap;

use super::stats::Summary;

/// The column of limits, and of what is measured of this pool alone.
pub(super) const LIMIT: &str = "limit";
/// The column of this pool.
pub(super) const OURS: &str = "ours";

/// Figures of all rounds, by row and column.
#[derive(Debug, Default)]
pub(super) struct Book {
    cells: BTreeMap<(String, &'static str), Result<Vec<f64>, String>>,
}

impl Book {
    /// Adds the figure of a round, or why there is none.
    pub(super) fn add(&mut self, row: &str, column: &'static str, figure: Result<f64, String>) {
        let cell = self.cells.entry((row.to_owned(), column)).or_insert_with(|| Ok(Vec::new()));
        match (figure, &mut *cell) {
            (Ok(figure), Ok(figures)) => figures.push(figure),
            // One failure is enough to have no figure: half of one would mislead.
            (Err(reason), _) => *cell = Err(reason),
            (Ok(_), Err(_)) => {}
        }
    }

    /// The figure of all rounds, or why there is none.
    pub(super) fn figure(&self, row: &str, column: &'static str) -> Result<Summary, &str> {
        let figures =
            self.cells.get(&(row.to_owned(), column)).ok_or("–")?.as_ref().map_err(String::as_str)?;
        Summary::of(figures.clone()).filter(|summary| !summary.median.is_nan()).ok_or("–")
    }

    pub(super) fn median(&self, row: &str, column: &'static str) -> Option<f64> {
        self.figure(row, column).ok().map(|summary| summary.median)
    }

    /// What this pool took.
    pub(super) fn ours(&self, row: &str) -> Option<f64> {
        self.median(row, OURS)
    }

    pub(super) fn limit(&self, key: &str) -> Option<f64> {
        self.median(key, LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_enough_to_have_no_figure() {
        let mut book = Book::default();
        book.add("map", OURS, Ok(1.0));
        book.add("map", OURS, Ok(3.0));
        assert_eq!(book.ours("map"), Some(2.0));
        book.add("map", OURS, Err("hung".to_owned()));
        book.add("map", OURS, Ok(1.0));
        assert_eq!(book.figure("map", OURS), Err("hung"));
    }
}
