use pool::pool_task;

#[pool_task]
extern "C" fn abs(x: i32) -> i32 {
    x.abs()
}

fn main() {}
