use pool::pool_task;

#[pool_task]
mod tasks {
    #[allow(dead_code)]
    pub fn square(x: u64) -> u64 {
        x * x
    }
}

fn main() {}
