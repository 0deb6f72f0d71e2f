//! What is noted while arguments are encoded: which shared values they use.
//!
//! Serialization knows nothing of pools, so this goes by the thread. Whoever encodes arguments [enters](Encoding::enter)
//! and says for which pool, once for many items. To an item without a shared value it is one store.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::share::original::{Home, Keeper, Original};

thread_local! {
    /// The number of the pool for which this thread encodes arguments, or of none.
    static POOL: Cell<u64> = const { Cell::new(Home::NONE) };
    /// The item that is encoded has used a shared value.
    static ITEM_USES: Cell<bool> = const { Cell::new(false) };
    /// There is something in `USED`, which takes longer to look at.
    static ANY_USES: Cell<bool> = const { Cell::new(false) };
    static USED: RefCell<Used> = const { RefCell::new(Used::new()) };
    /// There is something in `COMPLAINT`.
    static COMPLAINS: Cell<bool> = const { Cell::new(false) };
    static COMPLAINT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The shared values that consecutive items use.
#[derive(Default)]
pub(crate) struct Used {
    /// One may be in it several times, but not twice in a row: the usual item uses what the one before it did.
    keepers: Vec<Arc<Keeper>>,
    /// Where those begin of the last item that uses any.
    last: usize,
}

impl Used {
    pub(crate) const fn new() -> Self {
        Self { keepers: Vec::new(), last: 0 }
    }

    #[cfg(test)]
    pub(crate) fn of(keepers: &[Arc<Keeper>]) -> Self {
        Self { keepers: keepers.to_vec(), last: 0 }
    }

    fn add(&mut self, keeper: &Arc<Keeper>, is_first_of_item: bool) {
        let is_same = self.keepers.last().is_some_and(|last| Arc::ptr_eq(last, keeper));
        if is_first_of_item {
            self.last = self.keepers.len() - usize::from(is_same);
        }
        if !is_same {
            self.keepers.push(keeper.clone());
        }
    }

    /// Each of them once.
    pub(crate) fn originals(&self) -> Vec<Arc<Original>> {
        let mut originals: Vec<_> = self.keepers.iter().map(|keeper| keeper.original().clone()).collect();
        originals.sort_by_key(|original| original.id());
        originals.dedup_by_key(|original| original.id());
        originals
    }
}

/// While this lives, its thread encodes arguments for a pool. User code meanwhile may do so for another one.
pub(crate) struct Encoding {
    outer_pool: u64,
    outer_item_uses: bool,
    outer: Option<Used>,
}

impl Encoding {
    /// Begins, with what items before this use.
    #[inline]
    pub(crate) fn enter(pool: u64, used: Used) -> Self {
        // Of what the user's own code tried before this.
        drop(complaint());
        let outer = take();
        put(used);
        Self { outer_pool: POOL.replace(pool), outer_item_uses: ITEM_USES.replace(false), outer }
    }

    /// Says that the next item comes.
    #[inline]
    pub(crate) fn next_item(&self) {
        ITEM_USES.set(false);
    }

    /// What the items use, those before included; and what the last one alone uses.
    #[inline]
    pub(crate) fn leave(self) -> Option<(Used, Used)> {
        let used = take()?;
        let last = if ITEM_USES.get() { used.keepers[used.last..].to_vec() } else { Vec::new() };
        Some((used, Used { keepers: last, last: 0 }))
    }
}

impl Drop for Encoding {
    fn drop(&mut self) {
        POOL.set(self.outer_pool);
        ITEM_USES.set(self.outer_item_uses);
        // There is something if this unwinds.
        drop(take());
        put(self.outer.take().unwrap_or_default());
    }
}

#[inline]
fn take() -> Option<Used> {
    if ANY_USES.replace(false) { Some(USED.take()) } else { None }
}

#[inline]
fn put(used: Used) {
    if !used.keepers.is_empty() {
        ANY_USES.set(true);
        USED.set(used);
    }
}

/// Notes that a shared value is encoded, and returns the number that stands for it.
pub(super) fn note(keeper: Option<&Arc<Keeper>>) -> Result<u64, &'static str> {
    let pool = POOL.get();
    if pool == Home::NONE {
        return Err(
            "a `Shared` can only be sent as an argument of a task, in a call of the pool that made it; \
                    not as a result, in another shared value, or to an initializer",
        );
    }
    let Some(keeper) = keeper else {
        return Err(
            "this `Shared` came to this worker from the pool that the worker belongs to, and another pool \
                    cannot pass it on; share its value anew with that pool",
        );
    };
    if keeper.home() != pool {
        return Err("this `Shared` was made by another pool; share the value with this one");
    }
    let is_first = !ITEM_USES.replace(true);
    ANY_USES.set(true);
    USED.with_borrow_mut(|used| used.add(keeper, is_first));
    Ok(keeper.original().id())
}

