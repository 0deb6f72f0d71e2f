use pool::Pool;

fn cube(x: u64) -> u64 {
    x * x * x
}

fn main() -> pool::Result<()> {
    Pool::new()?.map(cube, 0..4)?;
    Ok(())
}
