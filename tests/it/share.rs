//! Values that are sent to each worker once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use pool::{Pool, Shared, StartMethod, pool_task};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::support::report::is_first;
use crate::support::{Gate, Log, anonymous_bytes, note, pass, processes, report, start, tasks, wait_until};

crate::cases![
    every_call_takes_it_by_value_and_by_reference,
    it_may_be_anywhere_in_an_argument,
    numbers_and_text_are_used_in_place,
    what_is_empty_can_be_shared,
    a_value_is_decoded_once_in_each_worker,
    a_new_worker_gets_what_it_needs,
    workers_that_come_and_go_all_get_it,
    an_item_that_is_tried_again_finds_it,
    chunks_that_go_to_another_worker_find_it_there,
    the_last_handle_takes_it_along_everywhere,
    items_that_are_queued_keep_it,
    a_task_may_keep_it,
    each_item_may_bring_its_own,
    one_item_may_bring_many,
    what_was_read_before_the_iterator_panicked_finds_it,
    threads_share_and_call_at_once,
];

/// Says in a log when it is decoded and when it is dropped, and where.
struct Witness {
    log: String,
    value: u64,
}

impl Serialize for Witness {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.log, self.value).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Witness {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (log, value): (String, u64) = Deserialize::deserialize(deserializer)?;
        note(&log, format!("decoded {}", std::process::id()));
        Ok(Self { log, value })
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        note(&self.log, format!("dropped {}", std::process::id()));
    }
}

impl Witness {
    fn share(pool: &Pool, log: &Log, value: u64) -> Shared<Witness> {
        pool.share(Witness { log: log.path().to_owned(), value }).unwrap()
    }
}

/// The processes that did this, as often as they did.
fn who(log: &Log, what: &str) -> Vec<u32> {
    let lines = log.lines();
    let mut pids: Vec<u32> =
        lines.iter().filter_map(|line| line.strip_prefix(what)?.trim().parse().ok()).collect();
    pids.sort_unstable();
    pids
}

/// How many mappings of shared values a process has.
pub(crate) fn mapped(pid: u32) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.lines().filter(|line| line.contains("/memfd:pool-share")).count()
}

/// How many descriptors of shared values this process has.
pub(crate) fn held() -> usize {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter(|link| link.to_string_lossy().contains("/memfd:pool-share")).count()
}

#[pool_task]
fn plus(base: Shared<u64>, n: u64) -> u64 {
    *base + n
}

#[pool_task]
pub(crate) fn plus_lent(base: &Shared<u64>, n: u64) -> u64 {
    **base + n
}

#[pool_task]
pub(crate) fn total(numbers: &Shared<[f64]>) -> f64 {
    numbers.iter().sum()
}

#[pool_task]
fn witnessed(witness: &Shared<Witness>, n: u64) -> (u32, u64) {
    (std::process::id(), witness.value + n)
}

fn every_call_takes_it_by_value_and_by_reference(method: StartMethod) {
    let pool = start(method, 2);
    let base = pool.share(100u64).unwrap();
    let expected: Vec<_> = (100..200).collect();
    assert_eq!(pool.apply(plus, (base.clone(), 1)).unwrap(), 101);
    assert_eq!(pool.apply(plus_lent, (&base, 1)).unwrap(), 101);
    assert_eq!(pool.apply_async(plus_lent, (&base, 1)).get().unwrap(), 101);
    assert_eq!(pool.starmap(plus, (0..100).map(|n| (base.clone(), n))).unwrap(), expected);
    assert_eq!(pool.starmap(plus_lent, (0..100).map(|n| (&base, n))).unwrap(), expected);
    assert_eq!(pool.starmap_async(plus_lent, (0..100).map(|n| (&base, n))).get().unwrap(), expected);
    let lazy: Result<Vec<_>, _> = pool.istarmap(plus_lent, (0..100).map(|n| (&base, n))).collect();
    assert_eq!(lazy.unwrap(), expected);
    let mut unordered: Vec<_> =
        pool.istarmap_unordered(plus_lent, (0..100).map(|n| (&base, n))).flatten().collect();
    unordered.sort_unstable();
    assert_eq!(unordered, expected);
    for size in [1, 7, 1000] {
        let options = pool.options().chunk_size(size).retries(1);
        assert_eq!(options.starmap(plus_lent, (0..100).map(|n| (&base, n))).unwrap(), expected);
    }
    let halves = pool.share(vec![0.5; 10]).unwrap();
    assert_eq!(pool.map(total, [&halves; 3]).unwrap(), [5.0; 3]);
    // It is the value here as well.
    assert_eq!((*base, plus_lent(&base, 1), total(&halves), halves.len()), (100, 101, 5.0, 10));
    assert_eq!(
        format!("{base:?} {:?}", pool.share("text").map(|text: Shared<str>| text).unwrap()),
        "Shared(100) Shared(\"text\")"
    );
}

