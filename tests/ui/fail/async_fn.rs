use pool::pool_task;

async fn fetch(url: &str) -> usize {
    url.len()
}

#[pool_task]
async fn length(url: &str) -> usize {
    fetch(url).await
}

fn main() {}
