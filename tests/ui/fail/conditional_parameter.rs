use pool::pool_task;

#[pool_task]
fn length(#[cfg(unix)] text: &str) -> usize {
    text.len()
}

fn main() {}
