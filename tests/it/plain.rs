//! Values that travel as their bytes: arrays and structs of plain numbers.

use bytemuck::{Pod, Zeroable};
use pool::{StartMethod, pool_task};

use crate::support::start;

crate::cases![
    arrays_and_structs_of_numbers_arrive_as_they_were,
    slices_of_them_are_borrowed_where_they_lie,
    so_are_large_ones,
    values_without_bytes_arrive_in_number,
    results_of_them_arrive_from_the_ring_and_from_segments,
];

/// Neither serializes nor deserializes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Point {
    at: [f64; 2],
    id: u32,
    weight: f32,
}

// SAFETY: all fields may be zero.
unsafe impl Zeroable for Point {}
// SAFETY: the fields are plain numbers, and there is no padding between or after them.
unsafe impl Pod for Point {}

fn points(count: usize) -> Vec<Point> {
    (0..count).map(|n| Point { at: [n as f64, -1.5], id: n as u32, weight: 0.25 }).collect()
}

#[pool_task]
fn mirrored(point: Point) -> Point {
    Point { at: [-point.at[0], -point.at[1]], ..point }
}

#[pool_task]
fn sum_of(numbers: [i16; 5], more: &[u64; 200]) -> [i64; 2] {
    [numbers.iter().map(|n| i64::from(*n)).sum(), more.iter().map(|n| *n as i64).sum()]
}

/// Whether the argument lies in memory that is shared, and what its numbers amount to.
#[pool_task]
fn where_and_what(tag: u8, points: &[Point], rows: &[[f64; 3]]) -> (u8, bool, bool, f64) {
    let sum: f64 = points.iter().map(|point| point.at[0]).sum();
    let rows_sum: f64 = rows.iter().flatten().sum();
    (tag, is_shared(points.as_ptr()), is_shared(rows.as_ptr()), sum + rows_sum)
}

fn is_shared<T>(place: *const T) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("every process has maps");
    let number = |text: &str| usize::from_str_radix(text, 16).expect("an address");
    maps.lines().filter(|line| line.contains("/memfd:pool")).any(|line| {
        let range = line.split_whitespace().next().expect("a range");
        let (start, end) = range.split_once('-').expect("two ends");
        (number(start)..number(end)).contains(&place.addr())
    })
}

#[pool_task]
fn nothings(nothings: Vec<()>, more: &[()]) -> Vec<()> {
    vec![(); nothings.len() + more.len()]
}

#[pool_task]
fn make_points(count: usize) -> Vec<Point> {
    points(count)
}

#[pool_task]
fn back(rows: Vec<[f32; 3]>) -> Vec<[f32; 3]> {
    rows
}

fn arrays_and_structs_of_numbers_arrive_as_they_were(method: StartMethod) {
    let pool = start(method, 2);
    let point = points(8)[7];
    assert_eq!(pool.apply(mirrored, (point,)).unwrap().at, [-7.0, 1.5]);
    let all = pool.map(mirrored, points(1000)).unwrap();
    assert!(all.iter().zip(points(1000)).all(|(one, other)| one.at[0] == -other.at[0] && one.id == other.id));
    assert_eq!(pool.apply(sum_of, ([1, 2, 3, 4, -5], &[7; 200])).unwrap(), [5, 1400]);
}

fn check(method: StartMethod, count: usize) {
    let pool = start(method, 1);
    let (points, rows) = (points(count), vec![[1.0, 2.0, 3.0]; count]);
    let sum = points.iter().map(|point| point.at[0]).sum::<f64>() + 6.0 * count as f64;
    assert_eq!(pool.apply(where_and_what, (9, &points, &rows)).unwrap(), (9, true, true, sum));
}

fn slices_of_them_are_borrowed_where_they_lie(method: StartMethod) {
    check(method, 10);
}

fn so_are_large_ones(method: StartMethod) {
    check(method, 100_000);
}

fn values_without_bytes_arrive_in_number(method: StartMethod) {
    let pool = start(method, 1);
    assert_eq!(pool.apply(nothings, (vec![(); 3], &[(), ()])).unwrap().len(), 5);
}

fn results_of_them_arrive_from_the_ring_and_from_segments(method: StartMethod) {
    let pool = start(method, 1);
    for count in [0, 1, 100, 1400, 100_000] {
        assert!(pool.apply(make_points, (count,)).unwrap() == points(count));
        let rows = vec![[1.5f32, 2.5, -3.5]; count];
        assert!(pool.apply(back, (rows.clone(),)).unwrap() == rows);
    }
}
