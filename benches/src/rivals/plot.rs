//! The plot: every row a line, every system a dot, on a logarithmic scale. SVG, written by hand: it is a few shapes.

use std::fmt::Write;

use super::report::Report;
use super::stats::human;
use super::work::Row;

const ROW: f64 = 18.0;
const LEFT: f64 = 470.0;
const WIDTH: f64 = 800.0;
const TOP: f64 = 70.0;
/// Colours for systems that are told apart by people who see few colours, too.
const COLOURS: [&str; 9] =
    ["#d55e00", "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#cc79a7", "#999999", "#555555", "#000000"];

/// The whole image.
pub(super) fn svg(report: &Report<'_>) -> String {
    let lines: Vec<Line<'_>> =
        report.rows().map(|row| Line::of(report, row)).filter(|line| line.all().next().is_some()).collect();
    let all = lines.iter().flat_map(Line::all);
    let (least, most) = all
        .filter(|time| *time > 0.0)
        .fold((f64::INFINITY, 0.0_f64), |(low, high), time| (low.min(time), high.max(time)));
    if lines.is_empty() || most == 0.0 {
        return "<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n".to_owned();
    }
    let scale = Scale::new(least, most);
    let bottom = TOP + ROW * lines.len() as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        LEFT + WIDTH + 20.0,
        bottom + 30.0
    );
    legend(&mut out, report);
    for power in scale.low..=scale.high {
        let x = scale.place(10_f64.powi(power));
        line(&mut out, (x, TOP - 10.0), (x, bottom), "#dddddd");
        text(&mut out, (x, bottom + 15.0), "middle", &human(1.000_001 * 10_f64.powi(power)));
    }
    for (index, Line { title, times, bound }) in lines.iter().enumerate() {
        let y = TOP + ROW * (index as f64 + 0.5);
        text(&mut out, (LEFT - 10.0, y + 4.0), "end", &title.replace(['`', '\\'], ""));
        line(&mut out, (LEFT, y), (LEFT + WIDTH, y), "#f0f0f0");
        if let Some(bound) = bound {
            let x = scale.place(*bound);
            line(&mut out, (x, y - 7.0), (x, y + 7.0), "black");
        }
        // This pool is drawn last, so that it lies on top.
        for (column, time) in times.iter().enumerate().rev() {
            if let Some(time) = time {
                dot(&mut out, (scale.place(*time), y), column);
            }
        }
    }
    out.push_str("</svg>\n");
    out
}

/// What one row of the table shows.
struct Line<'a> {
    title: &'a str,
    /// Of each system.
    times: Vec<Option<f64>>,
    bound: Option<f64>,
}

impl<'a> Line<'a> {
    fn of(report: &Report<'_>, row: &'a Row) -> Self {
        let times = report.columns.iter().map(|(key, _)| report.book.median(&row.key, key)).collect();
        Self { title: &row.title, times, bound: report.bound(row) }
    }

    fn all(&self) -> impl Iterator<Item = f64> {
        self.times.iter().chain([&self.bound]).flatten().copied()
    }
}

/// Where a time is on the axis, which goes from one power of ten to another.
struct Scale {
    low: i32,
    high: i32,
}

impl Scale {
    fn new(least: f64, most: f64) -> Self {
        let low = least.log10().floor() as i32;
        Self { low, high: (most.log10().ceil() as i32).max(low + 1) }
    }

    fn place(&self, time: f64) -> f64 {
        LEFT + WIDTH * (time.log10() - f64::from(self.low)) / f64::from(self.high - self.low)
    }
}

fn legend(out: &mut String, report: &Report<'_>) {
    let mut x = 20.0;
    for (column, (_, title)) in report.columns.iter().enumerate() {
        dot(out, (x, 20.0), column);
        text(out, (x + 8.0, 24.0), "start", title);
        x += 30.0 + 6.5 * title.len() as f64;
    }
    line(out, (20.0, 34.0), (20.0, 48.0), "black");
    text(out, (28.0, 45.0), "start", "limit of the machine, or the ideal");
}

fn dot(out: &mut String, (x, y): (f64, f64), column: usize) {
    let radius = if column == 0 { 5.0 } else { 4.0 };
    let colour = COLOURS[column % COLOURS.len()];
    writeln!(
        out,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\" fill-opacity=\"0.85\"/>"
    )
    .expect("a string takes all");
}

fn line(out: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) {
    writeln!(out, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>")
        .expect("a string takes all");
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>")
        .expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decade_is_as_wide_as_any_other() {
        let scale = Scale::new(1e-9, 1.0);
        let width = |from: f64| scale.place(from * 10.0) - scale.place(from);
        assert!((width(1e-9) - width(1e-3)).abs() < 1e-6);
        assert_eq!(scale.place(1e-9), LEFT);
    }

    #[test]
    fn times_between_two_powers_of_ten_have_an_axis_too() {
        assert!(Scale::new(1.0, 1.0).place(1.0).is_finite());
    }
}
