use pool::pool_task;

#[pool_task]
fn length(text: &str) -> usize
where
    u8: Copy,
{
    text.len()
}

fn main() {}
