use pool::pool_task;

#[pool_task]
pub struct Square {
    pub side: u64,
}

fn main() {}
