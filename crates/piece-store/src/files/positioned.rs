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

/// Reads what is in the page cache, without waiting for a device.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod cached {
    use std::{fs::File, io, io::IoSliceMut};

    use rustix::{
        fs::fstatfs,
        io::{Errno, ReadWriteFlags, preadv, preadv2},
    };

    /// What [`fstatfs`] calls the file systems that keep all files in memory (`linux/magic.h`). They do not know the flag.
    const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

    pub(super) fn read(
        file: &File,
        offset: u64,
        buffers: &mut [IoSliceMut<'_>],
    ) -> io::Result<usize> {
        match preadv2(file, buffers, offset, ReadWriteFlags::NOWAIT) {
            Err(Errno::OPNOTSUPP) if is_in_memory(file)? => Ok(preadv(file, buffers, offset)?),
            result => Ok(result?),
        }
    }

    fn is_in_memory(file: &File) -> io::Result<bool> {
        let kind = u64::try_from(fstatfs(file)?.f_type);
        Ok(kind.is_ok_and(|kind| IN_MEMORY.contains(&kind)))
    }
}

/// Elsewhere it is not known what is cached.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod cached {
    use std::{fs::File, io, io::IoSliceMut};

    pub(super) fn read(_: &File, _: u64, _: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
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

/// Reads into `buffers` what can be read from `offset` on without waiting for a device; says how many bytes.
pub(super) fn read_cached_at(
    file: &File,
    offset: u64,
    buffers: &mut [IoSliceMut<'_>],
) -> io::Result<usize> {
    cached::read(file, offset, buffers)
}

/// Bytes that one call of the system writes at most. A file system with large folios caches what one call writes in few of them, and in a
/// virtual machine the memory for a long one is likely to be fetched from the host first: on ext4 1 MiB a call took eight times as long
/// as 128 KiB, and 32 KiB a quarter longer than that.
const MOST_PER_WRITE: usize = 128 * 1024;

/// Writes the first of `buffers`; says how many bytes.
fn write_some(file: &File, offset: u64, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut length = 0;
    let fits = |buffer: &&IoSlice<'_>| {
        length += buffer.len();
        length <= MOST_PER_WRITE
    };
    match (buffers.iter().take_while(fits).count(), buffers) {
        (0, [long, ..]) => {
            let cut = IoSlice::new(&long[..MOST_PER_WRITE]);
            system::write(file, offset, &[cut])
        }
        (count, _) => system::write(file, offset, &buffers[..count]),
    }
}

/// Writes all of `buffers` from `offset` on.
pub(super) fn write_at(
    file: &File,
    mut offset: u64,
    mut buffers: &mut [IoSlice<'_>],
) -> io::Result<()> {
    IoSlice::advance_slices(&mut buffers, 0);
    while !buffers.is_empty() {
        match write_some(file, offset, buffers) {
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
    fn what_is_too_long_for_one_call_is_written_in_several() {
        let file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..3 * MOST_PER_WRITE)
            .map(|at| at.to_le_bytes()[1])
            .collect();
        let (short, rest) = bytes.split_at(1000);
        let (long, last) = rest.split_at(2 * MOST_PER_WRITE);
        let slices = [short, long, last].map(IoSlice::new);
        assert_eq!(write_some(&file, 7, &slices).unwrap(), short.len());
        assert_eq!(write_some(&file, 7, &slices[1..]).unwrap(), MOST_PER_WRITE);
        write_at(&file, 7, &mut slices.clone()).unwrap();
        let mut read = vec![0; bytes.len()];
        read_at(&file, 7, &mut [IoSliceMut::new(&mut read)]).unwrap();
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

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_just_written_is_read_without_waiting() {
        let file = tempfile::tempfile().unwrap();
        write_at(&file, 0, &mut [IoSlice::new(b"abcdef")]).unwrap();
        let mut bytes = [0; 4];
        let read = read_cached_at(&file, 2, &mut [IoSliceMut::new(&mut bytes)]);
        // Some file systems cannot tell.
        assert!(read.is_err() || bytes == *b"cdef");
        let mut memory =
            File::from(rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::empty()).unwrap());
        io::Write::write_all(&mut memory, b"abcdef").unwrap();
        let mut bytes = [0; 4];
        let read = read_cached_at(&memory, 2, &mut [IoSliceMut::new(&mut bytes)]);
        assert_eq!(read.unwrap(), 4, "memory is never waited for");
        assert_eq!(bytes, *b"cdef");
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