#[derive(Clone, Serialize, Deserialize)]
struct Request {
    names: Shared<BTreeMap<String, u64>>,
    weights: Option<Shared<[u64]>>,
    more: Vec<(u8, Shared<str>)>,
    key: String,
}

#[pool_task]
fn answer(request: &Request, twice: (Shared<[u64]>, Box<Shared<str>>)) -> u64 {
    let weight: u64 = request.weights.iter().flat_map(|weights| weights.iter()).sum();
    let letters: usize = request.more.iter().map(|(times, text)| usize::from(*times) * text.len()).sum();
    request.names[&request.key] + weight + letters as u64 + twice.0.len() as u64 + twice.1.len() as u64
}

fn it_may_be_anywhere_in_an_argument(method: StartMethod) {
    let pool = start(method, 2);
    let names = pool.share(BTreeMap::from([("one".to_owned(), 1), ("two".to_owned(), 2)])).unwrap();
    let weights: Shared<[u64]> = pool.share(&[10, 20][..]).unwrap();
    let text: Shared<str> = pool.share("four".to_owned()).unwrap();
    let request = |key: &str| Request {
        names: names.clone(),
        weights: (key == "two").then(|| weights.clone()),
        more: vec![(1, text.clone()), (2, text.clone())],
        key: key.to_owned(),
    };
    let requests = [request("one"), request("two")];
    let items = requests.iter().map(|request| (request, (weights.clone(), Box::new(text.clone()))));
    assert_eq!(pool.starmap(answer, items).unwrap(), [1 + 12 + 2 + 4, 2 + 30 + 12 + 2 + 4]);
    // Those that an error keeps from being sent do not count.
    assert!(matches!(pool.apply(tasks::square, (3,)), Ok(9)));
}

/// Whether these numbers lie in a mapping of a shared value that cannot be written to.
fn is_in_place<N>(numbers: &[N]) -> bool {
    let at = numbers.as_ptr() as usize;
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("/memfd:pool-share") && line.contains(" r--p ")).any(|line| {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let range = usize::from_str_radix(start, 16).unwrap()..usize::from_str_radix(end, 16).unwrap();
        range.contains(&at) && at + size_of_val(numbers) <= range.end
    })
}

#[pool_task]
fn sum_in_place(numbers: Shared<[u64]>) -> (u64, bool, usize) {
    let before = anonymous_bytes();
    let sum = numbers.iter().sum();
    (sum, is_in_place(&numbers), anonymous_bytes().saturating_sub(before))
}

#[pool_task]
fn text_in_place(text: &Shared<str>) -> (usize, bool) {
    (text.chars().count(), is_in_place(text.as_bytes()))
}

#[pool_task]
fn bytes_in_place(bytes: &Shared<[u8]>) -> (usize, bool) {
    (bytes.len(), is_in_place(bytes))
}

