//! How many items go to a worker together, and how much a worker may have in hand.
//!
//! A hand-over costs some microseconds where the worker sleeps and a few hundred nanoseconds where it does not. So
//! chunks aim at [`CHUNK_TIME`], measured with the items that came before; they start with one item, grow by at
//! most [`GROWTH`] at a time, because early items may be unlike later ones, and shrink towards the end of a
//! job whose length is known, so that workers finish together.

use std::time::Duration;

/// What a chunk should take: long against a hand-over, short against a person's patience and a job's end.
const CHUNK_TIME: Duration = Duration::from_micros(200);
/// What a worker should have in hand, so that it need not wait for the next chunk. Where workers keep all CPUs busy, the
/// kernel lets the program wait for one of them for as long as that, again and again.
const AHEAD: Duration = Duration::from_millis(2);
/// What a worker may have in hand while another one has nothing to do: more than the way to the other one costs.
const LONG: Duration = Duration::from_micros(300);
/// The longest chunk behind which another one is queued though the worker has [`AHEAD`] in hand: beside longer ones
/// a hand-over is nothing, and whoever comes next would wait for two of them.
pub(super) const LONGEST_AHEAD: Duration = Duration::from_millis(20);
/// Below this a chunk is not worth its hand-over, even at the end of a job.
const SHORTEST: Duration = Duration::from_micros(10);
/// Chunks that are shorter go to one worker in a row until it has so much more: then results come in a row as well.
const RUN: Duration = Duration::from_micros(2);
/// Most items in a chunk.
const MOST: usize = 8192;
/// How much larger a chunk may be than the one before.
const GROWTH: usize = 4;
/// Most chunks that a worker may have in hand, however short they are.
const MOST_CHUNKS: usize = 128;
/// Chunks of so many bytes are mostly single items in segments, of which there are not many; they take long to copy, too, so that
/// less of them is ahead.
const LARGE: usize = 32 << 10;
/// Most bytes of arguments that a worker may have in hand, unless a single item has more.
const MOST_BYTES: usize = 1 << 20;

/// What was learned about one task.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Moving average; `None` until something was measured.
    nanos_per_item: Option<f64>,
    last: usize,
}

impl Default for Rule {
    fn default() -> Self {
        Self { nanos_per_item: None, last: 1 }
    }
}

/// What a worker has in hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) chunks: usize,
    pub(crate) items: usize,
    pub(crate) bytes: usize,
}

impl Rule {
    /// Learns from items that a worker has run.
    pub(crate) fn learn(&mut self, items: u32, nanos: u64) {
        // What a worker that died had not sent comes without a time.
        if items == 0 || nanos == 0 {
            return;
        }
        let new = nanos as f64 / f64::from(items);
        self.nanos_per_item = Some(match self.nanos_per_item {
            None => new,
            // Half and half: a first call that pays for page faults is forgotten after a few chunks.
            Some(old) => (old + new) / 2.0,
        });
    }

    /// Items in the next chunk, for a job that has `remaining` items left if that is known.
    pub(crate) fn size(&self, workers: usize, remaining: Option<usize>) -> usize {
        let Some(nanos) = self.nanos_per_item else { return 1 };
        let fits = |time: Duration| (time.as_nanos() as f64 / nanos.max(1.0)) as usize;
        let mut size = fits(CHUNK_TIME).clamp(1, MOST).min(self.last * GROWTH);
        if let Some(remaining) = remaining {
            let share = remaining.div_ceil(2 * workers.max(1));
            size = size.min(share.max(fits(SHORTEST)));
        }
        size.max(1)
    }

    /// Remembers the size of a chunk that was sent.
    pub(crate) fn sent(&mut self, items: usize) {
        // A short last chunk says nothing about the next job.
        self.last = self.last.max(items).min(self.last * GROWTH).clamp(1, MOST);
    }

    /// Forgets growth that later measurements do not bear out.
    pub(crate) fn settle(&mut self) {
        if let Some(nanos) = self.nanos_per_item {
            let fits = (CHUNK_TIME.as_nanos() as f64 / nanos.max(1.0)) as usize;
            self.last = self.last.min(fits.max(1));
        }
    }

    /// Tells whether a worker with this load should get another chunk.
    pub(crate) fn has_room(&self, load: Load) -> bool {
        if load.chunks == 0 {
            return true;
        }
        let Some(nanos) = self.nanos_per_item else { return false };
        let ahead = match load.chunks {
            1 => LONGEST_AHEAD,
            chunks if load.bytes >= chunks * LARGE => LONG,
            _ => AHEAD,
        };
        load.chunks < MOST_CHUNKS
            && load.bytes < MOST_BYTES
            && load.items as f64 * nanos < ahead.as_nanos() as f64
    }

    /// How long what a worker with this load has in hand takes, if that is so long that one with nothing to do should have some
    /// of it.
    pub(crate) fn too_long(&self, load: Load) -> Option<Duration> {
        let time = Duration::from_nanos((load.items as f64 * self.nanos_per_item?) as u64);
        (time >= LONG).then_some(time)
    }

    /// What a worker with this load has in hand, in runs of items that take [`RUN`] together.
    pub(crate) fn runs(&self, load: Load) -> usize {
        let nanos = self.nanos_per_item.unwrap_or(f64::INFINITY);
        (load.items as f64 * (nanos / RUN.as_nanos() as f64).min(1.0)) as usize
    }

