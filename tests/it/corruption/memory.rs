//! Where a task finds the memory of its worker's connection: by what the kernel says of its mappings.

use std::fs;

/// Bytes of a control page.
pub(super) const CONTROL: usize = 4 << 10;
/// Bytes of a ring.
pub(super) const RING: usize = 128 << 10;

/// A part of a shared region that this process may write to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    start: usize,
    len: usize,
}

impl Part {
    pub(super) fn len(self) -> usize {
        self.len
    }

    /// Overwrites bytes; what does not fit is left out.
    pub(super) fn write(self, offset: usize, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(self.len.saturating_sub(offset))];
        let to = std::ptr::with_exposed_provenance_mut::<u8>(self.start + offset);
        // SAFETY: the kernel says that this is mapped writable, and `bytes` is ours. That other code of this process
        // relies on what lies there is the point.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    pub(super) fn word(self, offset: usize) -> u64 {
        let from = std::ptr::with_exposed_provenance::<u64>(self.start + offset);
        assert!(offset + 8 <= self.len && offset % 8 == 0);
        // SAFETY: the kernel says that this is mapped, and mappings are aligned.
        unsafe { from.read_volatile() }
    }
}

/// What this worker may write to.
#[derive(Debug)]
pub(super) struct Memory {
    /// Its half of its link.
    pub(super) half: Part,
    /// The second page of the region of the parent's bell.
    pub(super) bell: Part,
    /// Whole regions: segments.
    pub(super) segments: Vec<Part>,
}

struct Mapping {
    part: Part,
    is_writable: bool,
    inode: String,
}

/// Finds the memory of this worker.
///
/// Of the link and of the bell's region the first part is read-only here, so each is two neighbouring mappings of one file.
pub(super) fn find() -> Memory {
    let maps = fs::read_to_string("/proc/self/maps").expect("every process has maps");
    let mappings: Vec<Mapping> = maps.lines().filter_map(parse).collect();
    let mut split = Vec::new();
    let mut segments = Vec::new();
    for (place, mapping) in mappings.iter().enumerate().filter(|(_, mapping)| mapping.is_writable) {
        let before = place.checked_sub(1).map(|before| &mappings[before]);
        let is_split = before.is_some_and(|before| {
            !before.is_writable
                && before.inode == mapping.inode
                && before.part.start + before.part.len == mapping.part.start
        });
        if is_split { split.push(mapping.part) } else { segments.push(mapping.part) }
    }
    split.sort_by_key(|part| part.len);
    let [bell, half] = split[..] else { panic!("a worker has one link and one bell: {maps}") };
    assert!(half.len >= CONTROL + RING && bell.len < half.len);
    Memory { half, bell, segments }
}

fn parse(line: &str) -> Option<Mapping> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let is_ours = fields.get(5).is_some_and(|name| name.starts_with("/memfd:pool"));
    let (start, end) = fields[0].split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (number(start)?, number(end)?);
    is_ours.then(|| Mapping {
        part: Part { start, len: end - start },
        is_writable: fields[1] == "rw-s",
        inode: fields[4].to_owned(),
    })
}
