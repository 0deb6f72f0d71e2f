//! Consumes lazy calls: the order of results, how far they read ahead, and how they end.

use std::cell::Cell;
use std::time::Duration;

use pool::{Error, Imap, Pool, TimeLimit};

use crate::jobs::{Call, Client};
use crate::judge::is_whole;
use crate::plan::Style;
use crate::round::JobFacts;
use crate::tasks::Checked;

impl Client {
    pub(crate) fn iterate<R: Checked>(
        &mut self,
        mut imap: Imap<'_, R>,
        job: &JobFacts,
        style: Style,
        ordered: bool,
        read: &Cell<usize>,
        pool: &Pool,
    ) {
        let count = job.items.len();
        let stop_at =
            if self.random.chance(20) { self.random.below(count as u64 + 1) as usize } else { usize::MAX };
        let mut seen = vec![false; count];
        let mut yielded = 0;
        let mut failed = false;
        loop {
            if yielded >= stop_at {
                self.round.totals.add("imaps_dropped", 1);
                self.round.verdict("items_of_dropped_imaps", (count - yielded) as u64);
                return;
            }
            let next = if self.random.chance(5) {
                match imap.next_timeout(Duration::from_micros(self.random.skewed(3000))) {
                    Some(next) => next,
                    None => continue,
                }
            } else {
                imap.next()
            };
            let Some(result) = next else { break };
            if let Some(window) = style.window {
                // One more may have been read and wait for the next chunk, because it was too large for this one.
                if read.get() > yielded + window.max(1) + 1 {
                    let text =
                        format!("{}: read {}, yielded {yielded}, window {window}", job.call, read.get());
                    self.round.wrong(&text);
                }
            }
            if let Err(error) = &result {
                if is_whole(error) {
                    self.round.ledger.progress();
                    self.round.judge_whole(job, error, (count - yielded) as u64);
                    let lowest = matches!(error, Error::TimedOut { limit: TimeLimit::Deadline, .. });
                    if lowest && ordered && !style.fail_fast && error.index() != Some(yielded) {
                        self.round.wrong(&format!("{}: {yielded} results, then {error:?}", job.call));
                    }
                    self.check_end(&mut imap, job);
                    return;
                }
            }
            let index = match &result {
                Ok(_) if ordered && !style.fail_fast => yielded,
                Ok(answer) => answer.id().wrapping_sub(job.items.first().map_or(0, |item| item.id)) as usize,
                Err(error) => error.index().unwrap_or(count),
            };
            if index >= count || ordered && !style.fail_fast && index != yielded {
                let error = result.err();
                self.round.wrong(&format!("{}: result {yielded} of {count}: {index} {error:?}", job.call));
                return;
            }
            failed |= result.is_err();
            self.round.judge_item(job, index, result);
            if std::mem::replace(&mut seen[index], true) {
                self.round.wrong(&format!("{}: item {index} came twice", job.call));
            }
            yielded += 1;
            if self.random.below(1000) == 0 {
                // Another job, while this one is open.
                let facts = job.pool.clone();
                self.run(Call::Apply, pool, &facts, true);
                self.round.ledger.note(self.place, &format!("{} after another job", job.call));
            }
        }
        if style.fail_fast && failed {
            self.round.verdict("items_given_up", (count - yielded) as u64);
        } else if yielded != count {
            let missing =
                seen.iter().position(|seen| !seen).map(|index| self.round.ledger.mark(job.items[index].id));
            let read = read.get();
            self.round.wrong(&format!(
                "{}: {yielded} results of {count} items, {read} read, {style:?}, mark of the first that lacks {missing:?}",
                job.call
            ));
        }
        self.check_end(&mut imap, job);
    }

    fn check_end<R: Checked>(&self, imap: &mut Imap<'_, R>, job: &JobFacts) {
        if imap.next().is_some() {
            self.round.wrong(&format!("{}: goes on after its end", job.call));
        }
    }
}
