use pool::Pool;

struct Opaque;

fn main() -> pool::Result<()> {
    let pool = Pool::new()?;
    pool.share(Opaque)?;
    Ok(())
}
