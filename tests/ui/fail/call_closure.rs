use pool::Pool;

fn main() -> pool::Result<()> {
    Pool::new()?.map(|x: u64| x * x, 0..4)?;
    Ok(())
}
