//! Why rows are lost: what was found by measuring. Printed only for rows that are.

/// What is known about a row that another process pool does faster.
pub(super) fn sentence(row: &str) -> Option<&'static str> {
    SENTENCES.iter().find(|(key, _)| *key == row).map(|(_, sentence)| *sentence)
}

/// What is known about a mark that is not met; the first entry that fits.
pub(super) fn why_unmet(work: &str, mark: &str) -> Option<&'static str> {
    UNMET.iter().find(|(of, start, _)| *of == work && mark.contains(start)).map(|(.., sentence)| *sentence)
}

const SLEEPS: &str = "Five bare threads that do nothing but sleep are as much over the ideal, as the next line and the table below \
                      say: the kernel ends a sleep late.";

const FRESH: &str = "The task's own vector comes fresh from the kernel every time: 256 page faults a MiB, which cost more than the pool's \
                     three copies together. The result's vector comes in huge pages, and the pool's segments cause no faults.";

const UNMET: &[(&str, &str, &str)] = &[
    ("4 MiB and more", "256 MiB of bytes, there", FRESH),
    ("4 MiB and more", "256 MiB of numbers, there", FRESH),
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
        "In a pool of more workers than CPUs no worker spins, which is what spinning off means. The pool that this is compared with has two, \
         which do: they are awake when the next item comes. It became faster since the mark was set, and this one did not become slower.",
    ),
    ("uneven work, default chunks", "sleeps of", SLEEPS),
    (
        "round trip back to back",
        "bare ring",
        "The bare ring moves 16 bytes and does nothing else. By time stamps in both processes an `apply` takes 0.22 µs until its \
         frame is published (to encode, to make and open the job, to choose a worker, to write), twice 0.1 µs on the way, 0.2 µs in \
         the worker (of which two glances at the clock take 0.05) and 0.23 µs from there to the decoded result.",
    ),
    (
        "1,000,000 squares, default chunks",
        "multiprocessing",
        "An item takes 7.5 ns of CPU in the program and 17 ns in the workers, so 12 to 13 ns on two CPUs if nobody ever waits. \
         multiprocessing.Pool takes 150 to 190 ns.",
    ),
];

const SENTENCES: &[(&str, &str)] = &[
    (
        "nested:1024",
        "Both encode and decode value by value, and allocate every string and vector; the spread of either is more than the \
         difference.",
    ),
    ("sleep:10", "Both are within the noise of the bare threads' own excess, which is listed below."),
    ("sleep:1", "Both are within the noise of the bare threads' own excess, which is listed below."),
    (
        "constant/first",
        "Those pools fork their workers from a program that has the value by then, so nothing is copied; a pool that is there \
         already cannot be given it that way. Here it is copied once, into shared memory that nobody has touched, and that \
         copy is the limit.",
    ),
];
