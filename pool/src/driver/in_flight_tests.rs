//! Chunks in the hands of a worker, without one.

use super::*;
use crate::body::Batch;
use crate::frame::Kind;

const JOB: JobKey = JobKey { place: 0, turn: 1 };

fn with_chunks(sizes: &[u32]) -> InFlight {
    let mut in_flight = InFlight::default();
    let mut first = 100;
    for size in sizes {
        let mut batch = Batch::default();
        for _ in 0..*size {
            batch.append(|_| Ok::<(), ()>(())).unwrap();
        }
        in_flight.insert(JOB, Block::take(first, &mut batch), Sent(0), Limits::default());
        first += *size as usize;
    }
    in_flight
}

fn begun(chunk: u32, item: u32) -> Running {
    Running { chunk, item, is_begun: true }
}

fn not_begun(chunk: u32, item: u32) -> Running {
    Running { is_begun: false, ..begun(chunk, item) }
}

fn started(lost: &Lost) -> Vec<usize> {
    lost.started.iter().map(|begun| begun.item.first).collect()
}

fn answer(chunk: u64, first: u32, count: u32) -> FrameHeader {
    FrameHeader { chunk, first, count, ..FrameHeader::new(Kind::Done) }
}

#[test]
fn answers_in_parts_leave_once_all_parts_came() {
    let mut in_flight = with_chunks(&[3, 2]);
    assert_eq!(in_flight.complete(&answer(1, 0, 2), false).unwrap().unwrap().first, 100);
    assert_eq!(in_flight.load().items, 3);
    assert_eq!(in_flight.complete(&answer(1, 2, 1), false).unwrap().unwrap().first, 102);
    assert_eq!(in_flight.complete(&answer(2, 0, 2), false).unwrap().unwrap().first, 103);
    assert_eq!(in_flight.load(), Load::default());
}

#[test]
fn answers_that_were_not_asked_for_are_corrupt() {
    for wrong in [answer(2, 0, 1), answer(1, 1, 1), answer(1, 0, 4), answer(1, u32::MAX, u32::MAX)] {
        assert!(with_chunks(&[3]).complete(&wrong, false).is_err());
    }
    assert!(InFlight::default().complete(&answer(1, 0, 1), false).is_err());
}

#[test]
fn only_the_running_item_is_lost_and_what_is_behind_it_is_not_started() {
    let mut in_flight = with_chunks(&[4, 2]);
    in_flight.complete(&answer(1, 0, 1), false).unwrap();
    let lost = in_flight.lose(begun(1, 1), false);
    assert_eq!(started(&lost), [101]);
    let rest: Vec<_> = lost.unstarted.iter().map(|(_, block)| (block.first, block.count)).collect();
    assert_eq!(rest, [(102, 2), (104, 2)]);
}

#[test]
fn a_halted_worker_that_answered_what_it_was_to_skip_has_begun_nothing_after_that() {
    for was_halted in [true, false] {
        let mut in_flight = with_chunks(&[1, 1, 4]);
        in_flight.complete(&answer(1, 0, 1), false).unwrap();
        assert!(in_flight.recall_front(|_, _| true).is_some());
        assert!(in_flight.complete(&answer(2, 0, 1), true).unwrap().is_none());
        let lost = in_flight.lose(begun(1, 0), was_halted);
        // One that was not halted would have said that it came to the second.
        assert_eq!(lost.started.is_empty(), was_halted);
        assert_eq!(lost.unstarted.len(), usize::from(was_halted));
    }
}

#[test]
fn no_item_that_was_begun_is_begun_again_even_if_its_result_could_not_be_read() {
    let lost = with_chunks(&[5]).lose(begun(1, 2), false);
    assert_eq!(started(&lost), [100, 101, 102]);
    assert_eq!(
        lost.unstarted.iter().map(|(_, block)| (block.first, block.count)).collect::<Vec<_>>(),
        [(103, 2)]
    );
}

#[test]
fn a_worker_that_dies_between_items_loses_none() {
    let mut in_flight = with_chunks(&[2, 2]);
    in_flight.complete(&answer(1, 0, 1), false).unwrap();
    // It had finished item 0, the last one that it said it was running.
    let lost = in_flight.lose(begun(1, 0), false);
    assert_eq!(started(&lost), []);
    assert_eq!(lost.unstarted.iter().map(|(_, block)| block.count).sum::<u32>(), 3);
}

#[test]
fn queued_chunks_are_taken_back_and_their_answers_ignored() {
    let mut in_flight = with_chunks(&[1, 2, 3]);
    let taken = in_flight.recall_half(|_, _| true);
    assert_eq!(taken.iter().map(|(_, block)| (block.first, block.count)).collect::<Vec<_>>(), [(103, 3)]);
    assert_eq!(in_flight.load().items, 3);
    let next: Vec<_> = in_flight.iter().map(Chunk::next_index).collect();
    assert_eq!(next, [Some(100), Some(101), None], "what was taken back may have ended elsewhere");
    in_flight.complete(&answer(1, 0, 1), false).unwrap();
    in_flight.complete(&answer(2, 0, 2), false).unwrap();
    assert!(in_flight.complete(&answer(3, 0, 3), false).is_err(), "what was taken back must not be run");
    assert!(in_flight.complete(&answer(3, 0, 3), true).unwrap().is_none());
    assert!(in_flight.is_empty() && in_flight.load() == Load::default());
}

