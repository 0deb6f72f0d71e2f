//! The table, in Markdown.

use std::fmt::Write;

use super::stats::{Summary, human, three_digits, unit};

/// What one system gave for one row.
#[derive(Debug)]
pub(super) enum Cell {
    Measured(Summary),
    /// Why there is no figure.
    None(String),
}

/// One row of the table: what was done, and a cell for each system.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) title: &'static str,
    pub(super) cells: Vec<Cell>,
}

/// Writes the table; the first column is what the others are compared with.
pub(super) fn table(columns: &[String], rows: &[Row]) -> String {
    let mut out = format!("| Work | {} |\n|---|", columns.join(" | "));
    columns.iter().for_each(|_| out.push_str("---|"));
    out.push('\n');
    for row in rows {
        write!(out, "| {} |", row.title).expect("a string takes everything");
        let base = match row.cells.first() {
            Some(Cell::Measured(summary)) => Some(summary.median),
            _ => None,
        };
        for (column, cell) in row.cells.iter().enumerate() {
            let base = base.filter(|_| column > 0);
            write!(out, " {} |", write_cell(cell, base)).expect("a string takes everything");
        }
        out.push('\n');
    }
    out
}

fn write_cell(cell: &Cell, base: Option<f64>) -> String {
    match cell {
        Cell::None(reason) => reason.clone(),
        Cell::Measured(summary) if summary.median.is_nan() => "–".to_owned(),
        Cell::Measured(summary) => {
            let ratio = base.map(|base| match summary.median / base {
                ratio if ratio < 0.1 => format!("**1/{:.0} ×** ", 1.0 / ratio),
                ratio => format!("**{} ×** ", three_digits(ratio)),
            });
            format!("{}{}", ratio.unwrap_or_default(), figure(summary))
        }
    }
}

/// A median with the least and the most of all rounds, in the same unit.
pub(super) fn figure(summary: &Summary) -> String {
    let (scale, _) = unit(summary.median);
    let [least, most] = [summary.least, summary.most].map(|end| three_digits(end * scale));
    format!("{} ({least} – {most})", human(summary.median))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(median: f64) -> Cell {
        Cell::Measured(Summary { median, least: median, most: median })
    }

    #[test]
    fn every_rival_has_its_ratio_to_the_first_column() {
        let columns = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        let cells = vec![measured(1e-6), measured(5e-5), Cell::None("no such call".to_owned())];
        let table = table(&columns, &[Row { title: "w", cells }]);
        assert!(table.contains("| w | 1.00 µs (1.00 – 1.00) | **50.0 ×** 50.0 µs"), "{table}");
        assert!(table.ends_with("| no such call |\n"), "{table}");
    }
}
