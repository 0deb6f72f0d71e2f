//! What tasks can be: their parameters, their results, their places.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pool::{StartMethod, Task, pool_task};
use serde::{Deserialize, Serialize};

use crate::support::start;

crate::cases![
    parameters_of_every_kind_arrive,
    results_of_every_kind_arrive,
    up_to_twelve_parameters_arrive,
    numbers_travel_in_bulk,
    strange_values_survive,
    a_task_is_still_a_function,
    tasks_may_be_anywhere,
    the_function_keeps_its_name_if_the_handle_has_another,
    names_are_paths_unless_they_are_given,
    tasks_may_call_other_tasks,
    generic_code_may_take_a_task,
];

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Big {
    name: String,
    numbers: Vec<u32>,
    table: BTreeMap<String, Vec<Option<i8>>>,
    inner: Option<Box<Big>>,
    shape: Shape,
    nothing: (),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Shape {
    #[default]
    Point,
    Circle(f64),
    Box {
        width: u8,
        height: u16,
    },
}

fn big() -> Big {
    let mut table = BTreeMap::new();
    table.insert("a".to_owned(), vec![Some(1), None]);
    let inner = Big { name: "inner".to_owned(), shape: Shape::Circle(0.5), ..Big::default() };
    let numbers = (0..100).collect();
    Big {
        name: "ünïcödé".to_owned(),
        numbers,
        table,
        inner: Some(Box::new(inner)),
        shape: Shape::Box { width: 1, height: 2 },
        nothing: (),
    }
}

#[pool_task]
fn no_parameter() -> String {
    "nothing came".to_owned()
}

#[pool_task]
fn owned(big: Big, text: String, list: Vec<String>, pair: (u8, char), maybe: Option<i128>) -> String {
    format!("{big:?} {text:?} {list:?} {pair:?} {maybe:?}")
}

#[pool_task]
fn borrowed(big: &Big, text: &str, bytes: &[u8], list: &[String], path: &Path, buffer: &PathBuf) -> String {
    format!("{big:?} {text:?} {bytes:?} {list:?} {path:?} {buffer:?}")
}

#[pool_task]
fn standard(
    map: HashMap<u8, u8>,
    time: Duration,
    array: [u16; 4],
    number: &u64,
    unit: (),
    boxed: Box<str>,
) -> String {
    format!("{map:?} {time:?} {array:?} {number:?} {unit:?} {boxed:?}")
}

fn parameters_of_every_kind_arrive(method: StartMethod) {
    let pool = start(method, 1);
    assert_eq!(pool.apply(no_parameter, ()).unwrap(), "nothing came");
    let list = vec!["one".to_owned(), String::new()];
    let expected = owned(big(), "text".to_owned(), list.clone(), (1, 'ß'), Some(i128::MIN));
    assert_eq!(
        pool.apply(owned, (big(), "text".to_owned(), list.clone(), (1, 'ß'), Some(i128::MIN))).unwrap(),
        expected
    );
    let (path, buffer) = (Path::new("/a/b"), PathBuf::from("c"));
    let expected = borrowed(&big(), "text", &[1, 2], &list, path, &buffer);
    assert_eq!(pool.apply(borrowed, (&big(), "text", &[1, 2], &list, path, &buffer)).unwrap(), expected);
    let args = || (HashMap::from([(1, 2)]), Duration::from_nanos(1), [1, 2, 3, 4], &7, (), "boxed".into());
    let (map, time, array, number, unit, boxed) = args();
    assert_eq!(pool.apply(standard, args()).unwrap(), standard(map, time, array, number, unit, boxed));
}

#[pool_task]
fn gives_unit() {}

#[pool_task]
fn gives_result(n: u8) -> Result<Shape, String> {
    if n == 0 { Err("none".to_owned()) } else { Ok(Shape::Circle(f64::from(n))) }
}

#[pool_task]
fn gives_option(n: u8) -> Option<Option<u8>> {
    (n > 0).then_some((n > 1).then_some(n))
}

#[pool_task]
fn a_big_one(scale: usize) -> Vec<Big> {
    vec![big(); scale]
}

#[pool_task]
fn nested(n: u8) -> Result<Result<u8, String>, Vec<u8>> {
    match n {
        0 => Err(vec![1]),
        1 => Ok(Err("inner".to_owned())),
        n => Ok(Ok(n)),
    }
}

fn results_of_every_kind_arrive(method: StartMethod) {
    let pool = start(method, 1);
    pool.apply(gives_unit, ()).unwrap();
    assert_eq!(pool.map(gives_result, 0..2).unwrap(), [Err("none".to_owned()), Ok(Shape::Circle(1.0))]);
    assert_eq!(pool.map(gives_option, 0..3).unwrap(), [None, Some(None), Some(Some(2))]);
    assert_eq!(pool.apply(a_big_one, (100,)).unwrap(), vec![big(); 100]);
    assert_eq!(pool.map(nested, 0..3).unwrap(), [Err(vec![1]), Ok(Err("inner".to_owned())), Ok(Ok(2))]);
}

#[pool_task]
#[expect(clippy::too_many_arguments, reason = "so many are allowed")]
fn twelve(
    a: u8,
    b: u16,
    c: u32,
    d: u64,
    e: i8,
    f: i16,
    g: i32,
    h: i64,
    i: f32,
    j: f64,
    k: &str,
    l: char,
) -> String {
    format!("{a} {b} {c} {d} {e} {f} {g} {h} {i} {j} {k} {l}")
}

fn up_to_twelve_parameters_arrive(method: StartMethod) {
    let pool = start(method, 1);
    let args = (1, 2, 3, 4, -5, -6, -7, -8, 9.5, 10.5, "eleven", 'l');
    let expected = "1 2 3 4 -5 -6 -7 -8 9.5 10.5 eleven l";
    assert_eq!(pool.apply(twelve, args).unwrap(), expected);
    assert_eq!(pool.starmap(twelve, [args; 3]).unwrap(), [expected; 3]);
}

macro_rules! bulk {
    ($($task:ident $both:ident $number:ty)*) => {
        $(
            #[pool_task]
            fn $task(numbers: &[$number]) -> Vec<$number> {
                numbers.to_vec()
            }

            #[pool_task]
            fn $both(before: u8, numbers: Vec<$number>, after: &[$number]) -> (u8, Vec<$number>) {
                (before, [numbers, after.to_vec()].concat())
            }
        )*

        fn check_bulk(pool: &pool::Pool) {
            $(for len in [0usize, 1, 2, 3, 7, 1000, 100_000] {
                let numbers: Vec<$number> = (0..len).map(|n| (n % 100) as $number).collect();
                assert_eq!(pool.apply($task, (&numbers,)).unwrap(), numbers);
                let doubled = [&numbers[..], &numbers[..]].concat();
                assert_eq!(pool.apply($both, (9, numbers.clone(), &numbers)).unwrap(), (9, doubled));
                assert_eq!(pool.map($task, [&numbers[..]; 5]).unwrap(), vec![numbers; 5]);
            })*
        }
    };
}

bulk! {
    u8s u8s_both u8
    signed_bytes signed_bytes_both i8
    shorts shorts_both u16
    words words_both i32
    longs longs_both u64
    sizes sizes_both usize
    very_longs very_longs_both u128
    floats floats_both f32
    doubles doubles_both f64
}

fn numbers_travel_in_bulk(method: StartMethod) {
    check_bulk(&start(method, 1));
}

#[pool_task]
fn bits(numbers: Vec<f64>, single: f64, letter: char, text: &str) -> (Vec<f64>, f64, char, String) {
    (numbers, single, letter, text.to_owned())
}

fn strange_values_survive(method: StartMethod) {
    let pool = start(method, 1);
    let numbers =
        vec![f64::NAN, -0.0, f64::INFINITY, f64::MIN_POSITIVE / 2.0, f64::from_bits(0x7ff8_dead_beef_0001)];
    let (back, single, letter, text) =
        pool.apply(bits, (numbers.clone(), numbers[4], '\u{10ffff}', "\0 \u{feff} \n")).unwrap();
    let as_bits = |numbers: &[f64]| numbers.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
    assert_eq!(as_bits(&back), as_bits(&numbers));
    assert_eq!(single.to_bits(), numbers[4].to_bits());
    assert_eq!((letter, text.as_str()), ('\u{10ffff}', "\0 \u{feff} \n"));
}

/// Calls itself by its name, and has a local of that name.
#[pool_task]
fn factorial(n: u64) -> u64 {
    if n == 0 {
        return 1;
    }
    let smaller = factorial(n - 1);
    #[allow(clippy::let_and_return)]
    {
        let factorial = n * smaller;
        factorial
    }
}

fn a_task_is_still_a_function(method: StartMethod) {
    let pool = start(method, 1);
    assert_eq!(factorial(5), 120);
    assert_eq!((0..4).map(*factorial).collect::<Vec<_>>(), [1, 1, 2, 6]);
    let plain: fn(u64) -> u64 = *factorial;
    assert_eq!(plain(3), 6);
    assert_eq!(pool.map(factorial, 0..4).unwrap(), [1, 1, 2, 6]);
    let copy = factorial;
    assert_eq!(format!("{copy:?} {:?}", Clone::clone(&copy)), "factorial factorial");
}

mod inner {
    pub(super) mod deeper {
        use pool::pool_task;

        #[pool_task]
        pub(in crate::tasks) fn hidden(n: u8) -> u8 {
            n + 1
        }
    }

    pub(super) use deeper::hidden as renamed;
}

/// A raw name.
#[pool_task]
fn r#match(n: u8) -> u8 {
    n + 3
}

