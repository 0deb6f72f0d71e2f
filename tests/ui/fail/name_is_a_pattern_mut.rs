use pool::pool_task;

#[pool_task]
fn count(text: &str) -> usize {
    text.len()
}

fn main() {
    let mut count = 0;
    count += 1;
    let _ = count;
}
