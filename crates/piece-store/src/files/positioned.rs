//! Vectored reads and writes at a position, so that threads can share one open file.

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut},
};

/// One call of the system, which may do less than was asked.
#[cfg(unix)]
mod system {
    use std::{fs::File, io, io::IoSlice, io::IoSliceMut};

    use rustix::io::{preadv, pwritev, retry_on_intr};

    pub(super) fn read(
        file: &File,
        offset: u64,
        buffers: &mut [IoSliceMut<'_>],
    ) -> io::Result<usize> {
        Ok(retry_on_intr(|| preadv(file, buffers, offset))?)
    }

    pub(super) fn write(file: &File, offset: u64, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(retry_on_intr(|| pwritev(file, buffers, offset))?)
    }
}

/// The same with a cursor that threads take turns to move, for systems without positioned calls.
#[cfg(any(not(unix), test))]
mod portable {
    use std::{
        fs::File,
        io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write},
        sync::{Mutex, PoisonError},
    };

    /// One for all files: where this module is used, it costs parallel reads, and nothing else.
    static CURSOR: Mutex<()> = Mutex::new(());

    pub(super) fn read(
        mut file: &File,
        offset: u64,
        buffers: &mut [IoSliceMut<'_>],
    ) -> io::Result<usize> {
        let _turn = CURSOR.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read_vectored(buffers)
    }

    pub(super) fn write(
        mut file: &File,
        offset: u64,
        buffers: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let _turn = CURSOR.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.write_vectored(buffers)
    }
}

#[cfg(not(unix))]
use portable as system;

/// Fills `buffers` from `offset` on; says how many bytes there were, fewer only at the end of the file.
pub(super) fn read_at(
    file: &File,
    mut offset: u64,
    mut buffers: &mut [IoSliceMut<'_>],
) -> io::Result<u64> {
    let begin = offset;
    IoSliceMut::advance_slices(&mut buffers, 0);
    while !buffers.is_empty() {
        match system::read(file, offset, buffers) {
            Ok(0) => break,
            Ok(length) => {
                IoSliceMut::advance_slices(&mut buffers, length);
                offset += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(offset - begin)
}

/// Writes all of `buffers` from `offset` on.
pub(super) fn write_at(
    file: &File,
    mut offset: u64,
    mut buffers: &mut [IoSlice<'_>],
) -> io::Result<()> {
    IoSlice::advance_slices(&mut buffers, 0);
    while !buffers.is_empty() {
        match system::write(file, offset, buffers) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => {
                IoSlice::advance_slices(&mut buffers, length);
                offset += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_slices_than_the_system_takes_at_once_are_written_and_read() {
        let file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..3000u32).map(|index| index.to_le_bytes()[0]).collect();
        let mut slices: Vec<_> = bytes.chunks(1).map(IoSlice::new).collect();
        write_at(&file, 5, &mut slices).unwrap();

        let mut read = vec![0; 3000];
        let mut slices: Vec<_> = read.chunks_mut(1).map(IoSliceMut::new).collect();
        assert_eq!(read_at(&file, 5, &mut slices).unwrap(), 3000);
        assert_eq!(read, bytes);
    }

    #[test]
    fn a_read_behind_the_end_is_short() {
        let file = tempfile::tempfile().unwrap();
        write_at(&file, 0, &mut [IoSlice::new(b"abc")]).unwrap();
        let mut bytes = [0; 8];
        let length = read_at(&file, 1, &mut [IoSliceMut::new(&mut bytes)]).unwrap();
        assert_eq!(&bytes[..2], b"bc");
        assert_eq!(length, 2);
    }

    #[test]
    fn the_portable_way_does_the_same() {
        let file = tempfile::tempfile().unwrap();
        let written = portable::write(&file, 3, &[IoSlice::new(b"abc")]).unwrap();
        let mut bytes = [1; 8];
        let read = portable::read(&file, 1, &mut [IoSliceMut::new(&mut bytes)]).unwrap();
        assert_eq!((written, read), (3, 5));
        assert_eq!(&bytes[..5], b"\0\0abc");
    }
}