fn tasks_may_be_anywhere(method: StartMethod) {
    #[pool_task]
    fn local(n: u8) -> u8 {
        n + 2
    }

    let pool = start(method, 1);
    assert_eq!(pool.apply(inner::deeper::hidden, (1,)).unwrap(), 2);
    assert_eq!(pool.apply(inner::renamed, (1,)).unwrap(), 2);
    assert_eq!(pool.apply(local, (1,)).unwrap(), 3);
    assert_eq!(pool.apply(r#match, (1,)).unwrap(), 4);
    assert_eq!(pool.apply(tests::double, (4,)).unwrap(), 8);
    use tests::double as twice;
    assert_eq!(pool.map(twice, 0..3).unwrap(), [0, 2, 4]);
}

#[pool_task(handle = Count, name = "count words")]
fn count(text: &str) -> usize {
    text.split_whitespace().count()
}

fn the_function_keeps_its_name_if_the_handle_has_another(method: StartMethod) {
    let pool = start(method, 1);
    let count_of = pool.apply(Count, ("one two three",)).unwrap();
    assert_eq!(count_of, count("one two three"));
    assert_eq!(Count("four"), 1);
    let error = pool.apply(panics_under_a_name, ()).unwrap_err();
    assert_eq!(error.task(), Some("a name of its own"));
}

#[pool_task(name = "a name of its own")]
fn panics_under_a_name() {
    panic!("here");
}

fn names_are_paths_unless_they_are_given(method: StartMethod) {
    assert!(<factorial as Task>::NAME.ends_with("tasks::factorial"));
    assert!(<r#match as Task>::NAME.ends_with("tasks::match"));
    assert_eq!(<tests::double as Task>::NAME, "tests::double");
    assert_eq!(<Count as Task>::NAME, "count words");
    assert_eq!(start(method, 1).apply(Count, ("a b",)).unwrap(), 2);
}

#[pool_task]
fn sum_of_factorials(end: u64) -> u64 {
    (0..end).map(*factorial).sum::<u64>() + factorial(1)
}

fn tasks_may_call_other_tasks(method: StartMethod) {
    assert_eq!(start(method, 1).apply(sum_of_factorials, (4,)).unwrap(), 11);
}

fn twice<T>(pool: &pool::Pool, task: T, n: u8) -> u8
where
    T: for<'a> Task<Args<'a> = (u8,), Output = u8>,
{
    pool.apply(task, (pool.apply(task, (n,)).unwrap(),)).unwrap()
}

fn generic_code_may_take_a_task(method: StartMethod) {
    let pool = start(method, 1);
    assert_eq!(twice(&pool, r#match, 1), 7);
    assert_eq!(twice(&pool, inner::renamed, 1), 3);
}
