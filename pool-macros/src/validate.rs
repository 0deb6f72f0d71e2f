//! What a task may look like: one rule, one function.
//!
//! Every rule looks at the whole function and adds what it finds, so all mistakes are reported at once. A
//! message says what is wrong and, after a semicolon, what to write; it points at what the user will change.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, GenericParam, Lifetime, Pat, ReturnType, Safety, Type, TypeReference};

use crate::args::Args;
use crate::item::{Function, Part, bare, visit};
use crate::signature;

/// How many parameters a task can have: the largest tuple that implements the traits of the pool.
pub(crate) const MOST_PARAMETERS: usize = 12;

/// Collects what is wrong with the function and its options.
pub(crate) fn check(function: &Function, args: &Args) -> Vec<Error> {
    const RULES: [fn(&Function, &mut Vec<Error>); 13] = [
        one_attribute,
        no_target_feature,
        not_async,
        not_unsafe,
        no_foreign_abi,
        not_generic,
        no_self,
        plain_names,
        unconditional_parameters,
        parameter_types,
        not_variadic,
        few_parameters,
        output_type,
    ];
    let mut mistakes = Vec::new();
    RULES.iter().for_each(|rule| rule(function, &mut mistakes));
    other_name(function, args, &mut mistakes);
    mistakes
}

fn one_attribute(function: &Function, mistakes: &mut Vec<Error>) {
    for attr in function.attrs.iter().filter(|attr| is_repetition(attr)) {
        mistakes
            .push(Error::new_spanned(attr.path(), "`#[pool_task]` is given twice; remove one of the two"));
    }
}

fn no_target_feature(function: &Function, mistakes: &mut Vec<Error>) {
    for attr in &function.attrs {
        if attr.path().is_ident("target_feature") {
            mistakes.push(Error::new_spanned(
                attr.path(),
                "a task cannot have `#[target_feature]`; put it on a function that the task calls",
            ));
        }
    }
}

fn not_async(function: &Function, mistakes: &mut Vec<Error>) {
    if let Some(token) = function.sig.asyncness {
        mistakes.push(Error::new(
            token.span,
            "a task cannot be `async`; remove `async`, or block on the future inside the function",
        ));
    }
}

fn not_unsafe(function: &Function, mistakes: &mut Vec<Error>) {
    if let Safety::Unsafe(token) = function.sig.safety {
        mistakes.push(Error::new(
            token.span,
            "a task cannot be `unsafe`; remove `unsafe`, and use an `unsafe` block inside the function",
        ));
    }
}

fn no_foreign_abi(function: &Function, mistakes: &mut Vec<Error>) {
    if let Some(abi) = &function.sig.abi {
        let abi_text = match &abi.name {
            Some(name) => format!("extern {}", name.token()),
            None => "extern".to_owned(),
        };
        mistakes.push(Error::new_spanned(
            abi,
            format!("a task cannot have an ABI of its own; remove `{abi_text}`"),
        ));
    }
}

fn not_generic(function: &Function, mistakes: &mut Vec<Error>) {
    for param in &function.sig.generics.params {
        let message = match param {
            GenericParam::Lifetime(_) => {
                "a task cannot have lifetime parameters; leave them out, as in `text: &str`"
            }
            GenericParam::Type(_) => {
                "a task cannot be generic, because workers find it by its name; \
                 name the type, and write one task for each type"
            }
            GenericParam::Const(_) => {
                "a task cannot be generic, because workers find it by its name; \
                 take the constant as a parameter, or write one task for each value"
            }
        };
        mistakes.push(Error::new_spanned(param, message));
    }
    if let Some(clause) = &function.sig.generics.where_clause {
        mistakes.push(Error::new(
            clause.where_token.span,
            "a task cannot have a `where` clause; remove it, as a task has no type parameters",
        ));
    }
}

fn no_self(function: &Function, mistakes: &mut Vec<Error>) {
    if let Some(receiver) = function.sig.receiver() {
        mistakes.push(Error::new(
            receiver.self_token.span,
            "a task cannot be a method; write a free function that takes the value as a parameter",
        ));
    }
}

fn plain_names(function: &Function, mistakes: &mut Vec<Error>) {
    for typed in function.typed() {
        match &*typed.pat {
            Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {}
            Pat::Wild(_) => {}
            pat => mistakes.push(Error::new_spanned(
                pat,
                "a parameter of a task is a plain name; name it, and take it apart inside the function",
            )),
        }
    }
}

