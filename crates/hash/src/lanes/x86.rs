//! What an x86-64 CPU has for several messages at once, and which of it serves so many of them best.

mod extensions;
mod vectors;

use core::arch::x86_64::{__cpuid, __m128i, _mm_set_epi64x};
use core::array;
use std::is_x86_feature_detected;
use std::sync::LazyLock;

use super::{Block, Compress};
use vectors::{avx2_8, avx512_4, avx512_8, avx512_16};

/// Which instructions there are: those of a field that is set may be used.
#[derive(Clone, Copy, Debug)]
struct Cpu {
    /// The SHA extensions, and of the older ones what is used beside them.
    sha: bool,
    avx2: bool,
    /// The foundation of AVX-512, its operations on bytes, and its shorter vectors.
    avx512: bool,
    /// Whose SHA extensions hardly overlap: several messages take three quarters (SHA-256) to all (SHA-1) of the time that they take one by
    /// one on a Xeon of 2023, and less than half of it on AMD's.
    is_intel: bool,
}

/// What this CPU has. To ask for its vendor is slow, in a virtual machine slower than to hash a node of a merkle tree.
static CPU: LazyLock<Cpu> = LazyLock::new(Cpu::detect);

impl Cpu {
    fn detect() -> Self {
        Self {
            sha: is_x86_feature_detected!("sha")
                && is_x86_feature_detected!("sse4.1")
                && is_x86_feature_detected!("ssse3"),
            avx2: is_x86_feature_detected!("avx2"),
            avx512: is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl"),
            is_intel: is_intel(),
        }
    }
}

fn is_intel() -> bool {
    #[expect(
        unused_unsafe,
        reason = "a safe function of newer compilers, an unsafe one of the oldest that we support"
    )]
    // SAFETY: every x86-64 CPU has the instruction, and leaf 0.
    let vendor = unsafe { __cpuid(0) };
    [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes) == [*b"Genu", *b"ineI", *b"ntel"]
}

/// A function that compresses all blocks of run `i` into state `i`, on a CPU that has its instructions.
type Kernel<S, const N: usize> = unsafe fn(&mut [S; N], [&[Block]; N]);

/// How a number of messages is compressed.
enum Way<S> {
    OneByOne,
    Two(Kernel<S, 2>),
    Three(Kernel<S, 3>),
    Four(Kernel<S, 4>),
    Eight(Kernel<S, 8>),
    Sixteen(Kernel<S, 16>),
}

impl<S: Copy> Way<S> {
    /// Compresses all blocks of `runs[i]` into `states[i]`.
    ///
    /// # Safety
    /// The CPU has the instructions of the kernel.
    unsafe fn compress(self, states: &mut [S], runs: &[&[Block]], one: fn(&mut S, &[Block])) {
        // SAFETY: as the caller says.
        unsafe {
            match self {
                Self::OneByOne => states.iter_mut().zip(runs).for_each(|(s, run)| one(s, run)),
                Self::Two(kernel) => fill(kernel, states, runs),
                Self::Three(kernel) => fill(kernel, states, runs),
                Self::Four(kernel) => fill(kernel, states, runs),
                Self::Eight(kernel) => fill(kernel, states, runs),
                Self::Sixteen(kernel) => fill(kernel, states, runs),
            }
        }
    }
}

/// Runs a kernel that may have more lanes than there are messages. The last message is in all that are left.
///
/// # Safety
/// The CPU has the instructions of the kernel.
unsafe fn fill<S: Copy, const N: usize>(kernel: Kernel<S, N>, states: &mut [S], runs: &[&[Block]]) {
    debug_assert!((1..=N).contains(&states.len()), "a lane for each message");
    let last = states.len() - 1;
    let mut filled = array::from_fn(|lane| states[lane.min(last)]);
    // SAFETY: as the caller says.
    unsafe { kernel(&mut filled, array::from_fn(|lane| runs[lane.min(last)])) };
    states.copy_from_slice(&filled[..=last]);
}

/// SHA-1 of several messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sha1Lanes(Cpu);

impl Sha1Lanes {
    /// `None` on a CPU that has nothing for several messages.
    pub(crate) fn detect() -> Option<Self> {
        let lanes = Self(*CPU);
        (lanes.lanes() > 1).then_some(lanes)
    }

    /// Whether eight words of AVX2 are the fastest for many messages.
    fn prefers_avx2(self) -> bool {
        let Self(cpu) = self;
        cpu.avx2 && (cpu.is_intel || !cpu.sha)
    }

    fn way(self, messages: usize) -> Way<[u32; 5]> {
        let Self(cpu) = self;
        match messages {
            0 | 1 => Way::OneByOne,
            2 if cpu.sha => Way::Two(extensions::sha1),
            3 if cpu.sha && !cpu.is_intel => Way::Three(extensions::sha1),
            4 if cpu.sha && !cpu.is_intel => Way::Four(extensions::sha1),
            ..=4 if cpu.avx512 => Way::Four(avx512_4::sha1),
            ..=8 if cpu.avx512 => Way::Eight(avx512_8::sha1),
            _ if cpu.avx512 => Way::Sixteen(avx512_16::sha1),
            3 if cpu.sha => Way::Three(extensions::sha1),
            4 if cpu.sha => Way::Four(extensions::sha1),
            // Two of eight words are no faster.
            2 => Way::OneByOne,
            _ if self.prefers_avx2() => Way::Eight(avx2_8::sha1),
            _ => Way::OneByOne,
        }
    }
}

