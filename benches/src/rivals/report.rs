//! The report, in Markdown.

use std::fmt::Write;

use super::book::{Book, LIMIT, OURS};
use super::limits::LIMITS;
use super::lost;
use super::marks;
use super::special::SPECIALS;
use super::stats::{Summary, human, three_digits};
use super::work::{Bound, Row, Work};

/// All that there is to say about a run.
pub(super) struct Report<'a> {
    pub(super) head: Vec<String>,
    pub(super) work: &'a [Work],
    /// Key and title of each system; this pool is the first.
    pub(super) columns: Vec<(&'static str, String)>,
    pub(super) workers: usize,
    pub(super) book: &'a Book,
}

/// Systems that show what processes cost, and are no rivals.
const BOUNDS: [&str; 2] = ["rayon", "loop"];

const EXPLANATION: &str = "\
Figures are medians of all rounds, ± half of what lies between the least and the most, for a call, item or MiB if the row says
so, else for all of it. *Of the limit* is what this pool takes, as many times what the limit takes; *best rival* is the fastest of the
other process pools, **n ×**: as many times what this pool takes, so under 1 is lost. Systems that take tens of microseconds
an item are given fewer items. Default chunks are 1 for all of ProcessPoolExecutor and loky, and for `imap` of
multiprocessing.Pool. ProcessPoolExecutor's and loky's `imap_unordered` is `as_completed`. procspawn has single calls only, of
which 100 are open at once.";

impl Report<'_> {
    /// The whole text, with the plot if there is one.
    pub(super) fn markdown(&self, plot: Option<&str>) -> String {
        let mut out = String::from("# This pool and its rivals\n\n");
        self.head.iter().for_each(|line| line_to(&mut out, &format!("- {line}")));
        if let Some(plot) = plot {
            line_to(&mut out, &format!("\n![Times of all systems, on a logarithmic scale]({plot})"));
        }
        line_to(&mut out, "\n## Marks\n");
        out.push_str(&marks::table(self.book));
        line_to(&mut out, &format!("\n## Work\n\n{EXPLANATION}\n"));
        self.table(&mut out);
        self.lost(&mut out);
        line_to(&mut out, "\n## Limits of the machine, in the same rounds\n\n| Limit | |\n|---|---|");
        for limit in LIMITS {
            if let Ok(summary) = self.book.figure(limit.key, LIMIT) {
                line_to(&mut out, &format!("| {} | {} |", limit.title, figure(&summary)));
            }
        }
        line_to(&mut out, "\n## What only this pool was asked\n\n| | |\n|---|---|");
        for special in SPECIALS {
            match self.book.figure(special.key, LIMIT) {
                Ok(summary) => {
                    let figure = special.quantity.write(summary.median);
                    line_to(&mut out, &format!("| {} | {figure} |", special.title));
                }
                Err("–") => {}
                Err(reason) => line_to(&mut out, &format!("| {} | {reason} |", special.title)),
            }
        }
        out
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.work.iter().flat_map(|work| &work.rows)
    }

    fn table(&self, out: &mut String) {
        let mut head = "| Work | this pool | limit | of the limit | best rival |".to_owned();
        self.columns[1..]
            .iter()
            .for_each(|(_, title)| write!(head, " {title} |").expect("a string takes all"));
        line_to(out, &head);
        line_to(out, &format!("{}|", "|---".repeat(self.columns.len() + 4)));
        for row in self.rows() {
            let ours = self.book.figure(&row.key, OURS);
            let median = ours.ok().map(|summary| summary.median);
            let bound = self.bound(row);
            let of_the_limit = median.zip(bound).map(|(ours, bound)| times(ours / bound));
            let best = self.best_rival(&row.key).zip(median);
            let best =
                best.map(|((name, rival), ours)| format!("**{} ×** {name}", three_digits(rival / ours)));
            let mut cells = vec![
                row.title.clone(),
                cell(ours),
                bound.map_or_else(|| "–".to_owned(), human),
                of_the_limit.unwrap_or_else(|| "–".to_owned()),
                best.unwrap_or_else(|| "–".to_owned()),
            ];
            for (key, _) in &self.columns[1..] {
                cells.push(cell(self.book.figure(&row.key, key)));
            }
            line_to(out, &format!("| {} |", cells.join(" | ")));
        }
    }

    /// What nothing can be faster than, in seconds.
    pub(super) fn bound(&self, row: &Row) -> Option<f64> {
        match row.bound {
            Bound::Limit(key) => self.book.limit(key),
            Bound::Seconds(seconds) => Some(seconds),
            Bound::SharedLoop => self.book.median(&row.key, "loop").map(|time| time / self.workers as f64),
        }
    }

    /// The fastest of the other process pools.
    fn best_rival(&self, row: &str) -> Option<(&str, f64)> {
        let rivals = self.columns[1..].iter().filter(|(key, _)| !BOUNDS.contains(key));
        let times = rivals.filter_map(|(key, title)| Some((title.as_str(), self.book.median(row, key)?)));
        times.min_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    /// A sentence on each row that is lost to another process pool.
    fn lost(&self, out: &mut String) {
        let is_lost = |row: &&Row| {
            let rival = self.best_rival(&row.key).map(|(_, time)| time);
            self.book.ours(&row.key).zip(rival).is_some_and(|(ours, rival)| rival < ours)
        };
        let lost: Vec<&Row> = self.rows().filter(is_lost).collect();
        line_to(out, "\n## Rows that are lost\n");
        if lost.is_empty() {
            line_to(out, "None: no other process pool is faster in any row.");
        }
        for row in lost {
            let (name, time) = self.best_rival(&row.key).expect("a row is lost to somebody");
            let ours = self.book.ours(&row.key).expect("a row that is lost was measured");
            let (rival, ours) = (human(time), human(ours));
            let why = lost::sentence(&row.key).unwrap_or("Not understood yet.");
            line_to(out, &format!("- {}: {name} takes {rival}, this pool {ours}. {why}", row.title));
        }
    }
}

