use pool::pool_task;

#[pool_task]
fn length(text: &&str) -> usize {
    text.len()
}

fn main() {}
