use pool::pool_task;

struct Square;

#[pool_task]
impl Square {
    #[allow(dead_code)]
    fn area(side: u64) -> u64 {
        side * side
    }
}

fn main() {}
