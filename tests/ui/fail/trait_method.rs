use pool::pool_task;

trait Shape {
    #[pool_task]
    fn area(side: f64) -> f64;
}

fn main() {}
