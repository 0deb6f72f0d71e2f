use pool::pool_task;

#[derive(serde::Serialize)]
struct Image {
    pixels: Vec<u8>,
}

#[pool_task]
fn size(image: Image) -> usize {
    image.pixels.len()
}

fn main() {}
