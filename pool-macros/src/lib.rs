//! The attributes of the `pool` crate, which re-exports them; depend on that crate, not on this one.
//!
//! The files in the order in which they are used: `args` reads the options, `item` the function, `validate`
//! says what is wrong with them; then `expand` writes the task, or `fallback` a stand-in for it.
//! `attributes` and `signature` help both of these to write. `main_function` is `#[pool::main]`, start to
//! end.

mod args;
mod attributes;
mod expand;
mod fallback;
mod item;
mod main_function;
mod signature;
mod validate;

use proc_macro::TokenStream;

/// Turns a function into a task, which worker processes can run.
///
/// The function's name becomes a unit struct that implements `Task` and stands for the function wherever a
/// pool wants a task. It dereferences to the plain `fn` pointer, so `square(3)` is still an ordinary call,
/// and `iter.map(*square)` works. The linker collects all tasks of the program; there is nothing to
/// register or to initialize.
///
/// # Parameters and result
///
/// A task has up to twelve parameters. What the caller passes for each, and what the function gets:
///
/// | Parameter | The caller passes | The worker |
/// | --- | --- | --- |
/// | `x: T` | a `T` | decodes a `T`; a plain value, a `Vec` of them or a `String` is copied in one piece |
/// | `x: &str` | a `&str` | borrows the text in place |
/// | `x: &[T]` | a `&[T]` | borrows plain values, such as `f64`, in place; decodes others |
/// | `x: &Path` | a `&Path` | decodes a path and lends it |
/// | `x: &T`, any other `T` | a `&T` | decodes a `T` and lends it |
///
/// The caller keeps what it passes by reference, and clones nothing. `mut x: T` and `_: T` are fine. The
/// result is an owned value. Every `T`, and the result, implements serde's `Serialize` and `Deserialize`
/// and borrows nothing; a type that does not is reported at that type.
///
/// # Plain values
///
/// A value is plain if it is nothing but its bytes, and any bytes would do: what the crate `bytemuck` calls `Pod`. All
/// numbers are, arrays of plain values, and structs that derive it: `#[repr(C)]` and
/// `#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]`. They need not implement serde's traits; if they do, these are
/// not asked, so that a field crosses as well that `#[serde(skip)]` would leave out.
///
/// Plain values travel as their bytes, a slice or a `Vec` of them in one copy: large data should be a parameter, or the
/// result, in one of these forms. Everything else goes through serde, value by value, which takes
/// tens of times as long: tuples, `bool`, and also plain values inside other types, such as a struct with a `Vec<f64>`,
/// or a `Result<Vec<f64>, _>`.
///
/// # Options
///
/// | Option | Meaning |
/// | --- | --- |
/// | `handle = Square` | leaves the function as it is, and names the unit struct `Square` |
/// | `name = "thumb/v2"` | the name under which the task is registered |
///
/// A task is registered under its module path and function name, as in `my_program::images::thumb`. Errors
/// show that name, and workers find the function by it, so no two tasks can share one: the first use of a
/// pool would report `Error::DuplicateTask`. Only tasks of one name in bodies of different functions of a
/// module can collide, because a module path does not tell the functions apart; give one of them a `name`.
///
/// # The name is a pattern
///
/// The name of a unit struct is also a pattern. With a task `count` in scope, `let count = ..`, a parameter
/// `count: usize` or `for count in ..` does not compile: "`count` is interpreted as a unit struct, not a
/// new binding". There are two ways out:
///
/// - Keep the tasks in a module, and call `tasks::count`. Nothing is in scope then, unless a `use` brings it.
/// - Write `#[pool_task(handle = Count)]`. The function keeps its name, and the pool gets `Count`.
///
/// Clippy takes the plain call of a unit struct's name for the making of a value. So where such a call is a statement, and
/// what it returns needs no drop, `clippy::no_effect` warns, though the call is made. `(*log)(text);` says the same
/// and is not mistaken, and neither is a function that kept its name by `handle`.
///
/// Inside the task's own body its name is the plain function, so recursion and locals of that name work. To
/// send the task to a pool from there, name it by its path, such as `self::count`.
///
/// # What is refused
///
/// Each of these is an error at the token to change, and all mistakes of a function are reported at once:
/// type, constant and lifetime parameters, `where` clauses, `self` and `Self`, `&mut`, references inside of
/// other types, types that borrow, `impl Trait`, `_` as a type, patterns, `#[cfg]` on a parameter, `async`,
/// `unsafe`, `extern`, `...`, returned references, `-> !`, a thirteenth parameter, `#[target_feature]`, and
/// anything that is not a free function. `const fn` is fine, but only the function inside is `const`: a
/// handle cannot be called in a constant, so use `handle` for that.
///
/// # Other attributes
///
/// Documentation and `#[deprecated]` go to the unit struct, which also shows the signature; `#[cfg]` goes
/// to everything; all others, such as `#[inline]`, go to the function. `#[must_use]` and `#[track_caller]`
/// have no effect on calls, because these go through a `fn` pointer.
///
/// # Tasks in other crates
///
/// A library can have tasks. But the linker leaves out a dependency that no source line of the program
/// names, and its tasks with it; `use the_library as _;` is enough to keep them.
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

/// Lets workers begin at the top of `main`, instead of before it.
///
/// Most programs do not need it: a worker starts before `main` and never gets there. But then the
/// constructors of C++ libraries that are linked into the program may not have run yet, and parts of Rust's
/// own start-up have not, such as its handler of stack overflows. With this attribute a worker starts as
/// the program does, as far as the first line of `main`, and goes no further: no line of yours in `main`
/// runs in a worker either way.
///
/// `main` stays as it is otherwise, with its result and its attributes. An attribute that makes `main` from
/// an `async fn`, such as `#[tokio::main]`, goes above this one, so that workers begin before the runtime
/// is built.
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    main_function::expand(&args.into(), item.into()).into()
}
