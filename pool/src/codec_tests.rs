//! Tests of the codec: values in and out, in one piece and in two, from here and from elsewhere.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Record {
    id: u64,
    name: String,
    tags: Vec<String>,
    scores: BTreeMap<String, f64>,
    nested: Option<Box<Record>>,
}

fn record() -> impl Strategy<Value = Record> {
    let leaf = (any::<u64>(), ".*", any::<Vec<String>>(), any::<BTreeMap<String, i32>>()).prop_map(
        |(id, name, tags, scores)| Record {
            id,
            name,
            tags,
            scores: scores.into_iter().map(|(k, v)| (k, f64::from(v))).collect(),
            nested: None,
        },
    );
    leaf.prop_recursive(3, 8, 1, |inner| {
        inner.prop_map(|inner| Record { id: 1, nested: Some(Box::new(inner.clone())), ..inner })
    })
}

/// Copies an item to where the ring would put it: at a multiple of `ALIGN`.
fn aligned(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    bytemuck::cast_slice_mut::<u64, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
    words
}

proptest! {
    #[test]
    fn values_arrive_as_they_were_sent(a in any::<u64>(), text in ".*", numbers in any::<Vec<u32>>(),
                                       floats in any::<Vec<i64>>(), record in record()) {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.plain(&a).unwrap();
        writer.text(&text).unwrap();
        writer.value(&numbers).unwrap();
        writer.plain_slice(&floats).unwrap();
        writer.value(&record).unwrap();
        let mut reader = Reader::new(&out);
        prop_assert_eq!(reader.plain::<u64>().unwrap(), a);
        prop_assert_eq!(reader.text().unwrap(), &text);
        prop_assert_eq!(reader.value::<Vec<u32>>().unwrap(), numbers);
        prop_assert_eq!(&*reader.plain_slice::<i64>().unwrap(), &floats[..]);
        prop_assert_eq!(reader.value::<Record>().unwrap(), record);
        prop_assert!(reader.finish().is_ok());
    }

    #[test]
    fn any_bytes_decode_or_fail_without_a_panic(bytes in any::<Vec<u8>>()) {
        let _ = Reader::new(&bytes).value::<Record>();
        let _ = Reader::new(&bytes).value::<Vec<f64>>();
        let _ = Reader::new(&bytes).slice::<u16>();
        let _ = Reader::new(&bytes).plain_slice::<u16>();
        let _ = Reader::new(&bytes).text();
    }
}

/// What an item moves on to, with room for so many bytes in all.
struct Elsewhere {
    bytes: Vec<u8>,
    most: usize,
}

impl Room for Elsewhere {
    fn append(&mut self, bytes: &[u8], more: usize) -> Result<bool, CodecError> {
        if self.bytes.len() + bytes.len() + more > self.most {
            return if self.bytes.is_empty() { Ok(false) } else { Err(CodecError::new("it is full")) };
        }
        self.bytes.extend_from_slice(bytes);
        Ok(true)
    }
}

#[derive(Debug)]
struct Copied(Vec<u8>);

impl Outside for Copied {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn read<'i>(&self, at: usize, into: &'i mut [MaybeUninit<u8>]) -> &'i mut [u8] {
        for (to, from) in into.iter_mut().zip(&self.0[at..]) {
            to.write(*from);
        }
        assert!(at + into.len() <= self.0.len(), "a reader reads what there is");
        // SAFETY: all of it was written above, as the line before this one checks.
        unsafe { &mut *(std::ptr::from_mut(into) as *mut [u8]) }
    }
}

type Sent = (u16, Vec<u8>, String, Vec<f64>, Vec<Record>);

fn write(sent: &Sent, writer: &mut Writer<'_>) -> Result<(), CodecError> {
    writer.plain(&sent.0)?;
    writer.value(&sent.1)?;
    writer.value(&sent.2)?;
    writer.value(&sent.3)?;
    writer.value(&sent.4)?;
    writer.finish()
}

