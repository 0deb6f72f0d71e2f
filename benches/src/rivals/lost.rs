//! Why rows are lost: what was found by measuring. Printed only for rows that are.

/// What is known about a row that another process pool does faster.
pub(super) fn sentence(row: &str) -> Option<&'static str> {
    SENTENCES.iter().find(|(key, _)| *key == row).map(|(_, sentence)| *sentence)
}

const SENTENCES: &[(&str, &str)] = &[
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
