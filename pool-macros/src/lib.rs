//! The attributes.

mod args;
mod attributes;
mod expand;
mod fallback;
mod item;
mod main_function;
mod signature;
mod validate;

use proc_macro::TokenStream;

/// Makes a function a task.
#[proc_macro_attribute]
pub fn pool_task(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut mistakes = Vec::new();
    let args = args::Args::parse(args.into(), &mut mistakes);
    let item = proc_macro2::TokenStream::from(item);
    let function = match item::parse(item.clone()) {
        Ok(function) => function,
        Err(mistake) => {
            mistakes.push(mistake);
            return fallback::unchanged(&item, &mistakes).into();
        }
    };
    mistakes.extend(validate::check(&function, &args));
    match mistakes.is_empty() {
        true => expand::expand(&function, &args),
        false => fallback::fallback(&function, &args, &mistakes),
    }
    .into()
}

/// Lets workers begin at the top of `main`.
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    main_function::expand(&args.into(), item.into()).into()
}
