//! The options between the parentheses of `#[pool_task(..)]`.
//!
//! Parsing never gives up: what is wrong becomes a mistake in the list and the option counts as not given,
//! so that the function itself is still checked.

use proc_macro2::TokenStream;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Error, Expr, ExprLit, Ident, Lit, LitStr, Meta, MetaNameValue, Path, Token};

/// What a mistake says about the options that there are.
const KNOWN: &str = "the options are `handle = Name` and `name = \"..\"`";

/// The options of one task.
#[derive(Default)]
pub(crate) struct Args {
    /// Name of the unit struct, if the function is to keep its own.
    pub(crate) handle: Option<Ident>,
    /// The registered name, if it is not to be module path and function name.
    pub(crate) name: Option<LitStr>,
}

impl Args {
    /// Reads the options; what is wrong with them is added to `mistakes`.
    pub(crate) fn parse(tokens: TokenStream, mistakes: &mut Vec<Error>) -> Self {
        let mut args = Self::default();
        match Punctuated::<Meta, Token![,]>::parse_terminated.parse2(tokens) {
            Ok(options) => options.into_iter().for_each(|option| {
                if let Err(mistake) = args.set(option) {
                    mistakes.push(mistake);
                }
            }),
            Err(error) => mistakes.push(Error::new(error.span(), format!("this is not an option; {KNOWN}"))),
        }
        args
    }

    fn set(&mut self, option: Meta) -> Result<(), Error> {
        if option.path().is_ident("handle") {
            let name = handle(&option)?;
            set_once(&mut self.handle, name, option.path())
        } else if option.path().is_ident("name") {
            let name = registered_name(&option)?;
            set_once(&mut self.name, name, option.path())
        } else {
            let path = path_text(option.path());
            Err(Error::new_spanned(option.path(), format!("there is no option `{path}`; {KNOWN}")))
        }
    }
}

/// `handle = Name`
fn handle(option: &Meta) -> Result<Ident, Error> {
    match option {
        Meta::NameValue(MetaNameValue { value: Expr::Path(value), .. })
            if value.path.get_ident().is_some() =>
        {
            value.path.require_ident().cloned()
        }
        Meta::NameValue(MetaNameValue { value: Expr::Lit(ExprLit { lit: Lit::Str(text), .. }), .. }) => {
            Err(Error::new_spanned(
                text,
                format!("the handle is a name, not a string; write `handle = {}`", text.value()),
            ))
        }
        Meta::NameValue(MetaNameValue { value, .. }) => Err(Error::new_spanned(
            value,
            "the handle is the name of a struct to be made; write `handle = Name`",
        )),
        _ => Err(Error::new_spanned(option, "`handle` needs a name; write `handle = Name`")),
    }
}

/// `name = ".."`
fn registered_name(option: &Meta) -> Result<LitStr, Error> {
    match option {
        Meta::NameValue(MetaNameValue { value: Expr::Lit(ExprLit { lit: Lit::Str(text), .. }), .. }) => {
            match text.value().is_empty() {
                true => Err(Error::new_spanned(
                    text,
                    "the registered name is empty; write a name that no other task has",
                )),
                false => Ok(text.clone()),
            }
        }
        Meta::NameValue(MetaNameValue { value, .. }) => {
            Err(Error::new_spanned(value, "the registered name is a string literal; write `name = \"..\"`"))
        }
        _ => Err(Error::new_spanned(option, "`name` needs a string; write `name = \"..\"`")),
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T, option: &Path) -> Result<(), Error> {
    match slot {
        Some(_) => Err(Error::new_spanned(
            option,
            format!("`{}` is given twice; remove one of the two", path_text(option)),
        )),
        None => {
            *slot = Some(value);
            Ok(())
        }
    }
}

fn path_text(path: &Path) -> String {
    let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    segments.join("::")
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn parse(tokens: TokenStream) -> (Args, Vec<String>) {
        let mut mistakes = Vec::new();
        let args = Args::parse(tokens, &mut mistakes);
        (args, mistakes.iter().map(Error::to_string).collect())
    }

    #[test]
    fn both_options_are_read_in_any_order_with_a_trailing_comma() {
        let (args, mistakes) = parse(quote!(name = "a.b", handle = Square,));
        assert_eq!(args.handle.unwrap(), "Square");
        assert_eq!(args.name.unwrap().value(), "a.b");
        assert_eq!(mistakes, [""; 0]);
    }

    #[test]
    fn every_wrong_option_is_reported_and_the_right_ones_are_kept() {
        let (args, mistakes) = parse(quote!(timeout = 3, handle, name = "", handle = A, handle = B, name(x)));
        assert_eq!(args.handle.unwrap(), "A");
        assert!(args.name.is_none());
        assert_eq!(mistakes.len(), 5, "{mistakes:?}");
        assert!(mistakes[0].contains("`timeout`") && mistakes[0].contains(KNOWN));
    }

    #[test]
    fn what_is_no_option_at_all_lists_the_options() {
        let (_, mistakes) = parse(quote!("square"));
        assert_eq!(mistakes, [format!("this is not an option; {KNOWN}")]);
    }
}
