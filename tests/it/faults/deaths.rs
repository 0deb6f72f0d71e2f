//! Workers that die of what they run.

use pool::{Exit, StartMethod};

use super::{lost, row};
use crate::support::{Log, processes, tasks};

crate::cases![
    every_way_to_die_is_told_of_the_item_that_ran,
    every_other_item_of_a_chunk_runs_exactly_once,
    every_other_item_of_a_map_runs_exactly_once,
    a_kill_from_outside_costs_the_item_that_ran,
];

/// All ways to die, and how they are told.
fn ways(method: StartMethod) -> [(&'static str, Exit); 12] {
    // Where the runtime began in the parent's `main`, its handler tells of the overflow and aborts.
    let overflow = if method == StartMethod::Fork { Exit::Signal(6) } else { Exit::Signal(11) };
    [
        ("kill", Exit::Signal(9)),
        ("raise segv", Exit::Signal(11)),
        ("segv", Exit::Signal(11)),
        ("bus", Exit::Signal(7)),
        ("abort", Exit::Signal(6)),
        ("exit", Exit::Code(3)),
        ("_exit", Exit::Code(4)),
        ("exit caught", Exit::Code(3)),
        ("exit in a thread", Exit::Code(3)),
        ("overflow", overflow.clone()),
        ("overflow in a thread", overflow),
        ("panic twice", Exit::Signal(6)),
    ]
}

fn every_way_to_die_is_told_of_the_item_that_ran(method: StartMethod) {
    row(method, |pool| {
        for (how, expected) in ways(method) {
            let error = pool.apply(tasks::die, (how,)).unwrap_err();
            assert!(error.task().unwrap().ends_with("tasks::die"));
            assert!(error.to_string().contains(&expected.to_string()), "{how}: {error}");
            let (index, pid, exit) = lost(error);
            assert_eq!((index, exit), (0, expected), "{how}");
            assert!(!processes::is_alive(pid));
        }
    });
}

fn every_other_item_of_a_chunk_runs_exactly_once(method: StartMethod) {
    row(method, |pool| {
        for (how, expected) in ways(method) {
            for bad in [0, 1, 500, 999] {
                let log = Log::new();
                let items = (0..1000).map(|n| (log.path(), bad, how, n));
                let options = pool.options().chunk_size(1000).window(1000);
                let results: Vec<_> = options.istarmap(tasks::noted_dies_on, items).collect();
                assert_eq!(results.len(), 1000);
                for (n, result) in (0..).zip(results) {
                    match result {
                        Ok(value) => assert_eq!((value, n == bad), (n, false)),
                        Err(error) => {
                            let (index, _, exit) = lost(error);
                            assert_eq!((index as u64, n, exit), (bad, bad, expected.clone()), "{how}");
                        }
                    }
                }
                // What was committed was not run again, what came behind was run elsewhere.
                assert_eq!(log.sorted(), (0..1000).collect::<Vec<_>>(), "{how} on {bad}");
            }
        }
    });
}

fn every_other_item_of_a_map_runs_exactly_once(method: StartMethod) {
    row(method, |pool| {
        let log = Log::new();
        let items = || (0..1000).map(|n| (log.path(), 500, "kill", n));
        let options = pool.options().chunk_size(1000);
        assert_eq!(lost(options.starmap(tasks::noted_dies_on, items()).unwrap_err()).0, 500);
        assert_eq!(log.sorted(), (0..1000).collect::<Vec<_>>());
        let log = Log::new();
        let items = (0..1000).map(|n| (log.path(), 500, "kill", n));
        assert_eq!(lost(options.starmap_async(tasks::noted_dies_on, items).get().unwrap_err()).0, 500);
        assert_eq!(log.sorted(), (0..1000).collect::<Vec<_>>());
    });
}

fn a_kill_from_outside_costs_the_item_that_ran(method: StartMethod) {
    row(method, |pool| {
        for _ in 0..5 {
            let log = Log::new();
            let busy = pool.apply_async(tasks::linger, (log.path(),));
            log.wait_for(1);
            let victim = log.sorted()[0] as u32;
            processes::kill(victim);
            assert_eq!(lost(busy.get().unwrap_err()), (0, victim, Exit::Signal(9)));
        }
    });
}
