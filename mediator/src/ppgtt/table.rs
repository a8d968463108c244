//! One shadow table: the guest's table as we last saw it, ours, and what entries may become.

use arrayvec::ArrayVec;
use gpu::DmaPage;
use gpu::spec::gtt::PpgttEntry;

use crate::GuestFrame;

/// Entries of a table.
pub const ENTRIES: usize = PpgttEntry::PER_TABLE;

/// An entry as it lies in memory: whole tables are compared without being taken apart.
pub type Raw = [u8; 8];

/// What it says.
pub const fn value(raw: Raw) -> PpgttEntry {
    PpgttEntry(u64::from_le_bytes(raw))
}

/// As it lies in memory.
pub const fn raw(entry: PpgttEntry) -> Raw {
    entry.0.to_le_bytes()
}

/// Flag bits of an entry that a shadow keeps: present, writable, and caching (PWT, PCD, PAT).
const KEPT: u64 = 0x9b;
/// Frames of a 64 KiB page.
const FRAMES_64K: u64 = 16;

/// What a table's entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Entries name tables: level 4 is the PML4, then 3, 2.
    Directory(u8),
    /// Entries name 4 KiB pages.
    Pages,
    /// Every sixteenth entry names a 64 KiB page.
    Pages64K,
    /// No table in the guest: a 2 MiB page, split; whether it is writable.
    Split(bool),
}

/// A guest's table is shadowed once for each way it is used, however often it is named. A table
/// that names itself is then another way of use at each level, and there are four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The table's frame, or the first frame of a split page.
    pub frame: GuestFrame,
    /// How it is read.
    pub shape: Shape,
}

impl Key {
    /// A PML4.
    pub const fn root(frame: GuestFrame) -> Self {
        Self {
            frame,
            shape: Shape::Directory(4),
        }
    }

    /// Whether it is one.
    pub fn is_root(self) -> bool {
        self.shape == Shape::Directory(4)
    }
}

/// What an entry of a guest's directory leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Child {
    /// Nothing.
    Absent,
    /// A 1 GiB page: Gen9 has none, and no driver makes one.
    Refused,
    /// A table, or a page that becomes one.
    Table(Key),
}

/// Reads a directory entry at `level`.
pub const fn child(level: u8, entry: PpgttEntry) -> Child {
    if !entry.present() {
        return Child::Absent;
    }
    let frame = GuestFrame(entry.frame());
    let huge = entry.0 & PpgttEntry::HUGE != 0;
    let shape = match level {
        4 => Shape::Directory(3),
        3 if huge => return Child::Refused,
        3 => Shape::Directory(2),
        _ if huge => {
            return Child::Table(Key {
                frame: GuestFrame(entry.frame() & !(ENTRIES as u64 - 1)),
                shape: Shape::Split(entry.writable()),
            });
        }
        _ if entry.0 & PpgttEntry::IPS_64K != 0 => Shape::Pages64K,
        _ => Shape::Pages,
    };
    Child::Table(Key { frame, shape })
}

/// Our entry for a guest's, with our frame.
pub const fn entry(guest: PpgttEntry, page: DmaPage) -> PpgttEntry {
    PpgttEntry(guest.0 & KEPT).with_frame(page.0)
}

/// The same for an entry that names a table: bit 7 would make it a huge page.
pub const fn directory_entry(guest: PpgttEntry, page: DmaPage) -> PpgttEntry {
    PpgttEntry(guest.0 & KEPT & !PpgttEntry::HUGE).with_frame(page.0)
}

/// Turns a guest's table, read as `key` says, into the 4 KiB entries that it means.
pub fn expand(key: Key, entries: &mut [Raw]) {
    match key.shape {
        Shape::Directory(_) | Shape::Pages => {}
        Shape::Pages64K => {
            for group in entries.chunks_mut(FRAMES_64K as usize) {
                let head = value(group.first().copied().unwrap_or_default());
                let first = head.frame() & !(FRAMES_64K - 1);
                for (frame, entry) in (first..).zip(group) {
                    let page = if head.present() {
                        head.with_frame(frame).0
                    } else {
                        0
                    };
                    *entry = raw(PpgttEntry(page));
                }
            }
        }
        Shape::Split(writable) => {
            let flags = PpgttEntry::PRESENT | if writable { PpgttEntry::WRITABLE } else { 0 };
            for (frame, entry) in (key.frame.0..).zip(entries) {
                *entry = raw(PpgttEntry(flags).with_frame(frame));
            }
        }
    }
}

/// Resynchronisations that find a table unchanged before it is write-protected.
pub const QUIET: u8 = 3;

