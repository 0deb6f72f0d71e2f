use pool::pool_task;

struct Image {
    pixels: Vec<u8>,
}

#[pool_task]
fn blank(size: usize) -> Image {
    Image { pixels: vec![0; size] }
}

#[allow(dead_code)]
fn first(image: Image) -> u8 {
    image.pixels[0]
}

fn main() {}