fn line_to(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

fn cell(figures: Result<Summary, &str>) -> String {
    figures.map_or_else(|reason| reason.replace('|', "\\|"), |summary| figure(&summary))
}

/// A median and its spread.
fn figure(summary: &Summary) -> String {
    let spread = (summary.most - summary.least) / 2.0 / summary.median;
    format!("{} ±{:.0} %", human(summary.median), spread * 100.0)
}

/// How many times; close to one it is the hundredths that matter.
fn times(ratio: f64) -> String {
    if ratio < 2.0 { format!("{ratio:.3} ×") } else { format!("{} ×", three_digits(ratio)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rivals::work::{Effort, Kind, all};

    fn report(book: &Book) -> String {
        let mut work = all(2, Effort::Full);
        work.retain(|work| work.kind == Kind::Map);
        let columns = [("ours", "this pool"), ("pool", "P"), ("rayon", "R")];
        let columns = columns.map(|(key, title)| (key, title.to_owned())).to_vec();
        Report { head: Vec::new(), work: &work, columns, workers: 2, book }.markdown(None)
    }

    #[test]
    fn a_row_has_its_ratios_to_its_limit_and_to_the_best_rival() {
        let mut book = Book::default();
        book.add("map", OURS, Ok(2e-8));
        book.add("map", "pool", Ok(1e-6));
        book.add("map", "rayon", Ok(1e-9));
        book.add("codec", LIMIT, Ok(1e-8));
        let text = report(&book);
        assert!(text.contains("| 10.0 ns | 2.00 × | **50.0 ×** P |"), "{text}");
        assert!(text.contains("None: no other process pool is faster"), "{text}");
    }

    #[test]
    fn a_row_that_is_lost_is_named() {
        let mut book = Book::default();
        book.add("map", OURS, Ok(2e-6));
        book.add("map", "pool", Ok(1e-6));
        let text = report(&book);
        assert!(text.contains("P takes 1.00 µs, this pool 2.00 µs."), "{text}");
    }
}