fn unconditional_parameters(function: &Function, mistakes: &mut Vec<Error>) {
    for attr in function.sig.inputs.iter().flat_map(attributes) {
        if attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr") {
            mistakes.push(Error::new_spanned(
                attr,
                "a parameter of a task cannot be conditional; put the `#[cfg]` on the function, \
                 and write it once for each case",
            ));
        }
    }
}

fn attributes(input: &FnArg) -> &[Attribute] {
    match input {
        FnArg::Receiver(receiver) => &receiver.attrs,
        FnArg::Typed(typed) => &typed.attrs,
    }
}

fn parameter_types(function: &Function, mistakes: &mut Vec<Error>) {
    function.typed().for_each(|typed| parameter_type(function, &typed.ty, mistakes));
}

fn parameter_type(function: &Function, ty: &Type, mistakes: &mut Vec<Error>) {
    let ty = match bare(ty) {
        Type::Reference(reference) => {
            if let Some(token) = reference.mutability {
                mistakes.push(Error::new(
                    token.span,
                    "a task cannot change its caller's value through `&mut`, \
                     because it runs in another process; \
                     take the value and return the changed one",
                ));
            }
            if let Some(lifetime) =
                reference.lifetime.as_ref().filter(|lifetime| !declared(function, lifetime))
            {
                mistakes.push(Error::new(
                    lifetime.span(),
                    format!("a task borrows its parameters for the time of one call; leave out `{lifetime}`"),
                ));
            }
            if let Type::TraitObject(object) = bare(&reference.elem) {
                mistakes.push(Error::new_spanned(
                    object,
                    "a trait object cannot be sent to another process; take a type that implements the trait",
                ));
            }
            &*reference.elem
        }
        ty => {
            has_no_size(ty, mistakes);
            ty
        }
    };
    visit(ty, &mut |part| match part {
        Part::Reference(reference) => mistakes.push(Error::new(
            reference.and_token.span,
            "only a whole parameter can be a reference; \
             write an owned type here, such as `String` for `&str`",
        )),
        Part::Lifetime(lifetime) if lifetime.ident != "static" && !declared(function, lifetime) => {
            mistakes.push(Error::new(
                lifetime.span(),
                format!(
                    "a parameter's type cannot borrow; \
                     write an owned type, or `'static` for `{lifetime}`"
                ),
            ));
        }
        Part::Lifetime(_) => {}
        part => never(part, mistakes),
    });
}

fn output_type(function: &Function, mistakes: &mut Vec<Error>) {
    let Some(ty) = output(function) else { return };
    match bare(ty) {
        Type::Never(never) => mistakes.push(Error::new(
            never.span(),
            "a task cannot have the type `!`, because its caller waits for a result; leave out `-> !`",
        )),
        ty => has_no_size(ty, mistakes),
    }
    visit(ty, &mut |part| match part {
        Part::Reference(reference) => mistakes.push(Error::new(
            reference.and_token.span,
            "a task cannot return a reference, because its result goes to another process; \
             return an owned value, such as `String` for `&str`",
        )),
        Part::Lifetime(lifetime) if lifetime.ident != "static" && !declared(function, lifetime) => {
            mistakes.push(Error::new(
                lifetime.span(),
                format!(
                    "a task cannot return what borrows; \
                     return an owned type, or write `'static` for `{lifetime}`"
                ),
            ));
        }
        Part::Lifetime(_) => {}
        part => never(part, mistakes),
    });
}

/// Objects to what only a reference can point to, as far as its name shows.
fn has_no_size(ty: &Type, mistakes: &mut Vec<Error>) {
    if let Some(advice) = size_advice(ty) {
        let text = signature::text(ty);
        let message = format!("`{text}` has no size of its own; {advice}, or `&{text}` as a parameter");
        mistakes.push(Error::new_spanned(ty, message));
    }
}

fn size_advice(ty: &Type) -> Option<&'static str> {
    match bare(ty) {
        Type::Slice(_) => Some("write a `Vec`"),
        Type::Path(path) if path.path.is_ident("str") => Some("write `String`"),
        _ => None,
    }
}

