use pool::pool_task;

unsafe extern "C" {
    #[pool_task]
    fn abs(x: i32) -> i32;
}

fn main() {}