fn numbers_and_text_are_used_in_place(method: StartMethod) {
    const COUNT: u64 = (64 << 20) / 8;
    let pool = start(method, 2);
    let before = anonymous_bytes();
    let numbers: Shared<[u64]> = pool.share((0..COUNT).collect::<Vec<_>>()).unwrap();
    assert!(is_in_place(&numbers));
    let grown = anonymous_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes more here, beside the shared memory");
    for (sum, is_in_place, grown) in pool.map(sum_in_place, vec![numbers; 10]).unwrap() {
        assert_eq!((sum, is_in_place), (COUNT * (COUNT - 1) / 2, true));
        assert!(grown < 1 << 20, "{grown} bytes more in a worker");
    }
    let text: Shared<str> = pool.share("größer").unwrap();
    assert_eq!(pool.apply(text_in_place, (&text,)).unwrap(), (6, true));
    assert_eq!(pool.apply(bytes_in_place, (&pool.share(vec![7; 5]).unwrap(),)).unwrap(), (5, true));
}

#[pool_task]
fn lengths(numbers: &Shared<[f64]>, text: &Shared<str>, unit: &Shared<()>, list: &Shared<Vec<u8>>) -> usize {
    let () = **unit;
    numbers.len() + text.len() + list.len()
}

fn what_is_empty_can_be_shared(method: StartMethod) {
    let pool = start(method, 1);
    let numbers = pool.share(Vec::new()).unwrap();
    let (text, unit, list) =
        (pool.share("").unwrap(), pool.share(()).unwrap(), pool.share(Vec::new()).unwrap());
    assert_eq!(pool.apply(lengths, (&numbers, &text, &unit, &list)).unwrap(), 0);
}

fn a_value_is_decoded_once_in_each_worker(method: StartMethod) {
    let pool = start(method, 2);
    let log = Log::new();
    let witness = Witness::share(&pool, &log, 5);
    let mut users = BTreeSet::new();
    for _ in 0..3 {
        let results = pool.options().chunk_size(1).starmap(witnessed, (0..500).map(|n| (&witness, n)));
        for (n, (pid, value)) in (0..).zip(results.unwrap()) {
            users.insert(pid);
            assert_eq!(value, 5 + n);
        }
    }
    assert_eq!(who(&log, "decoded"), users.into_iter().collect::<Vec<_>>());
    assert_eq!(who(&log, "dropped"), [0; 0]);
}

fn a_new_worker_gets_what_it_needs(method: StartMethod) {
    let pool = start(method, 1);
    let log = Log::new();
    let witness = Witness::share(&pool, &log, 5);
    for round in 1..=4 {
        let (pid, value) = pool.apply(witnessed, (&witness, round)).unwrap();
        assert_eq!((value, who(&log, "decoded").len() as u64), (5 + round, round));
        processes::kill(pid);
        wait_until("another worker is there", || !pool.worker_pids().contains(&pid));
    }
}

fn workers_that_come_and_go_all_get_it(method: StartMethod) {
    let pool = Pool::builder()
        .start_method(method)
        .workers(2)
        .max_tasks_per_worker(3)
        .build()
        .expect("the pool starts");
    let log = Log::new();
    let witness = Witness::share(&pool, &log, 1);
    let results = pool.starmap(witnessed, (0..30).map(|n| (&witness, n))).unwrap();
    let users: BTreeSet<_> = results.iter().map(|(pid, _)| *pid).collect();
    assert!(users.len() >= 10);
    assert_eq!(who(&log, "decoded"), users.into_iter().collect::<Vec<_>>());
    assert!(results.iter().map(|(_, value)| *value).eq(1..31));
}

#[pool_task]
fn dies_first(base: &Shared<[u64]>, once: &str, n: u64) -> u64 {
    if n == 20 && is_first(once) {
        tasks::end_process("kill");
    }
    base[0] + n
}

fn an_item_that_is_tried_again_finds_it(method: StartMethod) {
    let pool = start(method, 2);
    for size in [1, 50] {
        let base = pool.share(vec![5]).unwrap();
        let once = report::scratch_path("once").to_string_lossy().into_owned();
        let items = (0..100).map(|n| (&base, &*once, n));
        let results = pool.options().chunk_size(size).retries(1).starmap(dies_first, items).unwrap();
        assert!(results.into_iter().eq(5..105));
    }
}

