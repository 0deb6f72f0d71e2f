//! What `#[pool_task]` writes. Nothing here can fail: [`validate`](crate::validate) has seen the function.
//!
//! For `fn square(x: u64) -> u64` that is
//!
//! ```text
//! struct square;                        the handle, with the user's documentation
//! impl Deref for square { .. }          holds the function itself, and makes `square(3)` a plain call
//! impl Task for square { .. }           what the caller's side of the pool needs
//! const _: () = { .. };                 what the worker runs, and its entry in the registry
//! ```
//!
//! Generated code names only `::pool::__private` and std. Its own names begin with `__pool`, because a
//! plain one would be a pattern if the user has a task of that name.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::Type;
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use crate::args::Args;
use crate::attributes::Attributes;
use crate::item::{Function, Param};
use crate::signature;

/// Writes the items of a task.
pub(crate) fn expand(function: &Function, args: &Args) -> TokenStream {
    let attributes = Attributes::sort(&function.attrs);
    let original = args.handle.is_some().then_some(function);
    let handle = handle(function, args, &attributes);
    let deref = deref(function, args, &attributes);
    let task = task(function, args, &attributes);
    let registration = registration(function, args, &attributes);
    quote!(#original #handle #deref #task #registration)
}

/// The name of the unit struct.
pub(crate) fn handle_name<'f>(function: &'f Function, args: &'f Args) -> &'f Ident {
    args.handle.as_ref().unwrap_or(&function.sig.ident)
}

/// The unit struct that stands for the task.
pub(crate) fn handle(function: &Function, args: &Args, attributes: &Attributes) -> TokenStream {
    let Attributes { everywhere, handle: attrs, documented, .. } = attributes;
    let name = handle_name(function, args);
    let vis = &function.vis;
    let separator = documented.then(|| quote!(#[doc = ""]));
    let signature = format!("Task: `{}`", signature::declared(function));
    quote! {
        #(#everywhere)*
        #(#attrs)*
        #separator
        #[doc = #signature]
        #[allow(non_camel_case_types)]
        #[derive(::core::clone::Clone, ::core::marker::Copy, ::core::fmt::Debug)]
        #vis struct #name;
    }
}

/// Makes the handle callable. The function keeps its own name inside, so that it can call itself and
/// have locals of that name.
fn deref(function: &Function, args: &Args, attributes: &Attributes) -> TokenStream {
    let Attributes { everywhere, function: attrs, generated, .. } = attributes;
    let Function { sig, body, .. } = function;
    let handle = handle_name(function, args);
    let name = &sig.ident;
    let inner = args.handle.is_none().then(|| quote!(#(#attrs)* #sig #body));
    let types = function.typed().map(|typed| &typed.ty);
    let output = &sig.output;
    quote! {
        #(#everywhere)*
        #(#generated)*
        impl ::core::ops::Deref for #handle {
            type Target = fn(#(#types),*) #output;

            #[inline]
            fn deref(&self) -> &Self::Target {
                #inner
                &(#name as Self::Target)
            }
        }
    }
}

/// The caller's side: what travels, and under which name.
fn task(function: &Function, args: &Args, attributes: &Attributes) -> TokenStream {
    let Attributes { everywhere, generated, .. } = attributes;
    let handle = handle_name(function, args);
    let name = registered_name(function, args);
    let params = function.params();
    let arguments = arguments(&params);
    let types = params.iter().map(|param| match param {
        Param::Owned(ty) => ty.to_token_stream(),
        Param::Lent(ty) => quote!(&'a #ty),
    });
    let output = function.output();
    let writes = params.iter().zip(&arguments).map(|(param, argument)| {
        let (ty, call, way) = crossing(param);
        quote_spanned!(at(ty)=> #call::write(#argument, __pool_out, #way)?;)
    });
    let (read, way) = crossing_of_value(&output);
    let read = quote_spanned!(at(&output)=> #read::read(__pool_input, #way));
    let ways = ways();
    quote! {
        #(#everywhere)*
        #(#generated)*
        #[automatically_derived]
        impl ::pool::__private::Task for #handle {
            type Args<'a> = (#(#types,)*);
            type Output = #output;
            const NAME: &'static ::core::primitive::str = #name;

            #[inline]
            fn encode(
                __pool_arguments: &Self::Args<'_>,
                __pool_out: &mut ::pool::__private::Writer<'_>,
            ) -> ::core::result::Result<(), ::pool::__private::CodecError> {
                #ways
                let (#(#arguments,)*) = __pool_arguments;
                #(#writes)*
                ::core::result::Result::Ok(())
            }

            #[inline]
            fn decode(
                __pool_input: &mut ::pool::__private::Reader<'_>,
            ) -> ::core::result::Result<Self::Output, ::pool::__private::CodecError> {
                #ways
                #read
            }
        }
    }
}

/// The worker's side: decode, call, encode; and the entry by which the worker finds it.
fn registration(function: &Function, args: &Args, attributes: &Attributes) -> TokenStream {
    let Attributes { everywhere, generated, .. } = attributes;
    let handle = handle_name(function, args);
    let signature = signature::of_types(function);
    let params = function.params();
    let arguments = arguments(&params);
    let reads = params.iter().zip(&arguments).map(|(param, argument)| {
        let (ty, call, way) = crossing(param);
        quote_spanned!(at(ty)=> let #argument = #call::read(__pool_call.input(), #way)?;)
    });
    let passed = params.iter().zip(&arguments).map(|(param, argument)| match param {
        Param::Owned(_) => argument.to_token_stream(),
        Param::Lent(_) => quote!(&*#argument),
    });
    let output = function.output();
    let (write, way) = crossing_of_value(&output);
    let write = quote_spanned!(at(&output)=> #write::write(&__pool_output, __pool_call.end(), #way));
    let ways = ways();
    quote! {
        #(#everywhere)*
        #(#generated)*
        const _: () = {
            fn __pool_run(
                __pool_call: &mut ::pool::__private::Call<'_, '_>,
            ) -> ::core::result::Result<(), ::pool::__private::CodecError> {
                #ways
                #(#reads)*
                __pool_call.input().finish()?;
                __pool_call.begin();
                let __pool_output: #output = (*#handle)(#(#passed),*);
                #write?;
                __pool_call.drop_rest(|| {
                    use ::pool::__private::{
                        DebuggedComplaint as _, DisplayedComplaint as _, MuteComplaint as _, NoComplaint as _,
                    };
                    (&&&&::pool::__private::Outcome(&__pool_output)).complaint()
                });
                ::core::result::Result::Ok(())
            }

            #[::pool::__private::linkme::distributed_slice(::pool::__private::TASKS)]
            #[linkme(crate = ::pool::__private::linkme)]
            static __POOL_ENTRY: ::pool::__private::Entry = ::pool::__private::Entry::new(
                <#handle as ::pool::__private::Task>::NAME,
                #signature,
                __pool_run,
            );
        };
    }
}

/// Module path and function name, unless the user fixed it.
fn registered_name(function: &Function, args: &Args) -> TokenStream {
    let name = function.sig.ident.unraw().to_string();
    match &args.name {
        Some(name) => name.to_token_stream(),
        None => quote!(::core::concat!(::core::module_path!(), "::", #name)),
    }
}

fn arguments(params: &[Param]) -> Vec<Ident> {
    (0..params.len()).map(|index| format_ident!("__pool_{index}")).collect()
}

/// The type of a parameter, the trait that brings it across, as the start of a path, and the way.
fn crossing(param: &Param) -> (&Type, TokenStream, TokenStream) {
    match param {
        Param::Owned(ty) => {
            let (call, way) = crossing_of_value(ty);
            (ty, call, way)
        }
        Param::Lent(ty) => (ty, quote_spanned!(at(ty)=> <#ty as ::pool::__private::Lends<_>>), way(ty)),
    }
}

fn crossing_of_value(ty: &Type) -> (TokenStream, TokenStream) {
    (quote_spanned!(at(ty)=> <#ty as ::pool::__private::Crosses<_>>), way(ty))
}

/// Which way a type goes. How many references there are decides in which order the methods are found.
fn way(ty: &Type) -> TokenStream {
    quote_spanned!(at(ty)=> (&&&::pool::__private::Crossing::<#ty>::HERE).way())
}

/// What [`way`] needs in scope.
fn ways() -> TokenStream {
    quote!(
        use ::pool::__private::{GoesAsBytes as _, GoesInBulk as _, GoesInFormat as _};
    )
}

/// Where the compiler shall report that a type cannot be sent: at the type, but as generated code.
fn at(ty: &Type) -> Span {
    Span::call_site().located_at(ty.span())
}
