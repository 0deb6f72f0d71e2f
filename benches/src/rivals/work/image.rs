//! mpire's first public workload: a large image and small random filters.

use std::hint::black_box;

/// Points along a side.
pub(crate) const SIDE: usize = 5_000;
/// Numbers along a side of a filter.
const FILTER: usize = 4;
/// Every so many points of the result are kept, in both directions.
const STRIDE: usize = 5;

/// The image: as empty as theirs.
pub(crate) fn image() -> Vec<f64> {
    vec![0.0; SIDE * SIDE]
}

/// So many random filters, as lists of 16 numbers.
pub(crate) fn filters(count: usize) -> Vec<Vec<f64>> {
    let mut numbers =
        super::durations::skewed(count * FILTER * FILTER).into_iter().map(|number| number * 1e3);
    (0..count).map(|_| numbers.by_ref().take(FILTER * FILTER).collect()).collect()
}

/// The whole convolution of the image with the filter, of which every fifth point in every fifth line is returned.
pub(crate) fn convolve(image: &[f64], filter: &[f64]) -> Vec<f64> {
    let side = SIDE + FILTER - 1;
    let mut kept = Vec::with_capacity(side.div_ceil(STRIDE).pow(2));
    let mut line = vec![0.0; side];
    for y in 0..side {
        line.fill(0.0);
        for dy in 0..FILTER {
            let Some(source) = y.checked_sub(dy).filter(|source| *source < SIDE) else { continue };
            let source = &image[source * SIDE..][..SIDE];
            for dx in 0..FILTER {
                let weight = filter[dy * FILTER + dx];
                line[dx..dx + SIDE].iter_mut().zip(source).for_each(|(sum, point)| *sum += weight * point);
            }
        }
        // All of it is worked out, though most is not asked for, as in theirs.
        let line = black_box(&line);
        if y % STRIDE == 0 {
            kept.extend(line.iter().step_by(STRIDE));
        }
    }
    kept
}
