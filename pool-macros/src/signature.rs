//! The text of a signature: for readers of the documentation, and for the fingerprint of the registry.
//!
//! Both sides of a pool compare the text of the types, so it must not depend on how the source is laid out:
//! it is printed from the tokens, with spaces where rustfmt has them.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Pat, ReturnType};

use crate::item::Function;

/// `fn(u64, &str) -> u64`: the types alone.
pub(crate) fn of_types(function: &Function) -> String {
    let types: Vec<_> = function.typed().map(|typed| text(&typed.ty)).collect();
    format!("fn({}){}", types.join(", "), returns(function))
}

/// `fn count(text: &str, word: &str) -> usize`: as the function is declared.
pub(crate) fn declared(function: &Function) -> String {
    let params: Vec<_> = function
        .typed()
        .map(|typed| match &*typed.pat {
            Pat::Ident(pat) => format!("{}: {}", pat.ident, text(&typed.ty)),
            pat => format!("{}: {}", text(pat), text(&typed.ty)),
        })
        .collect();
    format!("fn {}({}){}", function.sig.ident.unraw(), params.join(", "), returns(function))
}

fn returns(function: &Function) -> String {
    match &function.sig.output {
        ReturnType::Default => String::new(),
        ReturnType::Type(_, ty) => format!(" -> {}", text(ty)),
    }
}

/// The tokens as text, spaced as rustfmt would.
pub(crate) fn text(tokens: &impl ToTokens) -> String {
    let mut words = Vec::new();
    words_of(tokens.to_token_stream(), &mut words);
    let mut text = String::new();
    let mut before = "";
    for word in &words {
        if space_between(before, word) {
            text.push(' ');
        }
        text.push_str(word);
        before = word;
    }
    text
}

/// Flattens tokens; `::`, `->`, `..` and lifetimes become one word each.
fn words_of(tokens: TokenStream, words: &mut Vec<String>) {
    let mut glue = false;
    for token in tokens {
        let mut next_glue = false;
        let word = match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::None => ("", ""),
                };
                words.push(open.to_owned());
                words_of(group.stream(), words);
                close.to_owned()
            }
            TokenTree::Punct(punct) => {
                let joint = punct.spacing() == Spacing::Joint;
                next_glue = joint && matches!(punct.as_char(), ':' | '-' | '.' | '\'');
                punct.as_char().to_string()
            }
            token => token.to_string(),
        };
        match words.last_mut().filter(|_| glue) {
            Some(last) => last.push_str(&word),
            None => words.push(word),
        }
        glue = next_glue;
    }
    words.retain(|word| !word.is_empty());
}

fn space_between(before: &str, after: &str) -> bool {
    let binary = |word: &str| matches!(word, "->" | "=" | "+" | "-" | "/" | "|" | "^" | "%");
    let wordy = |word: &str| word.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '\'' | '"'));
    match (before, after) {
        _ if before.is_empty() => false,
        _ if binary(before) || binary(after) => true,
        (_, "," | ";" | ":" | ")" | "]" | "}" | ">" | "<" | "::") => false,
        ("," | ";" | ":", _) => true,
        (">" | ")", after) => wordy(after),
        (before, "[" | "&" | "*") => wordy(before) && before != "dyn",
        (before, after) => wordy(before) && wordy(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types_of(source: &str) -> String {
        of_types(&syn::parse_str(source).unwrap())
    }

    #[test]
    fn types_are_spaced_as_in_formatted_source() {
        for ty in [
            "u64",
            "&str",
            "()",
            "(&[u8], Vec<Option<f64>>)",
            "Result<(), std::collections::HashMap<String, [u8; N]>>",
            "Cow<'static, str>",
            "Box<dyn Fn(u8, &u8) -> u8 + Send>",
            "<Vec<u8> as IntoIterator>::Item",
            "A<3, Item = u8>",
            "&(dyn Send + Sync)",
        ] {
            let function = format!("fn f(a: {ty}, b: {ty}) -> {ty} {{}}");
            assert_eq!(types_of(&function), format!("fn({ty}, {ty}) -> {ty}"));
        }
    }

    #[test]
    fn layout_of_the_source_does_not_matter() {
        assert_eq!(types_of("fn f(mut a :Vec< u8 > ,b:& str,)->  u8{}"), "fn(Vec<u8>, &str) -> u8");
    }

    #[test]
    fn declaration_has_the_names() {
        let function = syn::parse_str("pub fn count(mut text: &str, _: u8) -> usize { 0 }").unwrap();
        assert_eq!(declared(&function), "fn count(text: &str, _: u8) -> usize");
    }
}
