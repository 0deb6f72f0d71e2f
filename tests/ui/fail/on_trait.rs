use pool::pool_task;

#[pool_task]
trait Area {
    #[allow(dead_code)]
    fn area(&self) -> u64;
}

fn main() {}
