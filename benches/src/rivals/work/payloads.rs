//! What is sent where payloads are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One of the nested structs; about 128 bytes each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    id: u64,
    name: String,
    position: (f64, f64, f64),
    tags: Vec<String>,
    counts: BTreeMap<String, u32>,
    parent: Option<Box<Record>>,
}

/// So many bytes.
pub(crate) fn bytes(kibibytes: usize) -> Vec<u8> {
    vec![1; kibibytes << 10]
}

/// So many bytes of numbers.
pub(crate) fn numbers(kibibytes: usize) -> Vec<f64> {
    vec![1.0; (kibibytes << 10) / size_of::<f64>()]
}

/// So many bytes in strings of 32.
pub(crate) fn strings(kibibytes: usize) -> Vec<String> {
    (0..(kibibytes << 10) / 32).map(|number| format!("{number:032}")).collect()
}

/// About so many bytes in records, every other one of which has a parent.
pub(crate) fn records(kibibytes: usize) -> Vec<Record> {
    let record = |id: u64| Record {
        id,
        name: format!("record {id:08}"),
        position: (0.5, 1.5, 2.5),
        tags: vec!["first".to_owned(), "second".to_owned()],
        counts: BTreeMap::from([("one".to_owned(), 1), ("two".to_owned(), 2)]),
        parent: None,
    };
    let with_parent = |id| Record { parent: Some(Box::new(record(id + 1))), ..record(id) };
    (0..(kibibytes << 10) as u64 / 256).map(|pair| with_parent(2 * pair)).collect()
}
