//! The stream cipher RC4.

use std::fmt;

/// Bytes of keystream that are thrown away before the first use: they tell of the key.
const DISCARDED: usize = 1024;

/// Bytes that are xored at a time.
const WIDTH: usize = size_of::<u64>();

/// A keystream that is xored to what is sent, and once more to what is received.
///
/// RC4 is broken as a cipher. Here it has to hide a protocol from a look at it, and it is what peers speak.
///
/// Source: [RFC 6229](https://www.rfc-editor.org/rfc/rfc6229) has its test vectors.
#[derive(Clone)]
pub struct Rc4 {
    /// Bytes. As wide as a register they are read and written sooner.
    state: [u32; 256],
    /// The index that counts up, already on its next value.
    next: u8,
    /// The index that jumps.
    jumping: u8,
}

impl Rc4 {
    /// The keystream of a key of 1 to 256 bytes, from its first byte.
    #[must_use]
    pub fn new<const N: usize>(key: &[u8; N]) -> Self {
        const { assert!(N > 0 && N <= 256, "RC4 has keys of 1 to 256 bytes") };
        let mut state = [0; 256];
        for (value, place) in (0..256).zip(&mut state) {
            *place = value;
        }
        let mut jumping = 0;
        for (index, &byte) in (0..state.len()).zip(key.iter().cycle()) {
            jumping = (jumping + state[index] + u32::from(byte)) % 256;
            state.swap(index, jumping as usize);
        }
        Self {
            state,
            next: 1,
            jumping: 0,
        }
    }

    /// The keystream as MSE uses it: without the first 1,024 bytes.
    pub(super) fn for_stream(key: &[u8; 20]) -> Self {
        let mut cipher = Self::new(key);
        cipher.skip(DISCARDED);
        cipher
    }

    /// Encrypts, or decrypts, in place.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        let mut keystream = Keystream::resume(&mut self.state, self.next, self.jumping);
        let (words, rest) = bytes.as_chunks_mut();
        for word in words {
            *word = keystream.on(*word);
        }
        for byte in rest {
            *byte ^= keystream.next_byte();
        }
        (self.next, self.jumping) = keystream.indices();
    }

    /// Encrypts, or decrypts, on the way from one place to another, which have the same length.
    pub(super) fn copy(&mut self, from: &[u8], to: &mut [u8]) {
        let mut keystream = Keystream::resume(&mut self.state, self.next, self.jumping);
        let ((words, rest), (to_words, to_rest)) = (from.as_chunks(), to.as_chunks_mut());
        for (word, to) in words.iter().zip(to_words) {
            *to = keystream.on(*word);
        }
        for (byte, to) in rest.iter().zip(to_rest) {
            *to = byte ^ keystream.next_byte();
        }
        (self.next, self.jumping) = keystream.indices();
    }

    /// Goes on by `count` bytes.
    pub fn skip(&mut self, count: usize) {
        let mut keystream = Keystream::resume(&mut self.state, self.next, self.jumping);
        for _ in 0..count {
            keystream.next_byte();
        }
        (self.next, self.jumping) = keystream.indices();
    }
}

impl fmt::Debug for Rc4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rc4(..)")
    }
}

/// The cipher at work, its indices in registers.
struct Keystream<'a> {
    state: &'a mut [u32; 256],
    next: u32,
    /// What stands at `next`, read before what the last step stored has arrived in memory: a quarter of the time of a step would be spent on
    /// waiting for it.
    value: u32,
    jumping: u32,
}

impl<'a> Keystream<'a> {
    fn resume(state: &'a mut [u32; 256], next: u8, jumping: u8) -> Self {
        let value = state[usize::from(next)];
        Self {
            state,
            next: next.into(),
            value,
            jumping: jumping.into(),
        }
    }

    #[inline(always)]
    fn on(&mut self, word: [u8; WIDTH]) -> [u8; WIDTH] {
        let mut key = 0;
        for shift in (0..u64::BITS).step_by(8) {
            key |= u64::from(self.next_value()) << shift;
        }
        (u64::from_le_bytes(word) ^ key).to_le_bytes()
    }

    fn next_byte(&mut self) -> u8 {
        low_byte(self.next_value())
    }

    #[inline(always)]
    fn next_value(&mut self) -> u32 {
        let one = self.value;
        self.jumping = (self.jumping + one) % 256;
        let other = self.state[self.jumping as usize];
        let following = (self.next + 1) % 256;
        let early = self.state[following as usize];
        self.state[self.next as usize] = other;
        self.state[self.jumping as usize] = one;
        // The one case in which it was read too early.
        self.value = if following == self.jumping {
            one
        } else {
            early
        };
        self.next = following;
        self.state[((one + other) % 256) as usize]
    }

    fn indices(&self) -> (u8, u8) {
        (low_byte(self.next), low_byte(self.jumping))
    }
}

fn low_byte(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_however_it_is_cut() {
        let key = [7; 20];
        let mut whole = [0; 3000];
        Rc4::for_stream(&key).apply(&mut whole);
        for length in [1, 3, 7, 8, 9, 255, 256, 1025] {
            let mut cipher = Rc4::for_stream(&key);
            let mut parts = [0; 3000];
            for part in parts.chunks_mut(length) {
                cipher.apply(part);
            }
            assert_eq!(parts, whole);
            let (mut cipher, mut copies) = (Rc4::for_stream(&key), [0; 3000]);
            for part in copies.chunks_mut(length) {
                cipher.copy(&[0; 3000][..part.len()], part);
            }
            assert_eq!(copies, whole);
        }
    }

    #[test]
    fn the_reading_ahead_changes_nothing() {
        // As RC4 is written down, long enough that the two indices meet many times.
        let key = [0x42; 20];
        let mut state: Vec<u8> = (0..=255).collect();
        let mut j = 0_u8;
        for i in 0..256 {
            j = j.wrapping_add(state[i]).wrapping_add(key[i % 20]);
            state.swap(i, j.into());
        }
        let (mut i, mut j) = (0_u8, 0_u8);
        let mut plain = || {
            i = i.wrapping_add(1);
            j = j.wrapping_add(state[usize::from(i)]);
            state.swap(i.into(), j.into());
            state[usize::from(state[usize::from(i)].wrapping_add(state[usize::from(j)]))]
        };
        let mut ours = [0; 50_000];
        Rc4::new(&key).apply(&mut ours);
        assert!(ours.iter().all(|&byte| byte == plain()));
    }
}
