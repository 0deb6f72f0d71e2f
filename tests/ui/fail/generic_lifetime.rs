use pool::pool_task;

#[pool_task]
fn length<'a>(text: &'a str) -> usize {
    text.len()
}

fn main() {}
