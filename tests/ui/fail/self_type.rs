use pool::pool_task;

struct Image;

impl Image {
    #[pool_task]
    fn crop(image: Self, width: u32) -> Self {
        let _ = width;
        image
    }
}

fn main() {
    Image::crop(Image, 1);
}
