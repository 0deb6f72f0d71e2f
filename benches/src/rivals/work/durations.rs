//! How long the items of uneven work take; `python/durations.py` has the same ones.

use std::hint::spin_loop;
use std::time::{Duration, Instant};

/// The absolute values of a normal distribution around 1 µs with a deviation of 1 ms, in seconds.
pub(crate) fn skewed(items: usize) -> Vec<f64> {
    let mut state = 1_u64;
    let mut uniform = || {
        // A generator that is easily written the same way twice; the quality of its numbers does not matter here.
        state = (state * 1_664_525 + 1_013_904_223) % (1 << 32);
        state as f64 / (1_u64 << 32) as f64
    };
    // Twelve uniform numbers have a variance of 1 and a mean of 6.
    (0..items).map(|_| (1e-6 + 1e-3 * ((0..12).map(|_| uniform()).sum::<f64>() - 6.0)).abs()).collect()
}

/// 2, 4, .. 100 ms, again and again, in seconds.
pub(crate) fn sawtooth(items: usize) -> Vec<f64> {
    (0..items).map(|item| 0.002 * (item % 50 + 1) as f64).collect()
}

/// The least time in which so many workers can have done this.
pub(crate) fn ideal(durations: &[f64], workers: usize) -> f64 {
    let longest = durations.iter().copied().fold(0.0, f64::max);
    longest.max(durations.iter().sum::<f64>() / workers as f64)
}

/// Keeps a CPU busy for so many seconds.
pub(crate) fn work_for(seconds: f64) {
    let start = Instant::now();
    let duration = Duration::from_secs_f64(seconds);
    while start.elapsed() < duration {
        spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skewed_items_take_as_long_in_the_middle_as_a_normal_distribution_says() {
        let durations = skewed(5_000);
        let mean = durations.iter().sum::<f64>() / 5_000.0;
        assert!((mean - 0.8e-3).abs() < 0.05e-3, "{mean}");
    }

    #[test]
    fn the_ideal_is_bounded_by_the_longest_item() {
        assert_eq!(ideal(&[1.0, 4.0, 1.0], 2), 4.0);
        assert_eq!(ideal(&[1.0, 1.0, 1.0], 2), 1.5);
    }
}
