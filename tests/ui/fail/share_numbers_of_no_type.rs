use pool::Pool;

fn main() -> pool::Result<()> {
    let numbers = Pool::new()?.share(vec![0.5])?;
    assert_eq!(numbers.len(), 1);
    Ok(())
}
