//! Frames of any bytes.

use crate::body::{Entries, EntryHeader, Items, Shape, append_entry};
use crate::codec::{self, Reader};
use crate::frame::{FrameHeader, Status};
use crate::handshake::PanicReport;
use crate::job::sink;

pub(super) fn walk(data: &[u8]) {
    if let Some(bytes) = data.first_chunk::<{ FrameHeader::SIZE }>() {
        let header = FrameHeader::from_bytes(bytes);
        assert_eq!(header.to_bytes(), *bytes);
        let (shape, body) = (Shape::from_raw(header.shape), &data[FrameHeader::SIZE..]);
        let mut items = Items::new(shape, header.count % 4096, body);
        let bytes: usize = items.by_ref().map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes <= body.len() && items.position() <= body.len());
    }
    let mut entries = Entries::new(data);
    let mut walked = 0;
    let mut again = Vec::new();
    let mut inline = Vec::new();
    for (entry, bytes) in entries.by_ref() {
        walked += entry.footprint();
        assert_eq!(EntryHeader::from_bytes(entry.to_bytes()), Some(entry));
        if entry.segment == 0 {
            inline.push((entry, bytes));
            append_entry(&mut again, entry.status, bytes);
        }
        if entry.status != Status::Ok {
            let _ = sink::failure("task", 0, entry.status, bytes).to_string();
        }
        let _ = sink::refusal(entry.status, bytes);
        let _ = codec::from_bytes::<PanicReport>(bytes);
        let mut reader = Reader::new(bytes);
        let _ = reader.text().map(str::len);
        let _ = reader.value::<Vec<(String, Option<i32>)>>();
        let _ = reader.finish();
    }
    assert!(entries.position() == walked && walked <= data.len());
    assert_eq!(Entries::new(&again).collect::<Vec<_>>(), inline);
}
