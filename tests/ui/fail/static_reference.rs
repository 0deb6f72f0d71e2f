use pool::pool_task;

#[pool_task]
fn length(text: &'static str) -> usize {
    text.len()
}

fn main() {}
