use pool::pool_task;

#[pool_task]
fn length(text: Option<&str>) -> usize {
    text.map_or(0, str::len)
}

fn main() {}