#[test]
fn the_chunk_that_is_due_is_taken_back_if_nothing_of_it_was_answered() {
    let mut in_flight = with_chunks(&[2, 1]);
    let taken = in_flight.recall_front(|_, number| number == 1).expect("it was not begun");
    assert_eq!((taken.1.first, taken.1.count), (100, 2));
    assert_eq!(in_flight.load().items, 1);
    assert!(in_flight.recall_front(|_, _| true).is_none(), "it was taken back before");
    assert!(in_flight.complete(&answer(1, 0, 2), true).unwrap().is_none());
    assert_eq!(in_flight.complete(&answer(2, 0, 1), false).unwrap().unwrap().first, 102);
    let mut in_flight = with_chunks(&[2]);
    in_flight.complete(&answer(1, 0, 1), false).unwrap();
    assert!(in_flight.recall_front(|_, _| true).is_none());
}

#[test]
fn a_worker_that_dies_after_the_chunk_that_was_due_was_taken_back_loses_nothing_of_it() {
    for said in [Running::default(), begun(7, 0)] {
        let mut in_flight = with_chunks(&[2]);
        in_flight.recall_front(|_, _| true).expect("it was not begun");
        let lost = in_flight.lose(said, false);
        assert_eq!((started(&lost), lost.unstarted.len()), (vec![], 0));
    }
}

#[test]
fn a_chunk_that_was_asked_back_too_late_is_run_or_comes_back_by_its_answer() {
    for skipped in [false, true] {
        let mut in_flight = with_chunks(&[1, 2]);
        assert!(in_flight.recall_half(|_, _| false).is_empty());
        in_flight.complete(&answer(1, 0, 1), false).unwrap();
        let completed = in_flight.complete(&answer(2, 0, 2), skipped).unwrap().unwrap();
        assert_eq!(completed.is_recalled, skipped);
        assert_eq!(completed.block.map(|block| (block.first, block.count)), skipped.then_some((101, 2)));
    }
}

#[test]
fn what_was_taken_back_is_not_lost_with_its_worker() {
    let mut in_flight = with_chunks(&[1, 2]);
    in_flight.recall_half(|_, _| true);
    let lost = in_flight.lose(Running::default(), false);
    assert_eq!((started(&lost), lost.unstarted.len()), (vec![], 1));
}

#[test]
fn chunks_that_the_worker_came_past_are_not_begun_again_even_if_nothing_of_them_could_be_read() {
    let lost = with_chunks(&[2, 1, 3]).lose(begun(3, 0), false);
    assert_eq!(started(&lost), [100, 101, 102, 103]);
    let lost = with_chunks(&[2, 1]).lose(not_begun(2, 0), false);
    assert_eq!((started(&lost), lost.unstarted.len()), (vec![100, 101], 1));
}

#[test]
fn a_worker_that_says_the_impossible_may_have_begun_all_of_the_chunk_that_was_due() {
    for impossible in
        [begun(0, 0), begun(1, 3), begun(3, 0), begun(u32::MAX, 0), not_begun(0, 1), not_begun(1 << 31, 0)]
    {
        let lost = with_chunks(&[3, 2]).lose(impossible, false);
        assert_eq!(started(&lost), [100, 101, 102], "{impossible:?}");
        assert_eq!(lost.unstarted.len(), 1);
    }
    let mut in_flight = with_chunks(&[3]);
    in_flight.complete(&answer(1, 0, 1), false).unwrap();
    assert_eq!(started(&in_flight.lose(Running::default(), false)), [101, 102]);
    let mut in_flight = with_chunks(&[1, 1]);
    in_flight.complete(&answer(1, 0, 1), false).unwrap();
    assert_eq!(started(&in_flight.lose(begun(1, 1), false)), [101]);
}

#[test]
fn a_worker_between_two_chunks_has_begun_neither() {
    for said in [begun(1, 0), not_begun(1, 1), not_begun(2, 0)] {
        let mut in_flight = with_chunks(&[1, 2]);
        in_flight.complete(&answer(1, 0, 1), false).unwrap();
        assert_eq!(started(&in_flight.lose(said, false)), []);
    }
}

#[test]
fn an_item_that_a_halted_worker_said_it_would_not_begin_is_not_lost() {
    let lost = with_chunks(&[3]).lose(not_begun(1, 0), false);
    assert_eq!((started(&lost), lost.unstarted[0].1.count), (vec![], 3));
    // The two before it were begun, and nothing is known of them.
    let lost = with_chunks(&[3]).lose(not_begun(1, 2), false);
    assert_eq!((started(&lost), lost.unstarted[0].1.count), (vec![100, 101], 1));
}

#[test]
fn an_item_whose_end_was_told_is_known_in_its_answer_and_when_its_worker_dies() {
    let mut in_flight = with_chunks(&[4]);
    in_flight.decide(begun(1, 2));
    assert_eq!(in_flight.complete(&answer(1, 0, 2), false).unwrap().unwrap().decided, None);
    assert_eq!(in_flight.chunks[0].next_index(), Some(103));
    assert_eq!(in_flight.complete(&answer(1, 2, 1), false).unwrap().unwrap().decided, Some(0));
    let mut in_flight = with_chunks(&[4]);
    in_flight.decide(begun(1, 2));
    let decided: Vec<_> =
        in_flight.lose(begun(1, 2), false).started.iter().map(|begun| begun.is_decided).collect();
    assert_eq!(decided, [false, false, true]);
}
