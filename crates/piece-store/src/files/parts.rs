//! The parts file: bytes of files that nobody wants, which share a piece with files that somebody does.
//!
//! A piece can be verified and served only whole. What of it lies in a file that is not wanted, and so does not
//! exist, is kept here. The file begins with a table of one number a piece, the slot that holds it; behind it
//! follow the slots, each as long as a piece. A slot is filled only where the piece lies in such files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, IoSlice, IoSliceMut},
};

use super::positioned::{read_at, write_at};

/// The first bytes of a parts file; the digit is the version of the format.
const MAGIC: &[u8; 8] = b"rarprts1";

/// Magic, piece length and number of pieces.
const HEADER_LENGTH: usize = 16;

/// Bytes of the table a piece takes.
const ENTRY_LENGTH: u64 = 4;

/// Slots begin at a multiple of this, as file systems and disks like it.
const ALIGNMENT: u64 = 4096;

/// Which slot holds which piece. At most one slot a piece, so the file is never longer than the torrent and the table.
#[derive(Debug)]
pub(super) struct Parts {
    piece_length: u32,
    piece_count: u32,
    slots: BTreeMap<u32, u32>,
    free: BTreeSet<u32>,
    /// Whether the file has a header that fits this torrent.
    is_on_disk: bool,
}

impl Parts {
    /// The table of a torrent that keeps no parts yet.
    pub(super) fn empty(piece_length: u32, piece_count: u32) -> Self {
        Self {
            piece_length,
            piece_count,
            slots: BTreeMap::new(),
            free: BTreeSet::new(),
            is_on_disk: false,
        }
    }

    /// The table of an existing file. One that is damaged or of another torrent counts as empty and is overwritten:
    /// nothing that was in it is believed without a check anyway.
    pub(super) fn load(file: &File, piece_length: u32, piece_count: u32) -> io::Result<Self> {
        let empty = Self::empty(piece_length, piece_count);
        let mut header = [0; HEADER_LENGTH];
        let read = read_at(file, 0, &mut [IoSliceMut::new(&mut header)])?;
        if read < HEADER_LENGTH as u64 || header != empty.header() {
            return Ok(empty);
        }
        let mut table = vec![0; empty.table_length()];
        // A table that ends early is one whose last pieces never had a slot.
        read_at(
            file,
            HEADER_LENGTH as u64,
            &mut [IoSliceMut::new(&mut table)],
        )?;
        let mut parts = Self {
            is_on_disk: true,
            ..empty
        };
        for (piece, entry) in (0u32..).zip(table.as_chunks().0) {
            let Some(slot) = u32::from_le_bytes(*entry).checked_sub(1) else {
                continue;
            };
            if slot >= piece_count {
                return Ok(Self::empty(piece_length, piece_count));
            }
            parts.slots.insert(piece, slot);
        }
        let used: BTreeSet<u32> = parts.slots.values().copied().collect();
        if used.len() != parts.slots.len() {
            return Ok(Self::empty(piece_length, piece_count));
        }
        let end = used.last().map_or(0, |last| last + 1);
        parts.free = (0..end).filter(|slot| !used.contains(slot)).collect();
        Ok(parts)
    }

    /// Where the piece begins in the file, if it has a slot.
    pub(super) fn position(&self, piece: u32) -> Option<u64> {
        self.slots.get(&piece).map(|&slot| self.slot_position(slot))
    }

    /// Where the piece begins in the file; gives it a slot if it has none.
    pub(super) fn take_slot(&mut self, file: &File, piece: u32) -> io::Result<u64> {
        if let Some(position) = self.position(piece) {
            return Ok(position);
        }
        if !self.is_on_disk {
            file.set_len(0)?;
            write_at(file, 0, &mut [IoSlice::new(&self.header())])?;
            self.is_on_disk = true;
        }
        let taken =
            u32::try_from(self.slots.len() + self.free.len()).expect("at most one slot a piece");
        let slot = self.free.first().copied().unwrap_or(taken);
        self.write_entry(file, piece, slot + 1)?;
        self.free.remove(&slot);
        self.slots.insert(piece, slot);
        Ok(self.slot_position(slot))
    }

    /// Gives up the slot of a piece.
    pub(super) fn release(&mut self, file: &File, piece: u32) -> io::Result<()> {
        if self.slots.contains_key(&piece) {
            self.write_entry(file, piece, 0)?;
            self.free.extend(self.slots.remove(&piece));
        }
        Ok(())
    }

    /// The pieces that have a slot, of those in a range.
    pub(super) fn pieces(&self, range: std::ops::RangeInclusive<u32>) -> Vec<u32> {
        self.slots.range(range).map(|(&piece, _)| piece).collect()
    }

    /// Whether the file holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn header(&self) -> [u8; HEADER_LENGTH] {
        let mut header = [0; HEADER_LENGTH];
        header[..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&self.piece_length.to_le_bytes());
        header[12..].copy_from_slice(&self.piece_count.to_le_bytes());
        header
    }

    fn table_length(&self) -> usize {
        self.piece_count as usize * 4
    }

    fn slot_position(&self, slot: u32) -> u64 {
        let table_end = HEADER_LENGTH as u64 + ENTRY_LENGTH * u64::from(self.piece_count);
        table_end.next_multiple_of(ALIGNMENT) + u64::from(slot) * u64::from(self.piece_length)
    }

    fn write_entry(&self, file: &File, piece: u32, entry: u32) -> io::Result<()> {
        let offset = HEADER_LENGTH as u64 + ENTRY_LENGTH * u64::from(piece);
        write_at(file, offset, &mut [IoSlice::new(&entry.to_le_bytes())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_survives_and_slots_are_used_again() {
        let file = tempfile::tempfile().unwrap();
        let mut parts = Parts::empty(100, 10);
        let first = parts.take_slot(&file, 7).unwrap();
        let second = parts.take_slot(&file, 3).unwrap();
        assert_eq!((first, second), (4096, 4196));
        parts.release(&file, 7).unwrap();

        let mut parts = Parts::load(&file, 100, 10).unwrap();
        assert_eq!(parts.position(7), None);
        assert_eq!(parts.position(3), Some(4196));
        assert_eq!(parts.take_slot(&file, 9).unwrap(), 4096);
        assert_eq!(parts.pieces(0..=9), [3, 9]);
    }

    #[test]
    fn a_damaged_or_foreign_file_counts_as_empty() {
        let file = tempfile::tempfile().unwrap();
        let mut parts = Parts::empty(100, 10);
        parts.take_slot(&file, 7).unwrap();
        assert!(Parts::load(&file, 100, 11).unwrap().is_empty());
        assert!(Parts::load(&file, 200, 10).unwrap().is_empty());

        for (piece, entry) in [(8, 1u32), (8, 11), (8, u32::MAX)] {
            parts.write_entry(&file, piece, entry).unwrap();
            assert!(Parts::load(&file, 100, 10).unwrap().is_empty(), "{entry}");
        }
    }

    #[test]
    fn a_damaged_file_is_overwritten() {
        let file = tempfile::tempfile().unwrap();
        write_at(&file, 0, &mut [IoSlice::new(&[0xff; 9000])]).unwrap();
        let mut parts = Parts::load(&file, 100, 10).unwrap();
        parts.take_slot(&file, 2).unwrap();
        assert_eq!(Parts::load(&file, 100, 10).unwrap().pieces(0..=9), [2]);
    }
}