/// What no type of a signature may contain.
fn never(part: Part<'_>, mistakes: &mut Vec<Error>) {
    let (span, message): (Span, _) = match part {
        Part::ImplTrait(span) => (span, "a task cannot use `impl Trait`; name the type"),
        Part::Infer(span) => (span, "a task's types are not inferred; name the type"),
        Part::SelfType(span) => (span, "a task cannot be a method; write a free function, and name the type"),
        Part::Reference(_) | Part::Lifetime(_) => return,
    };
    mistakes.push(Error::new(span, message));
}

/// Whether [`not_generic`] has already objected to the lifetime.
fn declared(function: &Function, lifetime: &Lifetime) -> bool {
    function.sig.generics.lifetimes().any(|param| param.lifetime == *lifetime)
}

fn not_variadic(function: &Function, mistakes: &mut Vec<Error>) {
    if let Some(variadic) = &function.sig.variadic {
        mistakes
            .push(Error::new_spanned(variadic.dots, "a task cannot be variadic; take a slice or a `Vec`"));
    }
}

fn few_parameters(function: &Function, mistakes: &mut Vec<Error>) {
    if let Some(input) = function.sig.inputs.iter().nth(MOST_PARAMETERS) {
        mistakes.push(Error::new_spanned(
            input,
            format!(
                "a task has at most {MOST_PARAMETERS} parameters, and this one has {}; \
                 put some of them into a struct",
                function.sig.inputs.len()
            ),
        ));
    }
}

fn other_name(function: &Function, args: &Args, mistakes: &mut Vec<Error>) {
    if let Some(handle) = args.handle.as_ref().filter(|handle| **handle == function.sig.ident) {
        mistakes.push(Error::new(
            handle.span(),
            format!(
                "`{handle}` is the name of the function itself; write another name, or leave out `handle`"
            ),
        ));
    }
}

/// Whether this is the attribute itself, once more.
pub(crate) fn is_repetition(attr: &Attribute) -> bool {
    attr.path().segments.last().is_some_and(|last| last.ident == "pool_task")
}

/// Whether a parameter of this type can be part of a task, so that [`fallback`](crate::fallback) can use it.
pub(crate) fn accepts_parameter(function: &Function, ty: &Type) -> bool {
    let mut mistakes = Vec::new();
    parameter_type(function, ty, &mut mistakes);
    mistakes.is_empty() && function.sig.generics.params.is_empty()
}

/// The same for what the function returns.
pub(crate) fn accepts_output(function: &Function) -> bool {
    let mut mistakes = Vec::new();
    output_type(function, &mut mistakes);
    mistakes.is_empty() && function.sig.generics.params.is_empty()
}

/// Whether this is a method, as far as its signature shows.
pub(crate) fn is_method(function: &Function) -> bool {
    let mut names_self = function.sig.receiver().is_some();
    types(function).for_each(|ty| visit(ty, &mut |part| names_self |= matches!(part, Part::SelfType(_))));
    names_self
}

/// Whether the compiler objects to the function as well, wherever it stands.
pub(crate) fn is_wrong_anyway(function: &Function) -> bool {
    let undeclared = |lifetime: &Lifetime| {
        lifetime.ident != "static" && lifetime.ident != "_" && !declared(function, lifetime)
    };
    let mut wrong = function.sig.variadic.is_some();
    for ty in types(function) {
        wrong |= size_advice(ty).is_some();
        visit(ty, &mut |part| {
            wrong |= match part {
                Part::Lifetime(lifetime)
                | Part::Reference(TypeReference { lifetime: Some(lifetime), .. }) => undeclared(lifetime),
                Part::Infer(_) => true,
                _ => false,
            };
        });
    }
    // A result can leave its lifetime out only if there is one to take.
    wrong || (elided(output(function)) > 0 && elided(function.typed().map(|typed| &*typed.ty)) != 1)
}

/// How many lifetimes the types leave out.
fn elided<'t>(types: impl IntoIterator<Item = &'t Type>) -> usize {
    let mut count = 0;
    for ty in types {
        visit(ty, &mut |part| {
            count += usize::from(match part {
                Part::Lifetime(lifetime) => lifetime.ident == "_",
                Part::Reference(reference) => reference.lifetime.is_none(),
                _ => false,
            });
        });
    }
    count
}

fn types(function: &Function) -> impl Iterator<Item = &Type> {
    function.typed().map(|typed| &*typed.ty).chain(output(function))
}

fn output(function: &Function) -> Option<&Type> {
    match &function.sig.output {
        ReturnType::Type(_, ty) => Some(ty),
        ReturnType::Default => None,
    }
}
