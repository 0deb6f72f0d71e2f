use pool::pool_task;

struct Image {
    pixels: Vec<u8>,
}

#[pool_task]
fn size(images: &[Image]) -> usize {
    images[0].pixels.len()
}

fn main() {}
