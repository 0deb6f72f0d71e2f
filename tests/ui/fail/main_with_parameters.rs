#[pool::main]
fn main(arguments: Vec<String>) {
    let _ = arguments;
}
