use pool::pool_task;

#[pool_task]
fn length(text: &'a str) -> usize {
    text.len()
}

fn main() {}
