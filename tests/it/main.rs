//! Tests with real processes.

use pool::{Pool, Result};

#[test]
fn a_task_of_a_library_runs() -> Result<()> {
    assert_eq!(Pool::builder().workers(1).build()?.map(tests::double, 0..3)?, [0, 2, 4]);
    Ok(())
}