#[pool_task]
fn held_up(base: &Shared<u64>, gate: &str, n: u64) -> u64 {
    if n == 0 {
        pass(gate);
    }
    **base + n
}

fn chunks_that_go_to_another_worker_find_it_there(method: StartMethod) {
    let pool = start(method, 2);
    let warm = pool.share(0).unwrap();
    // Measured as short, so that chunks are queued at workers.
    assert_eq!(pool.starmap(held_up, (1..100).map(|n| (&warm, "", n))).unwrap().len(), 99);
    let (gate, base) = (Gate::new(), pool.share(7).unwrap());
    let items = (0..50).map(|n| (&base, gate.path(), n));
    let handles: Vec<_> = items.map(|item| pool.options().apply_async(held_up, item)).collect();
    drop(base);
    let mut handles = handles.into_iter().zip(7..);
    let (first, _) = handles.next().unwrap();
    assert!(handles.all(|(handle, expected)| handle.get().unwrap() == expected));
    gate.open();
    assert_eq!(first.get().unwrap(), 7);
}

fn the_last_handle_takes_it_along_everywhere(method: StartMethod) {
    let pool = start(method, 2);
    for _ in 0..3 {
        let log = Log::new();
        let numbers: Shared<[f64]> = pool.share(vec![1.0; 100_000]).unwrap();
        let witness = Witness::share(&pool, &log, 1);
        let pids = pool.worker_pids();
        wait_until("both workers have both", || {
            assert!(pool.options().chunk_size(1).map(total, vec![&numbers; 8]).unwrap() == [1e5; 8]);
            pool.options().chunk_size(1).starmap(witnessed, (0..8).map(|n| (&witness, n))).unwrap();
            pids.iter().all(|pid| mapped(*pid) == 1 && who(&log, "decoded").contains(pid))
        });
        assert_eq!((mapped(std::process::id()), held()), (1, 2));
        let (numbers, witness) = ((numbers.clone(), numbers), (witness.clone(), witness));
        drop((numbers.0, witness.0));
        assert_eq!((mapped(std::process::id()), held()), (1, 2), "there is another handle");
        drop((numbers.1, witness.1));
        assert_eq!(mapped(std::process::id()), 0);
        wait_until("both are gone here", || held() == 0);
        wait_until("the workers dropped both", || {
            pids.iter().all(|pid| mapped(*pid) == 0)
                && who(&log, "dropped").iter().filter(|pid| pids.contains(pid)).count()
                    == who(&log, "decoded").len()
        });
        assert_eq!(pool.worker_pids(), pids);
    }
}

fn items_that_are_queued_keep_it(method: StartMethod) {
    let pool = start(method, 1);
    let (log, gate) = (Log::new(), Gate::new());
    let busy = pool.apply_async(tasks::noted_gated, (log.path(), gate.path(), 1));
    log.wait_for(1);
    let numbers: Shared<[f64]> = pool.share(vec![2.0; 1000]).unwrap();
    let sums: Vec<_> = (0..20).map(|_| pool.apply_async(total, (&numbers,))).collect();
    let cancelled = pool.map_async(total, vec![&pool.share(vec![1.0]).unwrap(); 100]);
    drop(numbers);
    assert_eq!(
        (mapped(std::process::id()), held()),
        (0, 2),
        "the memory is there, and not mapped here any more"
    );
    assert!(cancelled.cancel());
    assert_eq!(held(), 1);
    gate.open();
    assert!(sums.into_iter().all(|sum| sum.get().unwrap() == 2000.0));
    assert_eq!(busy.get().unwrap(), 1);
    wait_until("it is gone here", || held() == 0);
    wait_until("the worker dropped it", || mapped(pool.worker_pids()[0]) == 0);
}

#[pool_task]
fn keep(numbers: Shared<[f64]>) -> f64 {
    static KEPT: OnceLock<Shared<[f64]>> = OnceLock::new();
    KEPT.get_or_init(|| numbers)[0]
}

