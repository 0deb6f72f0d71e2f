//! Medians and spread.

/// What several rounds gave for one figure, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Summary {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Summary {
    /// `None` if there is nothing to summarise.
    pub(super) fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        let (least, most) = (*samples.first()?, *samples.last()?);
        Some(Self { median: quantile(&samples, 0.5), least, most })
    }
}

/// The value below which this part of the samples lies; they must be sorted and not empty.
pub(super) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = part * (sorted.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (at - at.floor())
}

/// The middle one of samples that are sorted and not empty.
pub(super) fn middle(sorted: &[f64]) -> f64 {
    quantile(sorted, 0.5)
}

/// The middle one of samples in any order.
pub(super) fn sorted_middle(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    middle(&samples)
}

/// A time in the unit that suits it.
pub(super) fn human(seconds: f64) -> String {
    let (scale, unit) = unit(seconds);
    format!("{} {unit}", three_digits(seconds * scale))
}

/// How many of which unit a second is, for times such as this one.
pub(super) fn unit(seconds: f64) -> (f64, &'static str) {
    match seconds {
        s if s < 1e-6 => (1e9, "ns"),
        s if s < 1e-3 => (1e6, "µs"),
        s if s < 1.0 => (1e3, "ms"),
        _ => (1.0, "s"),
    }
}

/// Three significant digits, as far as they stand behind the point.
pub(super) fn three_digits(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_the_middle_and_both_ends() {
        assert_eq!(Summary::of(vec![3.0, 1.0, 2.0]), Some(Summary { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Summary::of(Vec::new()), None);
    }

    #[test]
    fn a_quantile_between_two_samples_lies_between_them() {
        assert_eq!(quantile(&[0.0, 10.0], 0.99), 9.9);
    }

    #[test]
    fn a_time_is_written_in_the_unit_that_suits_it() {
        assert_eq!(human(0.000_000_312_4), "312 ns");
        assert_eq!(human(0.001_5), "1.50 ms");
    }
}
