//! Names of the user's do not reach the generated code.

#[allow(dead_code, unused_macros, non_camel_case_types)]
mod inner {
    type Result = ();
    struct Ok;
    struct Vec;
    struct Clone;
    mod core {}
    mod std {}
    mod pool {}
    type u64 = ();
    macro_rules! concat {
        () => {};
    }
    trait Deref {
        fn deref(&self) {}
        fn encode(&self) {}
    }
    impl<T> Deref for T {}

    #[::pool::pool_task]
    pub fn square(x: u32, y: &str) -> u32 {
        x * x + y.len() as u32
    }
}

fn main() {
    assert_eq!(inner::square(3, "a"), 10);
    assert_eq!(pool::Pool::new().unwrap().apply(inner::square, (3, "a")).unwrap(), 10);
}
