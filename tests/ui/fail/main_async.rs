async fn work() {}

#[pool::main]
async fn main() {
    work().await;
}