/// A shadowed table.
#[derive(Debug)]
pub struct Table {
    /// Which guest's table, and how it is read.
    pub key: Key,
    /// The guest's table, pinned; none for a split page.
    pub guest: Option<DmaPage>,
    /// Which of our entries hold a pin.
    pub pinned: [u64; ENTRIES / 64],
    /// The last resynchronisation that came by.
    pub visited: u32,
    /// The last submission with this table as its root.
    pub used: u32,
    /// The distinct tables named by what was seen, unless they are too many to list.
    pub children: Option<ArrayVec<u16, 8>>,
    /// The guest's page is write-protected for this table.
    pub guarded: bool,
    /// Nothing can have changed since it was compared last: no need to look.
    pub clean: bool,
    /// The guest's frames may be other pages than when they were pinned.
    pub stale: bool,
    /// How often in a row it was found unchanged, and how often it takes until it is protected:
    /// twice as often after each trapped write, so that a busy table is copied, not trapped.
    pub quiet: u8,
    pub patience: u8,
    /// Of a root: everything below was clean when [`super::PpgttSpace`] counted this far.
    pub settled: Option<u64>,
}

impl Table {
    /// One with nothing in it, visited and used in no walk after `stamp`.
    pub const fn new(key: Key, guest: Option<DmaPage>, stamp: u32) -> Self {
        Self {
            key,
            guest,
            pinned: [0; ENTRIES / 64],
            visited: stamp.wrapping_sub(1),
            used: stamp,
            children: None,
            guarded: false,
            clean: false,
            stale: false,
            quiet: 0,
            patience: QUIET,
            settled: None,
        }
    }

    /// It has to be compared again.
    pub const fn out_of_sync(&mut self) {
        self.guarded = false;
        self.clean = false;
        self.quiet = 0;
    }

    /// Whether our entry at `index` holds a pin.
    pub fn holds_pin(&self, index: usize) -> bool {
        self.pinned
            .get(index / 64)
            .is_some_and(|word| word >> (index % 64) & 1 != 0)
    }

    /// Notes whether it does.
    pub fn set_pin(&mut self, index: usize, holds: bool) {
        if let Some(word) = self.pinned.get_mut(index / 64) {
            *word = *word & !(1 << (index % 64)) | u64::from(holds) << (index % 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_only_where_gen9_has_them() {
        let huge = PpgttEntry(0x4012_3083);
        assert_eq!(child(3, huge), Child::Refused);
        let split = Key {
            frame: GuestFrame(0x40000),
            shape: Shape::Split(true),
        };
        assert_eq!(child(2, huge), Child::Table(split));
        let directory = Key {
            frame: GuestFrame(0x40123),
            shape: Shape::Directory(3),
        };
        assert_eq!(
            child(4, huge),
            Child::Table(directory),
            "a PML4 entry has no such bit"
        );
        assert_eq!(child(2, PpgttEntry(0x8000_0002)), Child::Absent);
    }

    #[test]
    fn a_64k_page_is_sixteen_frames_from_its_first_entry() {
        let key = Key {
            frame: GuestFrame(1),
            shape: Shape::Pages64K,
        };
        let mut entries = [Raw::default(); ENTRIES];
        entries[16] = raw(PpgttEntry(0x0123_5003));
        entries[17] = raw(PpgttEntry(0xdead_b003));
        expand(key, &mut entries);
        let frames: Vec<u64> = entries[16..32]
            .iter()
            .map(|entry| value(*entry).frame())
            .collect();
        assert_eq!(frames, (0x1230..0x1240).collect::<Vec<u64>>());
        assert_eq!((entries[0], entries[32]), (Raw::default(), Raw::default()));
    }

    #[test]
    fn a_2m_page_is_512_frames_as_writable_as_its_entry() {
        for writable in [false, true] {
            let key = Key {
                frame: GuestFrame(0x400),
                shape: Shape::Split(writable),
            };
            let mut entries = [Raw::default(); ENTRIES];
            expand(key, &mut entries);
            for (frame, entry) in (0x400..).zip(entries.map(value)) {
                assert!(entry.present() && entry.writable() == writable);
                assert_eq!(entry.frame(), frame);
            }
        }
    }

    #[test]
    fn a_shadow_entry_keeps_writable_and_caching_and_drops_the_rest() {
        let guest = PpgttEntry(0xfff0_0001_2345_6fff);
        assert_eq!(entry(guest, DmaPage(7)).0, 0x7 << 12 | 0x9b);
        assert_eq!(directory_entry(guest, DmaPage(7)).0, 0x7 << 12 | 0x1b);
        assert!(!entry(PpgttEntry(0x1001), DmaPage(7)).writable());
    }
}
