use pool::{Shared, pool_task};

#[pool_task]
fn count(names: Shared<[String]>) -> usize {
    names.len()
}

fn main() {}
