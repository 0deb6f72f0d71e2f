//! What stands in for a task with mistakes, so that they are all that the user reads.
//!
//! The handle exists and implements `Task`, so no line that uses it breaks. Types that cannot be part of a
//! task are replaced by an array whose length is a compile error: the compiler reports that once, and then
//! keeps quiet about everything that the type touches. The function is kept where nobody calls it, so that
//! its body is checked and its imports count as used.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::Error;

use crate::args::Args;
use crate::attributes::Attributes;
use crate::expand::{handle, handle_name};
use crate::item::{Function, Param};
use crate::validate;

/// Reports the mistakes and leaves the item as it is.
pub(crate) fn unchanged(item: &impl ToTokens, mistakes: &[Error]) -> TokenStream {
    let mistakes = mistakes.iter().map(Error::to_compile_error);
    quote!(#(#mistakes)* #item)
}

/// Reports the mistakes and writes a stand-in for the task.
pub(crate) fn fallback(function: &Function, args: &Args, mistakes: &[Error]) -> TokenStream {
    // A struct cannot stand in an `impl`, where a method is.
    if validate::is_method(function) {
        return unchanged(function, mistakes);
    }
    let Some((first, rest)) = mistakes.split_first() else { return TokenStream::new() };
    let first = first.to_compile_error();
    let rest = rest.iter().map(Error::to_compile_error);

    let args = &Args { handle: args.handle.clone().filter(|name| *name != function.sig.ident), name: None };
    let function = &without_repetition(function);
    let attributes = Attributes::sort(&function.attrs);
    let Attributes { everywhere, generated, .. } = &attributes;
    let handle_item = handle(function, args, &attributes);
    let name = handle_name(function, args);
    let kept = (!validate::is_wrong_anyway(function)).then_some(function);
    let (beside, inside) = match args.handle {
        Some(_) => (kept, None),
        None => (None, kept),
    };
    let types: Vec<_> = function
        .typed()
        .map(|typed| match (validate::accepts_parameter(function, &typed.ty), Param::of(&typed.ty)) {
            (true, Param::Owned(ty)) => quote!(#ty),
            (true, Param::Lent(ty)) => quote!(&'a #ty),
            (false, _) => quote!(__PoolMistake),
        })
        .collect();
    let output = match validate::accepts_output(function) {
        true => function.output().to_token_stream(),
        false => quote!(__PoolMistake),
    };
    let arguments = match types.len() <= validate::MOST_PARAMETERS {
        true => quote!((#(#types,)*)),
        false => quote!(__PoolMistake),
    };
    quote! {
        #beside
        #handle_item
        #(#everywhere)*
        #(#generated)*
        #[allow(dead_code, non_local_definitions)]
        const _: () = {
            const __POOL_MISTAKE: usize = #first;
            type __PoolMistake = [(); __POOL_MISTAKE];
            #(#rest)*
            #inside
            impl ::core::ops::Deref for #name {
                type Target = for<'a> fn(#(#types),*) -> #output;
                fn deref(&self) -> &Self::Target {
                    loop {}
                }
            }
            impl ::pool::__private::Task for #name {
                type Args<'a> = #arguments;
                type Output = #output;
                const NAME: &'static ::core::primitive::str = "";
                fn encode(
                    _: &Self::Args<'_>,
                    _: &mut ::pool::__private::Writer<'_>,
                ) -> ::core::result::Result<(), ::pool::__private::CodecError> {
                    loop {}
                }
                fn decode(
                    _: &mut ::pool::__private::Reader<'_>,
                ) -> ::core::result::Result<Self::Output, ::pool::__private::CodecError> {
                    loop {}
                }
            }
        };
    }
}

/// The function without a second `#[pool_task]`, which would make a second handle.
fn without_repetition(function: &Function) -> Function {
    let mut function = function.clone();
    function.attrs.retain(|attr| !validate::is_repetition(attr));
    function
}
