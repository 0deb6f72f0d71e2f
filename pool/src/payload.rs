//! What a panic was given, as text.

use std::any::Any;

/// The message of a panic's payload; most are strings of one of two kinds.
pub(crate) fn message_of(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a value that is no string".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_strings_are_told_and_anything_else_is_named_as_such() {
        assert_eq!(message_of(&"text"), "text");
        assert_eq!(message_of(&"text".to_owned()), "text");
        assert_eq!(message_of(&7), "a value that is no string");
    }
}
