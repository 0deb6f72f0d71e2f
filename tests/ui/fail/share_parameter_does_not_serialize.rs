use pool::{Shared, pool_task};

struct Opaque;

#[pool_task]
fn look(_at: &Shared<Opaque>) {}

fn main() {}
