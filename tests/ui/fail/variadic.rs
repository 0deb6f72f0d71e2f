use pool::pool_task;

#[pool_task]
unsafe extern "C" fn print(format: u8, _: ...) {
    let _ = format;
}

fn main() {}
