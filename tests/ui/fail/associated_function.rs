use pool::pool_task;

struct Image;

impl Image {
    #[pool_task]
    fn size(width: u32) -> u32 {
        width
    }
}

fn main() {}