impl Compress for Sha1Lanes {
    type State = [u32; 5];
    const INITIAL: [u32; 5] = [
        0x6745_2301,
        0xefcd_ab89,
        0x98ba_dcfe,
        0x1032_5476,
        0xc3d2_e1f0,
    ];

    fn lanes(self) -> usize {
        match self.0 {
            Cpu { avx512: true, .. } => 16,
            _ if self.prefers_avx2() => 8,
            Cpu { sha: true, .. } => 4,
            _ => 1,
        }
    }

    fn compress(self, states: &mut [[u32; 5]], runs: &[&[Block]]) {
        let one_by_one = sha1::block_api::compress;
        // SAFETY: `way` chooses among what the CPU has.
        unsafe { self.way(states.len()).compress(states, runs, one_by_one) }
    }
}

/// SHA-256 of several messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sha256Lanes(Cpu);

impl Sha256Lanes {
    /// `None` on a CPU that has nothing for several messages.
    pub(crate) fn detect() -> Option<Self> {
        let lanes = Self(*CPU);
        (lanes.lanes() > 1).then_some(lanes)
    }

    fn way(self, messages: usize) -> Way<[u32; 8]> {
        let Self(cpu) = self;
        match messages {
            0 | 1 => Way::OneByOne,
            2 if cpu.sha => Way::Two(extensions::sha256),
            3 if cpu.sha => Way::Three(extensions::sha256),
            4 if cpu.sha => Way::Four(extensions::sha256),
            ..=4 if cpu.avx512 => Way::Four(avx512_4::sha256),
            ..=8 if cpu.avx512 => Way::Eight(avx512_8::sha256),
            _ if cpu.avx512 => Way::Sixteen(avx512_16::sha256),
            // Two of eight words are no faster.
            2 => Way::OneByOne,
            _ if cpu.avx2 && !cpu.sha => Way::Eight(avx2_8::sha256),
            _ => Way::OneByOne,
        }
    }
}

impl Compress for Sha256Lanes {
    type State = [u32; 8];
    const INITIAL: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];

    fn lanes(self) -> usize {
        match self.0 {
            Cpu { avx512: true, .. } => 16,
            Cpu { sha: true, .. } => 4,
            Cpu { avx2: true, .. } => 8,
            _ => 1,
        }
    }

    fn compress(self, states: &mut [[u32; 8]], runs: &[&[Block]]) {
        let one_by_one = sha2::block_api::compress256;
        // SAFETY: `way` chooses among what the CPU has.
        unsafe { self.way(states.len()).compress(states, runs, one_by_one) }
    }
}

/// The round constants of SHA-256 (FIPS 180-4, section 4.2.2).
#[rustfmt::skip]
const SHA256_CONSTANTS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// Words `4 * quarter ..` of a block as they lie in memory.
#[inline]
#[target_feature(enable = "sse4.1")]
fn load(block: &Block, quarter: usize) -> __m128i {
    let words = block.as_chunks().0;
    let low = i64::from_le_bytes(words[quarter * 2]);
    let high = i64::from_le_bytes(words[quarter * 2 + 1]);
    _mm_set_epi64x(high, low)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::lanes::hash_many;
    use crate::{Slices, sha1, sha256};

    /// This CPU, and all that would have less, of either vendor.
    fn cpus() -> impl Iterator<Item = Cpu> {
        let this = *CPU;
        let sets = (0..16).map(|mask| [1, 2, 4, 8].map(|bit| mask & bit != 0));
        sets.filter(move |&[sha, avx2, avx512, _]| {
            sha <= this.sha && avx2 <= this.avx2 && avx512 <= this.avx512
        })
        .map(|[sha, avx2, avx512, is_intel]| Cpu {
            sha,
            avx2,
            avx512,
            is_intel,
        })
    }

    #[test]
    fn every_set_of_instructions_gives_the_same_digests() {
        let data: Vec<u8> = (0..251_u8).cycle().take(4_000).collect();
        for count in 0..=35 {
            // Some end long before others, so that lanes are left over and filled again.
            let messages: Vec<[&[u8]; 1]> = (0..count)
                .map(|i| [&data[i..i + (i * 677) % 3_900]])
                .collect();
            let messages: Vec<Slices<'_>> = messages.iter().map(|message| &message[..]).collect();
            for cpu in cpus() {
                let found = hash_many(Sha1Lanes(cpu), &messages).into_iter();
                let expected = messages.iter().map(|message| sha1(message[0]));
                assert!(
                    found.map(crate::Sha1Digest::from_words).eq(expected),
                    "{cpu:?}"
                );
                let found = hash_many(Sha256Lanes(cpu), &messages).into_iter();
                let expected = messages.iter().map(|message| sha256(message[0]));
                assert!(
                    found.map(crate::Sha256Digest::from_words).eq(expected),
                    "{cpu:?}"
                );
            }
        }
    }

    #[test]
    fn a_cpu_that_has_nothing_for_it_is_known() {
        let plain = Cpu {
            sha: false,
            avx2: false,
            avx512: false,
            is_intel: false,
        };
        assert_eq!(Sha1Lanes(plain).lanes(), 1);
        assert_eq!(Sha256Lanes(plain).lanes(), 1);
    }
}
