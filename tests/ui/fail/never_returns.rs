use pool::pool_task;

#[pool_task]
fn stop(code: i32) -> ! {
    std::process::exit(code)
}

fn main() {}
