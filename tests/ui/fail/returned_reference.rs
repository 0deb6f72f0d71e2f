use pool::pool_task;

#[pool_task]
fn trimmed(text: &str) -> &str {
    text.trim()
}

fn main() {}
