use pool::pool_task;

use std::borrow::Cow;

#[pool_task]
fn length(text: Cow<'_, str>) -> usize {
    text.len()
}

fn main() {}
