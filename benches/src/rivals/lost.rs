//! Why rows are lost: what was found by measuring. Printed only for rows that are.

/// What is known about a row that another process pool does faster.
pub(super) fn sentence(row: &str) -> Option<&'static str> {
    SENTENCES.iter().find(|(key, _)| *key == row).map(|(_, sentence)| *sentence)
}

/// What is known about a mark that is not met; the first entry that fits.
pub(super) fn why_unmet(work: &str, mark: &str) -> Option<&'static str> {
    UNMET.iter().find(|(of, start, _)| *of == work && mark.contains(start)).map(|(.., sentence)| *sentence)
}

const HANDED_OUT: &str = "Five workers end at once, and one thread hands each of them the next item with a wake-up, which costs \
                          what the limit says. Items as long as these are not queued ahead, lest one wait behind another.";

const UNMET: &[(&str, &str, &str)] = &[
    (
        "4 MiB and more",
        "256 MiB",
        "The task's own vector comes fresh from the kernel every time: 256 page faults a MiB, which cost more than the pool's three \
         copies together. The result's vector comes in huge pages, and the pool's segments cause no faults.",
    ),
    (
        "start-up and replacement",
        "`ForkServer`",
        "The helper process is this program, which has more to load than an empty one: half of the time passes between its \
         execution and its first instruction of ours, 0.7 ms of CPU for mapping, linking and some 90 page faults. The rest, by \
         time stamps: 0.2 ms before it is executed, 0.25 ms for its hello through a socket that has to be removed again, \
         0.4 ms for two forks and what the workers do first, 0.1 ms for the first item; each of these begins with a wake-up.",
    ),
    (
        "start-up and replacement",
        "replacing",
        "Beside the fork, by time stamps: 115 µs until the dead process is taken apart by the kernel and its end known, 75 µs \
         to order another one, with a wake-up of the zygote, and 190 µs until the new one was scheduled, has taken its end of \
         the link, is ready and has run the item.",
    ),
    (
        "more workers than cores",
        "chunks of 1",
        "With more workers than CPUs nobody spins, so nothing is slower than with spinning off. The pool that this is compared \
         with does spin, and gains as much by it as this says: its workers are awake when the next item comes.",
    ),
    ("uneven work, default chunks", "sleeps of", HANDED_OUT),
    ("uneven work, default chunks", "bare threads", HANDED_OUT),
];

const SENTENCES: &[(&str, &str)] = &[
    (
        "sleep:10",
        "Both are within the noise of the bare threads' own excess, which is listed below; what is above it are the wake-ups of \
         five workers by one thread.",
    ),
    (
        "sleep:1",
        "Items of a millisecond go to workers one by one, so that a long one holds up no other; each begins with a wake-up \
         of its worker, some tens of microseconds (the limit with pauses, on two cores). multiprocessing.Pool hands out 25 \
         at a time.",
    ),
    (
        "constant/first",
        "Those pools fork their workers from a program that has the value by then, so nothing is copied; a pool that is there \
         already cannot be given it that way. Here it is copied once, into shared memory that nobody has touched, and that \
         copy is the limit.",
    ),
];
