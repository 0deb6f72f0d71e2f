use pool::pool_task;

use std::borrow::Cow;

#[pool_task]
fn trimmed(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text.trim())
}

fn main() {}