fn sent() -> impl Strategy<Value = Sent> {
    let long = |most: usize| prop_oneof![0..most, LARGE - 40..LARGE + 40, 2 * LARGE..3 * LARGE];
    (any::<u16>(), long(99), long(99), long(99), record(), 0usize..60).prop_map(
        |(number, bytes, chars, floats, record, records)| {
            let floats = (0..floats).map(|n| n as f64).collect();
            let bytes = (0..bytes).map(|n| n as u8).collect();
            (number, bytes, "x".repeat(chars), floats, vec![record; records])
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn an_item_is_the_same_wherever_it_is_written_and_read(sent in sent()) {
        let (mut whole, mut rest) = (vec![7; 8], vec![7; 8]);
        write(&sent, &mut Writer::new(&mut whole)).unwrap();
        let mut room = Elsewhere { bytes: Vec::new(), most: usize::MAX };
        write(&sent, &mut Writer::with_room(&mut rest, &mut room)).unwrap();
        prop_assert_eq!(whole.len() - 8 > LARGE, rest.len() == 8 && !room.bytes.is_empty());
        room.bytes.extend_from_slice(&rest[8..]);
        prop_assert!(room.bytes == whole[8..]);
        let item = Copied(room.bytes);
        let mut reader = Reader::outside(&item);
        prop_assert_eq!(reader.plain::<u16>().unwrap(), sent.0);
        prop_assert!(reader.value::<Vec<u8>>().unwrap() == sent.1);
        prop_assert!(reader.value::<String>().unwrap() == sent.2);
        prop_assert!(reader.value::<Vec<f64>>().unwrap() == sent.3);
        prop_assert!(reader.value::<Vec<Record>>().unwrap() == sent.4);
    }

    #[test]
    fn any_bytes_outside_decode_or_fail_without_a_panic(bytes in any::<Vec<u8>>()) {
        let item = Copied(bytes);
        let _ = Reader::outside(&item).value::<Record>();
        let _ = Reader::outside(&item).value::<Vec<f64>>();
        let _ = Reader::outside(&item).value::<String>();
        let _ = Reader::outside(&item).plain::<u64>();
    }
}

#[test]
fn an_item_stays_in_its_buffer_where_there_is_no_room_elsewhere() {
    let (mut out, mut room) = (vec![7; 8], Elsewhere { bytes: Vec::new(), most: 0 });
    let text = "x".repeat(3 * LARGE);
    let mut writer = Writer::with_room(&mut out, &mut room);
    writer.text(&text).unwrap();
    writer.finish().unwrap();
    assert_eq!(Reader::new(&out[8..]).text().unwrap(), text);
}

#[test]
fn that_room_ran_out_in_the_middle_is_the_reason_that_is_told() {
    let (mut out, mut room) = (Vec::new(), Elsewhere { bytes: Vec::new(), most: 3 * LARGE });
    let many = vec![String::from("some text"); LARGE];
    let error = Writer::with_room(&mut out, &mut room).value(&many).unwrap_err();
    assert_eq!(error.to_string(), "it is full");
}

#[test]
fn numbers_are_borrowed_when_the_item_lies_aligned() {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    writer.plain(&7u8).unwrap();
    writer.plain_slice(&[1.5f64, 2.5]).unwrap();
    let words = aligned(&out);
    let mut reader = Reader::new(&bytemuck::cast_slice(&words)[..out.len()]);
    reader.plain::<u8>().unwrap();
    assert!(matches!(reader.plain_slice::<f64>().unwrap(), Slice::Borrowed([1.5, 2.5])));
}

#[test]
fn numbers_are_copied_when_the_item_lies_unaligned() {
    let mut out = vec![0];
    Writer::new(&mut out).plain_slice(&[1u64, 2]).unwrap();
    let words = aligned(&out);
    let bytes: &[u8] = &bytemuck::cast_slice(&words)[1..out.len()];
    assert!(matches!(Reader::new(bytes).plain_slice::<u64>().unwrap(), Slice::Owned(vec) if vec == [1, 2]));
}

#[test]
fn slices_of_other_types_are_decoded() {
    let mut out = Vec::new();
    Writer::new(&mut out).slice(&["a".to_owned(), "b".to_owned()]).unwrap();
    assert_eq!(Reader::new(&out).slice::<String>().unwrap(), ["a", "b"]);
}

#[test]
fn a_length_past_the_end_is_an_error() {
    let mut out = u64::MAX.to_le_bytes().to_vec();
    out.push(1);
    assert!(Reader::new(&out).text().is_err());
    assert!(Reader::new(&out).value::<Vec<u64>>().is_err());
}
