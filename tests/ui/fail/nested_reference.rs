use pool::pool_task;

#[pool_task]
fn longest(words: &[&str]) -> usize {
    words.iter().map(|word| word.len()).max().unwrap_or(0)
}

fn main() {}
