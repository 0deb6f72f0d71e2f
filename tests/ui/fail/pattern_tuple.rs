use pool::pool_task;

#[pool_task]
fn area((width, height): (u32, u32)) -> u32 {
    width * height
}

fn main() {}
