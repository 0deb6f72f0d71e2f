use pool::pool_task;

struct Image;

impl Image {
    #[pool_task]
    fn width(&self) -> u32 {
        640
    }
}

fn main() {
    Image.width();
}
