use pool::Pool;

fn identity<T>(x: T) -> T {
    x
}

fn main() -> pool::Result<()> {
    Pool::new()?.map(identity, 0..4)?;
    Ok(())
}