/// Keeps a reason that the format does not pass on.
pub(super) fn complain(reason: &str) {
    COMPLAINT.set(Some(reason.to_owned()));
    COMPLAINS.set(true);
}

/// Takes the reason why a shared value could not be sent or received on this thread.
#[inline]
pub(crate) fn complaint() -> Option<String> {
    if COMPLAINS.replace(false) { COMPLAINT.take() } else { None }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn ids(used: Option<(Used, Used)>) -> [Vec<u64>; 2] {
        let (used, last) = used.unwrap_or_default();
        [used, last].map(|used| used.originals().iter().map(|original| original.id()).collect())
    }

    #[test]
    fn what_items_use_is_told_to_who_encodes_them_also_where_that_nests() {
        let (home, other) = (Arc::new(Home::new()), Arc::new(Home::new()));
        let [one, two, foreign] = [Keeper::unowned(&home), Keeper::unowned(&home), Keeper::unowned(&other)];
        let encoding = Encoding::enter(home.number(), Used::new());
        assert_eq!(note(Some(&one)), Ok(one.id()));
        let unwinds = AssertUnwindSafe(|| {
            let _inner = Encoding::enter(other.number(), Used::new());
            note(Some(&foreign)).unwrap();
            panic!("in between");
        });
        assert!(catch_unwind(unwinds).is_err());
        let inner = Encoding::enter(other.number(), Used::new());
        note(Some(&foreign)).unwrap();
        assert!(note(Some(&one)).unwrap_err().contains("another pool"));
        assert_eq!(ids(inner.leave()), [[foreign.id()], [foreign.id()]]);
        note(Some(&two)).unwrap();
        assert!(note(Some(&foreign)).unwrap_err().contains("another pool"));
        assert!(note(None).unwrap_err().contains("cannot pass it on"));
        let both = [one.id(), two.id()];
        assert_eq!(ids(encoding.leave()), [both, both]);
        assert!(note(Some(&one)).unwrap_err().contains("only be sent as an argument"));
        assert!(Encoding::enter(home.number(), Used::new()).leave().is_none());
    }

    #[test]
    fn what_was_complained_of_before_is_no_reason() {
        complain("for another format");
        let _encoding = Encoding::enter(1, Used::new());
        assert_eq!(complaint(), None);
    }

    #[test]
    fn what_the_last_item_uses_is_known_whatever_those_before_it_used() {
        let home = Arc::new(Home::new());
        let keepers = [Keeper::unowned(&home), Keeper::unowned(&home), Keeper::unowned(&home)];
        let items: [&[usize]; 8] = [&[], &[0], &[0], &[], &[0, 1, 0], &[0, 1], &[1, 2], &[2, 2]];
        let mut before = Used::new();
        for item in items {
            let encoding = Encoding::enter(home.number(), std::mem::take(&mut before));
            encoding.next_item();
            item.iter().for_each(|place| assert!(note(Some(&keepers[*place])).is_ok()));
            let left = encoding.leave();
            let mut expected: Vec<_> = item.iter().map(|place| keepers[*place].id()).collect();
            expected.sort_unstable();
            expected.dedup();
            let (used, last) = left.unwrap_or_default();
            before = Used { keepers: used.keepers.clone(), last: used.last };
            assert_eq!(ids(Some((used, last)))[1], expected, "{item:?}");
        }
        assert_eq!(ids(Some((before, Used::new())))[0], keepers.each_ref().map(|keeper| keeper.id()));
    }
}
