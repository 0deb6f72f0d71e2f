use pool::pool_task;

#[pool_task]
fn kind(code: u8) -> Result<&'static str, ()> {
    if code == 0 { Ok("zero") } else { Err(()) }
}

fn main() {}
