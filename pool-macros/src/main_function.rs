//! `#[pool::main]`: checks and writes a `main` in which workers begin.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Error};

use crate::item::{self, Function};
use crate::validate;

/// Writes `main` with the worker's entry first and tells the constructor that it is there.
pub(crate) fn expand(args: &TokenStream, item: TokenStream) -> TokenStream {
    let function = match item::parse(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = Error::new(error.span(), "`#[pool::main]` goes on `fn main`; mark that function")
                .to_compile_error();
            return quote!(#error #item);
        }
    };
    let mistakes = check(args, &function);
    match mistakes.is_empty() {
        true => with_entry(&function),
        false => stand_in(&function, &mistakes),
    }
}

fn check(args: &TokenStream, function: &Function) -> Vec<Error> {
    let mut mistakes = Vec::new();
    let sig = &function.sig;
    if !args.is_empty() {
        mistakes.push(Error::new_spanned(args, "`#[pool::main]` has no options; leave out the parentheses"));
    }
    if sig.ident != "main" {
        mistakes.push(Error::new(
            sig.ident.span(),
            "`#[pool::main]` marks where the program starts; put it on `fn main`",
        ));
    }
    if let Some(token) = sig.asyncness {
        mistakes.push(Error::new(
            token.span,
            "a `main` in which workers begin cannot be `async`; \
             write `#[tokio::main]` or the like above `#[pool::main]`, or remove `async`",
        ));
    }
    if !sig.inputs.is_empty() {
        mistakes.push(Error::new_spanned(&sig.inputs, "`main` has no parameters; remove them"));
    }
    if !sig.generics.params.is_empty() {
        mistakes.push(Error::new_spanned(&sig.generics, "`main` cannot be generic; remove the parameters"));
    }
    mistakes
}

fn with_entry(function: &Function) -> TokenStream {
    let Function { attrs, vis, sig, body } = function;
    let parse_body = |input: ParseStream<'_>| Ok((input.call(Attribute::parse_inner)?, input.parse()?));
    let (inner, statements): (Vec<Attribute>, TokenStream) =
        parse_body.parse2(body.stream()).unwrap_or_else(|_| (Vec::new(), body.stream()));
    let entry = quote!(::pool::__private::enter_main(););
    let block = proc_macro2::Group::new(body.delimiter(), quote!(#(#inner)* #entry #statements));
    quote! {
        #(#attrs)* #vis #sig #block

        // Under the test harness, this is not where the program starts.
        #[cfg(not(test))]
        const _: () = {
            #[::pool::__private::linkme::distributed_slice(::pool::__private::MAINS)]
            #[linkme(crate = ::pool::__private::linkme)]
            static __POOL_MAIN: &::core::primitive::str = ::core::module_path!();
        };
    }
}

/// Reports the mistakes; a program without a `main` would be told that, too.
fn stand_in(function: &Function, mistakes: &[Error]) -> TokenStream {
    let mistakes = mistakes.iter().map(Error::to_compile_error);
    if function.sig.ident != "main" {
        return quote!(#(#mistakes)* #function);
    }
    let kept = (!validate::is_method(function)).then_some(function);
    quote! {
        fn main() {}
        #(#mistakes)*
        #[allow(dead_code)]
        const _: () = { #kept };
    }
}