    /// How many more chunks of `size` items a worker with this load should get.
    pub(crate) fn room(&self, mut load: Load, size: usize) -> usize {
        let mut chunks = 0;
        while self.has_room(load) {
            chunks += 1;
            load.chunks += 1;
            load.items += size;
        }
        chunks
    }

    /// Items that a lazy call may read ahead of its consumer.
    pub(crate) fn ahead(&self, workers: usize) -> usize {
        (4 * workers.max(1)).saturating_mul(self.size(workers, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(nanos: u64) -> Rule {
        let mut rule = Rule::default();
        rule.learn(1, nanos);
        rule
    }

    /// Sizes of the chunks into which a job of `items` items is cut.
    fn sizes(mut rule: Rule, items: usize, workers: usize) -> Vec<usize> {
        let mut left = items;
        let mut sizes = Vec::new();
        while left > 0 {
            let size = rule.size(workers, Some(left)).min(left);
            rule.sent(size);
            sizes.push(size);
            left -= size;
        }
        sizes
    }

    #[test]
    fn the_first_chunk_of_an_unknown_task_is_one_item_and_nothing_follows_before_it_is_measured() {
        assert_eq!(Rule::default().size(4, Some(1000)), 1);
        assert!(!Rule::default().has_room(Load { chunks: 1, items: 1, bytes: 8 }));
    }

    #[test]
    fn chunks_grow_to_the_time_they_aim_at_and_no_faster_than_the_limit() {
        let sizes = sizes(rule(100), 1_000_000, 2);
        assert_eq!(&sizes[..5], [4, 16, 64, 256, 1024]);
        assert_eq!(*sizes.iter().max().unwrap(), 2000);
    }

    #[test]
    fn chunks_shrink_towards_the_end_but_not_below_what_a_hand_over_is_worth() {
        let mut grown = rule(100);
        (0..10).for_each(|_| grown.sent(MOST));
        let sizes = sizes(grown, 10_000, 2);
        assert_eq!(sizes[0], 2000);
        assert!(sizes.windows(2).all(|pair| pair[0] >= pair[1]), "{sizes:?}");
        assert!(sizes[..sizes.len() - 1].iter().all(|size| *size >= 100), "{sizes:?}");
    }

    #[test]
    fn last_chunk_holds_the_remainder() {
        assert_eq!(sizes(rule(100), 5, 1).iter().sum::<usize>(), 5);
    }

    #[test]
    fn very_long_items_go_one_by_one_and_wait_for_a_free_worker() {
        let slow = rule(100_000_000);
        assert_eq!(slow.size(2, Some(1000)), 1);
        assert!(slow.has_room(Load::default()));
        assert!(!slow.has_room(Load { chunks: 1, items: 1, bytes: 8 }));
    }

    #[test]
    fn one_chunk_is_queued_behind_another_that_is_not_too_long() {
        let load = |chunks, items| Load { chunks, items, bytes: 8 };
        let slow = rule(5_000_000);
        assert!(slow.has_room(load(1, 3)) && !slow.has_room(load(1, 4)) && !slow.has_room(load(2, 2)));
    }

    #[test]
    fn another_worker_should_have_some_of_what_is_known_to_be_long() {
        let too_long = |rule: Rule, items| rule.too_long(Load { chunks: 2, items, bytes: 8 });
        assert_eq!(too_long(rule(5_000_000), 2), Some(Duration::from_millis(10)));
        assert_eq!(too_long(rule(1_000), 300), Some(LONG));
        assert_eq!((too_long(rule(1_000), 299), too_long(Rule::default(), 1000)), (None, None));
    }

    #[test]
    fn a_worker_gets_ahead_by_time_by_count_and_by_bytes() {
        let fast = rule(100);
        assert!(fast.has_room(Load { chunks: 2, items: 19_999, bytes: 1000 }));
        assert!(!fast.has_room(Load { chunks: 2, items: 20_000, bytes: 1000 }));
        assert!(!fast.has_room(Load { chunks: MOST_CHUNKS, items: MOST_CHUNKS, bytes: 1000 }));
        assert!(!fast.has_room(Load { chunks: 1, items: 1, bytes: MOST_BYTES }));
        let large = |items| Load { chunks: 2, items, bytes: 2 * LARGE };
        assert!(fast.has_room(large(2_999)) && !fast.has_room(large(3_000)));
    }

    #[test]
    fn room_is_how_often_a_worker_can_be_given_a_chunk() {
        assert_eq!(Rule::default().room(Load::default(), 1), 1);
        assert_eq!(rule(100_000).room(Load::default(), 1), 20);
        assert_eq!(rule(100_000).room(Load { chunks: 2, items: 2, bytes: 8 }, 1), 18);
        assert_eq!(rule(10).room(Load::default(), 1), MOST_CHUNKS);
    }

    #[test]
    fn runs_are_items_if_those_are_long_and_many_items_if_they_are_short() {
        let load = |items| Load { chunks: 1, items, bytes: 8 };
        for slow in [Rule::default(), rule(2_000), rule(1_000_000)] {
            assert_eq!([0, 1, 5].map(|items| slow.runs(load(items))), [0, 1, 5]);
        }
        assert_eq!([0, 19, 20, 45].map(|items| rule(100).runs(load(items))), [0, 0, 1, 2]);
    }

    #[test]
    fn one_slow_start_is_forgotten() {
        let mut rule = rule(1_000_000);
        (0..12).for_each(|_| rule.learn(1, 100));
        assert!(rule.size(2, None) >= 4);
    }
}
