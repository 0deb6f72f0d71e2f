use pool::pool_task;

struct Image {
    pixels: Vec<u8>,
}

#[pool_task]
fn size(image: Image, scale: usize) -> usize {
    image.pixels.len() * scale
}

fn main() {}
