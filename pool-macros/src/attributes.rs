//! Which of the user's attributes goes where.
//!
//! A task becomes several items, and each attribute belongs to some of them: documentation to the handle,
//! `#[inline]` to the function, `#[cfg]` to all. `#[cfg_attr]` is taken apart, because it may hold any of
//! these.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::{Attribute, Meta};

/// The attributes of one function, by the item that they are repeated on.
#[derive(Default)]
pub(crate) struct Attributes {
    /// For every item: whether it exists at all.
    pub(crate) everywhere: Vec<TokenStream>,
    /// For the handle: what readers and users of the name shall see.
    pub(crate) handle: Vec<TokenStream>,
    /// For the function: how it is compiled and linted, and attributes of other crates.
    pub(crate) function: Vec<TokenStream>,
    /// For the generated impls, which repeat the types of the signature.
    pub(crate) generated: Vec<TokenStream>,
    /// Whether the handle has documentation of the user's.
    pub(crate) documented: bool,
}

impl Attributes {
    pub(crate) fn sort(attributes: &[Attribute]) -> Self {
        let mut sorted = Self::default();
        for attribute in attributes {
            let meta = &attribute.meta;
            match meta {
                Meta::List(list) if list.path.is_ident("cfg_attr") => {
                    let mut parts = split(list.tokens.clone()).into_iter();
                    let predicate = parts.next().unwrap_or_default();
                    parts.for_each(|part| sorted.add(&part, &|meta| quote!(#[cfg_attr(#predicate, #meta)])));
                }
                _ => sorted.add(&quote!(#meta), &|meta| quote!(#[#meta])),
            }
        }
        sorted
    }

    /// Adds one attribute, which `wrap` makes of what stands inside the brackets.
    fn add(&mut self, meta: &TokenStream, wrap: &dyn Fn(&TokenStream) -> TokenStream) {
        let attribute = wrap(meta);
        match first_word(meta).as_str() {
            "cfg" => self.everywhere.push(attribute),
            "doc" => {
                self.documented = true;
                self.handle.push(attribute);
            }
            "deprecated" => {
                self.handle.push(attribute);
                self.generated.push(wrap(&quote!(allow(deprecated))));
            }
            "allow" => {
                self.handle.push(attribute.clone());
                self.generated.push(attribute.clone());
                self.function.push(attribute);
            }
            // Expected of the function only, but the other items repeat what may cause the lint.
            "expect" => {
                let lints: TokenStream = meta.clone().into_iter().skip(1).collect();
                let allow = wrap(&quote!(allow #lints));
                self.handle.push(allow.clone());
                self.generated.push(allow);
                self.function.push(attribute);
            }
            _ => self.function.push(attribute),
        }
    }
}

/// Cuts tokens at their commas.
fn split(tokens: TokenStream) -> Vec<TokenStream> {
    let mut parts = vec![TokenStream::new()];
    for token in tokens {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => parts.push(TokenStream::new()),
            _ => parts.last_mut().expect("there is always a part").extend([token]),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn first_word(meta: &TokenStream) -> String {
    meta.clone().into_iter().next().map(|token| token.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn texts(attributes: &[TokenStream]) -> Vec<String> {
        attributes.iter().map(|attribute| attribute.to_string().replace(' ', "")).collect()
    }

    #[test]
    fn attributes_go_to_the_items_they_are_about() {
        let attributes: Vec<Attribute> = vec![
            parse_quote!(#[doc = "text"]),
            parse_quote!(#[inline]),
            parse_quote!(#[cfg(unix)]),
            parse_quote!(#[expect(unused, reason = "x")]),
        ];
        let sorted = Attributes::sort(&attributes);
        assert_eq!(texts(&sorted.everywhere), ["#[cfg(unix)]"]);
        assert_eq!(texts(&sorted.handle), ["#[doc=\"text\"]", "#[allow(unused,reason=\"x\")]"]);
        assert_eq!(texts(&sorted.function), ["#[inline]", "#[expect(unused,reason=\"x\")]"]);
        assert!(sorted.documented);
    }

    #[test]
    fn cfg_attr_is_taken_apart() {
        let attributes: Vec<Attribute> =
            vec![parse_quote!(#[cfg_attr(any(unix, test), doc = "text", inline)])];
        let sorted = Attributes::sort(&attributes);
        assert_eq!(texts(&sorted.handle), ["#[cfg_attr(any(unix,test),doc=\"text\")]"]);
        assert_eq!(texts(&sorted.function), ["#[cfg_attr(any(unix,test),inline)]"]);
    }
}