fn a_task_may_keep_it(method: StartMethod) {
    let pool = start(method, 1);
    let pid = pool.worker_pids()[0];
    assert_eq!(pool.apply(keep, (pool.share(vec![1.5]).unwrap(),)).unwrap(), 1.5);
    let other: Shared<[f64]> = pool.share(vec![2.5]).unwrap();
    assert_eq!(pool.apply(keep, (other.clone(),)).unwrap(), 1.5);
    assert_eq!((mapped(pid), pool.apply(total, (&other,)).unwrap()), (2, 2.5));
    drop(other);
    wait_until("only what was kept is left", || mapped(pid) == 1);
    assert_eq!(pool.apply(keep, (pool.share(vec![3.5]).unwrap(),)).unwrap(), 1.5);
}

#[pool_task]
fn sum_with(numbers: Shared<[u64]>, rest: &[u8]) -> u64 {
    numbers.iter().sum::<u64>() + rest.len() as u64
}

fn each_item_may_bring_its_own(method: StartMethod) {
    let pool = start(method, 2);
    // Of a size at which the last item of a chunk is often one too many.
    for size in [0, 10, 9_000, 20_000, 100_000] {
        let rest = vec![1; size];
        let mut most = 0;
        let items = (0..300).map(|n| {
            most = most.max(held());
            (pool.share(vec![n, n + 1]).unwrap(), &rest[..])
        });
        let results: Result<Vec<_>, _> = pool.options().window(40).istarmap(sum_with, items).collect();
        assert!(results.unwrap().into_iter().eq((0..300).map(|n| 2 * n + 1 + size as u64)));
        // Items of a chunk keep them together, and the first chunk of those that are read may be almost over.
        assert!(most <= 2 * 40, "{most} at once");
        wait_until("all are gone here", || held() == 0);
    }
    wait_until("the workers dropped all", || pool.worker_pids().into_iter().all(|pid| mapped(pid) == 0));
}

#[pool_task]
fn sum_all(parts: Vec<Shared<u64>>) -> u64 {
    parts.iter().map(|part| **part).sum()
}

fn one_item_may_bring_many(method: StartMethod) {
    const COUNT: u64 = 300;
    let pool = start(method, 2);
    let parts: Vec<_> = (0..COUNT).map(|n| pool.share(n).unwrap()).collect();
    let sum = COUNT * (COUNT - 1) / 2;
    assert_eq!(pool.apply(sum_all, (parts.clone(),)).unwrap(), sum);
    assert_eq!(pool.options().chunk_size(1).map(sum_all, vec![parts; 4]).unwrap(), [sum; 4]);
    wait_until("all are gone here", || held() == 0);
}

fn what_was_read_before_the_iterator_panicked_finds_it(method: StartMethod) {
    let pool = start(method, 1);
    let base = pool.share(5u64).unwrap();
    let items = (0..10).map(|n| match n {
        0..5 => vec![base.clone()],
        5 => panic!("in the input"),
        _ => Vec::new(),
    });
    let mut sums = pool.options().chunk_size(10).imap(sum_all, items);
    assert!(catch_unwind(AssertUnwindSafe(|| sums.next())).is_err());
    let sums: Result<Vec<_>, _> = sums.collect();
    assert_eq!(sums.unwrap(), [5, 5, 5, 5, 5, 0, 0, 0, 0]);
}

fn threads_share_and_call_at_once(method: StartMethod) {
    let pool = start(method, 3);
    let common = pool.share(1000u64).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (pool, common) = (&pool, common.clone());
            scope.spawn(move || {
                for round in 0..20 {
                    let own = pool.share(thread).unwrap();
                    let items = (0..50).map(|n| if n % 2 == 0 { (&own, n) } else { (&common, n) });
                    let results = pool.starmap(plus_lent, items).unwrap();
                    let base = |n| if n % 2 == 0 { thread } else { 1000 };
                    assert!(results.into_iter().eq((0..50).map(|n| base(n) + n)), "{thread} {round}");
                }
            });
        }
    });
    wait_until("only what all use is left", || held() == 1);
}
