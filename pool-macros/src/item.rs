//! Our model of the function under the attribute.
//!
//! The body stays a token tree: nothing here reads it, so syntax that `syn` does not know yet is fine there.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, FnArg, GenericArgument, Lifetime, PatType, PathArguments, ReturnType, Signature, Type,
    TypeReference, Visibility, token,
};

/// A function with a body, as the user wrote it.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: Group,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> Result<Self, Error> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        let sig = input.parse()?;
        if !input.peek(token::Brace) {
            return Err(input.error("expected a function body"));
        }
        let body = input.parse()?;
        match input.is_empty() {
            true => Ok(Self { attrs, vis, sig, body }),
            false => Err(input.error("expected the end of the function")),
        }
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { attrs, vis, sig, body } = self;
        tokens.extend(quote!(#(#attrs)* #vis #sig #body));
    }
}

/// One parameter: what travels for it, and how the function gets it.
#[derive(Clone)]
pub(crate) enum Param {
    /// `T`: the worker owns what it decodes.
    Owned(Type),
    /// `&T`: the caller keeps the value, and the worker lends its own to the function.
    Lent(Type),
}

impl Param {
    pub(crate) fn of(ty: &Type) -> Self {
        match bare(ty) {
            Type::Reference(reference) => Param::Lent((*reference.elem).clone()),
            ty => Param::Owned(ty.clone()),
        }
    }
}

impl Function {
    /// The parameters that have a type, which are all of a function without `self`.
    pub(crate) fn typed(&self) -> impl Iterator<Item = &PatType> {
        self.sig.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(typed) => Some(typed),
            FnArg::Receiver(_) => None,
        })
    }

    pub(crate) fn params(&self) -> Vec<Param> {
        self.typed().map(|typed| Param::of(&typed.ty)).collect()
    }

    /// What the function returns; `()` if it does not say.
    pub(crate) fn output(&self) -> Type {
        match &self.sig.output {
            ReturnType::Type(_, ty) => bare(ty).clone(),
            ReturnType::Default => Type::Tuple(syn::TypeTuple {
                attrs: Vec::new(),
                paren_token: token::Paren::default(),
                elems: Punctuated::new(),
            }),
        }
    }
}

/// The type without parentheses and invisible groups around it.
pub(crate) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        ty => ty,
    }
}

