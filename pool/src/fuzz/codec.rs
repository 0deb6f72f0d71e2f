//! Items of any bytes.

use bytemuck::Pod;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{ALIGN, CodecError, Reader, Writer};

type Step = fn(&mut Reader<'_>, &mut Writer<'_>) -> Result<(), CodecError>;

fn value<T: Serialize + DeserializeOwned + 'static>(
    reader: &mut Reader<'_>,
    again: &mut Writer<'_>,
) -> Result<(), CodecError> {
    again.value(&reader.value::<T>()?)
}

fn slice<T: Serialize + DeserializeOwned>(
    reader: &mut Reader<'_>,
    again: &mut Writer<'_>,
) -> Result<(), CodecError> {
    again.slice::<T>(&reader.slice()?)
}

fn plain<N: Pod>(reader: &mut Reader<'_>, again: &mut Writer<'_>) -> Result<(), CodecError> {
    again.plain::<N>(&reader.plain()?)
}

fn plain_slice<N: Pod>(reader: &mut Reader<'_>, again: &mut Writer<'_>) -> Result<(), CodecError> {
    again.plain_slice::<N>(&reader.plain_slice()?)
}

fn text(reader: &mut Reader<'_>, again: &mut Writer<'_>) -> Result<(), CodecError> {
    again.text(reader.text()?)
}

/// Every form of every plain number, and some of everything else.
macro_rules! steps {
    ($($number:ty)*) => {
        [
            $(plain::<$number> as Step, value::<Vec<$number>>, plain_slice::<$number>,)*
            text,
            value::<bool>,
            value::<char>,
            value::<String>,
            value::<Option<f64>>,
            value::<(u8, Vec<u16>)>,
            value::<Vec<(String, Option<i32>)>>,
            slice::<String>,
            slice::<(u64, f32)>,
        ]
    };
}

const STEPS: [Step; 51] = steps![u8 i8 u16 i16 u32 i32 u64 i64 u128 i128 usize isize f32 f64];

/// The first byte says of how many values the item is, the next ones of which types, and the others are the item.
pub(super) fn read(data: &[u8]) {
    let Some((count, rest)) = data.split_first() else { return };
    let Some((types, item)) = rest.split_at_checked(usize::from(count % 8)) else { return };
    let steps: Vec<Step> = types.iter().map(|kind| STEPS[usize::from(*kind) % STEPS.len()]).collect();
    // Slices are borrowed where items lie in a ring, and copied where they would lie unaligned.
    let read = at(0, item, |item| rewrite(&steps, item));
    assert_eq!(read, at(1, item, |item| rewrite(&steps, item)));
    let (count, again) = read;
    let (all, same) = at(0, &again, |again| rewrite(&steps[..count], again));
    assert_eq!((all, same), (count, again));
}

/// Calls `read` with a copy of the item that lies so many bytes behind an aligned address.
fn at<R>(offset: usize, item: &[u8], read: impl FnOnce(&[u8]) -> R) -> R {
    let mut copy = vec![0u8; item.len() + 2 * ALIGN];
    let start = copy.as_ptr().align_offset(ALIGN) + offset;
    let place = &mut copy[start..start + item.len()];
    place.copy_from_slice(item);
    read(place)
}

/// Reads the values of an item and writes them again, up to the first that cannot be read.
fn rewrite(steps: &[Step], item: &[u8]) -> (usize, Vec<u8>) {
    let mut again = Vec::new();
    let (mut reader, mut writer) = (Reader::new(item), Writer::new(&mut again));
    let failed = steps.iter().position(|step| step(&mut reader, &mut writer).is_err());
    if failed.is_none() {
        let _ = reader.finish();
    }
    (failed.unwrap_or(steps.len()), again)
}