/// Something inside a type that a rule may object to.
pub(crate) enum Part<'t> {
    Reference(&'t TypeReference),
    Lifetime(&'t Lifetime),
    ImplTrait(Span),
    Infer(Span),
    SelfType(Span),
}

/// Visits the parts of a type, outermost first. What stands behind `dyn` and in function pointers has
/// lifetimes of its own, so it is left out.
pub(crate) fn visit<'t>(ty: &'t Type, see: &mut dyn FnMut(Part<'t>)) {
    match ty {
        Type::Array(array) => visit(&array.elem, see),
        Type::Group(group) => visit(&group.elem, see),
        Type::Paren(paren) => visit(&paren.elem, see),
        Type::Ptr(pointer) => visit(&pointer.elem, see),
        Type::Slice(slice) => visit(&slice.elem, see),
        Type::Tuple(tuple) => tuple.elems.iter().for_each(|ty| visit(ty, see)),
        Type::ImplTrait(ty) => see(Part::ImplTrait(ty.impl_token.span)),
        Type::Infer(ty) => see(Part::Infer(ty.span())),
        Type::Reference(reference) => {
            see(Part::Reference(reference));
            visit(&reference.elem, see);
        }
        Type::Path(path) => {
            if let Some(qself) = &path.qself {
                visit(&qself.ty, see);
            }
            if let Some(first) = path.path.segments.first().filter(|first| first.ident == "Self") {
                see(Part::SelfType(first.ident.span()));
            }
            for segment in &path.path.segments {
                if let PathArguments::AngleBracketed(arguments) = &segment.arguments {
                    for argument in &arguments.args {
                        match argument {
                            GenericArgument::Lifetime(lifetime) => see(Part::Lifetime(lifetime)),
                            GenericArgument::Type(ty) => visit(ty, see),
                            GenericArgument::AssocType(assoc) => visit(&assoc.ty, see),
                            _ => {}
                        }
                    }
                }
            }
        }
        _ => {}
    }
}

/// Reads what stands under the attribute.
pub(crate) fn parse(tokens: TokenStream) -> Result<Function, Error> {
    syn::parse2(tokens.clone()).map_err(|error| explain(tokens, error))
}

/// What to say of an item that is no function with a body; `error` if it is something unforeseen.
fn explain(tokens: TokenStream, error: Error) -> Error {
    const OTHERS: [&str; 10] =
        ["struct", "enum", "union", "impl", "mod", "trait", "type", "static", "use", "macro_rules"];
    // The keyword that decides stands before any body, `:`, `=` or `;`.
    for token in skip_attributes(tokens) {
        match token {
            TokenTree::Ident(word) if word == "fn" => {
                return match error.to_string().as_str() {
                    "expected a function body" => Error::new(
                        error.span(),
                        "a task is a free function with a body; \
                         write the body, outside of any `trait` or `extern` block",
                    ),
                    _ => error,
                };
            }
            TokenTree::Ident(word) if OTHERS.iter().any(|other| word == other) => {
                let advice = match word.to_string().as_str() {
                    "impl" | "mod" | "trait" => "put `#[pool_task]` on each free function by itself",
                    _ => "put `#[pool_task]` on a function",
                };
                return Error::new(
                    word.span(),
                    format!("only a free function can be a task, and this is `{word}`; {advice}"),
                );
            }
            TokenTree::Punct(punct) if matches!(punct.as_char(), ':' | '=' | ';') => break,
            _ => {}
        }
    }
    Error::new(error.span(), "only a free function can be a task; put `#[pool_task]` on a function")
}

fn skip_attributes(tokens: TokenStream) -> impl Iterator<Item = TokenTree> {
    let mut tokens = tokens.into_iter().peekable();
    while tokens.next_if(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == '#')).is_some()
    {
        tokens.next();
    }
    tokens
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn refusal(tokens: TokenStream) -> String {
        parse(tokens).err().expect("this is no function").to_string()
    }

    #[test]
    fn items_that_are_no_functions_are_called_by_their_keyword() {
        assert_eq!(
            refusal(quote!(
                #[doc = "fn"]
                pub struct S;
            )),
            "only a free function can be a task, and this is `struct`; put `#[pool_task]` on a function"
        );
        assert!(
            refusal(quote!(
                pub(crate) unsafe impl T for S {}
            ))
            .contains("`impl`; put `#[pool_task]` on each")
        );
        assert!(
            refusal(quote!(
                const F: fn() = f;
            ))
            .starts_with("only a free function can be a task; ")
        );
    }

    #[test]
    fn functions_without_a_body_are_told_to_have_one() {
        assert!(
            refusal(quote!(
                fn f(x: u64) -> u64;
            ))
            .starts_with("a task is a free function with a body; ")
        );
    }

    #[test]
    fn references_are_lent_also_within_parentheses() {
        let ty: Type = syn::parse_quote!((&(str)));
        assert!(matches!(Param::of(&ty), Param::Lent(_)));
        let ty: Type = syn::parse_quote!((u8, u8));
        assert!(matches!(Param::of(&ty), Param::Owned(_)));
    }

    #[test]
    fn every_part_of_a_type_is_visited() {
        let ty: Type = syn::parse_quote!(&[Option<Box<(&str, Cow<'a, _>, Self)>>]);
        let mut seen = Vec::new();
        visit(&ty, &mut |part| {
            seen.push(match part {
                Part::Reference(_) => "reference",
                Part::Lifetime(_) => "lifetime",
                Part::ImplTrait(_) => "impl",
                Part::Infer(_) => "infer",
                Part::SelfType(_) => "self",
            });
        });
        assert_eq!(seen, ["reference", "reference", "lifetime", "infer", "self"]);
    }
}
