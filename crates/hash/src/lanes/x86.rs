//! SHA-1 and SHA-256 with the SHA extensions of x86-64, several lanes in one loop.
//!
//! The loops over lanes are unrolled by the compiler. All values of a lane are kept in 128-bit registers.
//!
//! There are no closures in the loops: the adaptor that calls one lacks the target features, so the closure cannot be
//! inlined into it, and each would cost a call and a trip through memory (measured without LTO: 20 times slower).

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
    _mm_setzero_si128, _mm_sha1msg1_epu32, _mm_sha1msg2_epu32, _mm_sha1nexte_epu32,
    _mm_sha1rnds4_epu32, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
    _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_xor_si128,
};
use std::is_x86_feature_detected;

use super::{Block, Compress};

/// Whether the CPU has what both functions use; the answer is cached by the standard library.
fn is_supported() -> bool {
    is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("sse4.1")
        && is_x86_feature_detected!("ssse3")
}

/// SHA-1 by `sha1rnds4` and its companions.
#[derive(Clone, Copy)]
pub(crate) struct Sha1Lanes(());

impl Sha1Lanes {
    /// `None` on a CPU without the instructions.
    pub(crate) fn detect() -> Option<Self> {
        is_supported().then_some(Self(()))
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

    fn compress<const N: usize>(self, states: &mut [[u32; 5]; N], runs: [&[Block]; N]) {
        // SAFETY: a value of this type is made only by `detect`, on a CPU that has the target features.
        unsafe { sha1_blocks(states, runs) }
    }
}

/// SHA-256 by `sha256rnds2` and its companions.
#[derive(Clone, Copy)]
pub(crate) struct Sha256Lanes(());

impl Sha256Lanes {
    /// `None` on a CPU without the instructions.
    pub(crate) fn detect() -> Option<Self> {
        is_supported().then_some(Self(()))
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

    fn compress<const N: usize>(self, states: &mut [[u32; 8]; N], runs: [&[Block]; N]) {
        // SAFETY: a value of this type is made only by `detect`, on a CPU that has the target features.
        unsafe { sha256_blocks(states, runs) }
    }
}

/// Words `4 * quarter ..` of a block as they lie in memory.
#[inline]
#[target_feature(enable = "sse4.1")]
fn load(block: &Block, quarter: usize) -> __m128i {
    let words = block.as_chunks().0;
    let low = i64::from_le_bytes(words[quarter * 2]);
    let high = i64::from_le_bytes(words[quarter * 2 + 1]);
    _mm_set_epi64x(high, low)
}

#[inline]
#[target_feature(enable = "sse4.1")]
fn words(a: u32, b: u32, c: u32, d: u32) -> __m128i {
    _mm_set_epi32(
        a.cast_signed(),
        b.cast_signed(),
        c.cast_signed(),
        d.cast_signed(),
    )
}

/// The words of a register, the highest first: the inverse of `words`.
#[inline]
#[target_feature(enable = "sse4.1")]
fn split(register: __m128i) -> [u32; 4] {
    [
        _mm_extract_epi32::<3>(register).cast_unsigned(),
        _mm_extract_epi32::<2>(register).cast_unsigned(),
        _mm_extract_epi32::<1>(register).cast_unsigned(),
        _mm_extract_epi32::<0>(register).cast_unsigned(),
    ]
}

/// The registers of one SHA-1 lane: `abcd` with `a` in the highest word, `e` in the highest word of its own,
/// and the last 16 words of the message schedule.
#[derive(Clone, Copy)]
struct Sha1Registers {
    abcd: __m128i,
    e: __m128i,
    w: [__m128i; 4],
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
fn sha1_blocks<const N: usize>(states: &mut [[u32; 5]; N], runs: [&[Block]; N]) {
    let big_endian = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f);
    let zero = _mm_setzero_si128();
    let mut lanes = states.map(|[a, b, c, d, e]| Sha1Registers {
        abcd: words(a, b, c, d),
        e: words(e, 0, 0, 0),
        w: [zero; 4],
    });
    let count = runs.iter().map(|run| run.len()).min().unwrap_or(0);
    for block in 0..count {
        let before = lanes;
        for (lane, run) in lanes.iter_mut().zip(runs) {
            for quarter in 0..4 {
                lane.w[quarter] = _mm_shuffle_epi8(load(&run[block], quarter), big_endian);
            }
        }
        // The constant is a part of the instruction, so the loop over 80 rounds is cut where it changes.
        for group in 0..5 {
            sha1_four_rounds::<N, 0>(&mut lanes, group);
        }
        for group in 5..10 {
            sha1_four_rounds::<N, 1>(&mut lanes, group);
        }
        for group in 10..15 {
            sha1_four_rounds::<N, 2>(&mut lanes, group);
        }
        for group in 15..20 {
            sha1_four_rounds::<N, 3>(&mut lanes, group);
        }
        for (lane, before) in lanes.iter_mut().zip(before) {
            lane.e = _mm_sha1nexte_epu32(lane.e, before.e);
            lane.abcd = _mm_add_epi32(lane.abcd, before.abcd);
        }
    }
    *states = lanes.map(|lane| {
        let [a, b, c, d] = split(lane.abcd);
        let [e, ..] = split(lane.e);
        [a, b, c, d, e]
    });
}

/// The last 16 words of the message schedule before `group`, the oldest first.
#[inline]
#[target_feature(enable = "sse4.1")]
fn schedule(w: &[__m128i; 4], group: usize) -> [__m128i; 4] {
    [
        w[group % 4],
        w[(group + 1) % 4],
        w[(group + 2) % 4],
        w[(group + 3) % 4],
    ]
}

/// Rounds `4 * group ..` of every lane. `e` holds `abcd` of the group before, from which its successor is made.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn sha1_four_rounds<const N: usize, const FUNCTION: i32>(
    lanes: &mut [Sha1Registers; N],
    group: usize,
) {
    for lane in lanes {
        let [oldest, second, third, newest] = schedule(&lane.w, group);
        let scheduled = if group < 4 {
            oldest
        } else {
            let mixed = _mm_xor_si128(_mm_sha1msg1_epu32(oldest, second), third);
            _mm_sha1msg2_epu32(mixed, newest)
        };
        lane.w[group % 4] = scheduled;
        let input = if group == 0 {
            _mm_add_epi32(lane.e, scheduled)
        } else {
            _mm_sha1nexte_epu32(lane.e, scheduled)
        };
        lane.e = lane.abcd;
        lane.abcd = _mm_sha1rnds4_epu32::<FUNCTION>(lane.abcd, input);
    }
}

/// The round constants of SHA-256 (FIPS 180-4, section 4.2.2).
#[rustfmt::skip]
const SHA256_ROUNDS: [[u32; 4]; 16] = [
    [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5], [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
    [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3], [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
    [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc], [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
    [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7], [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
    [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13], [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
    [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3], [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
    [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5], [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
    [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208], [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
];

/// The registers of one SHA-256 lane: the halves of the state as `sha256rnds2` wants them, the highest word first,
/// and the last 16 words of the message schedule.
#[derive(Clone, Copy)]
struct Sha256Registers {
    abef: __m128i,
    cdgh: __m128i,
    w: [__m128i; 4],
}

#[target_feature(enable = "sha,sse4.1,ssse3")]
fn sha256_blocks<const N: usize>(states: &mut [[u32; 8]; N], runs: [&[Block]; N]) {
    let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let zero = _mm_setzero_si128();
    let mut lanes = states.map(|[a, b, c, d, e, f, g, h]| Sha256Registers {
        abef: words(a, b, e, f),
        cdgh: words(c, d, g, h),
        w: [zero; 4],
    });
    let count = runs.iter().map(|run| run.len()).min().unwrap_or(0);
    for block in 0..count {
        let before = lanes;
        for (lane, run) in lanes.iter_mut().zip(runs) {
            for quarter in 0..4 {
                lane.w[quarter] = _mm_shuffle_epi8(load(&run[block], quarter), big_endian);
            }
        }
        for (group, &[k0, k1, k2, k3]) in SHA256_ROUNDS.iter().enumerate() {
            let constants = words(k3, k2, k1, k0);
            for lane in &mut lanes {
                sha256_four_rounds(lane, group, constants);
            }
        }
        for (lane, before) in lanes.iter_mut().zip(before) {
            lane.abef = _mm_add_epi32(lane.abef, before.abef);
            lane.cdgh = _mm_add_epi32(lane.cdgh, before.cdgh);
        }
    }
    *states = lanes.map(|lane| {
        let [a, b, e, f] = split(lane.abef);
        let [c, d, g, h] = split(lane.cdgh);
        [a, b, c, d, e, f, g, h]
    });
}

/// Rounds `4 * group ..` of one lane.
#[inline]
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn sha256_four_rounds(lane: &mut Sha256Registers, group: usize, constants: __m128i) {
    let [oldest, second, third, newest] = schedule(&lane.w, group);
    let scheduled = if group < 4 {
        oldest
    } else {
        // Words t-7 of the schedule lie across the two newest registers.
        let seven_back = _mm_alignr_epi8::<4>(newest, third);
        let mixed = _mm_add_epi32(_mm_sha256msg1_epu32(oldest, second), seven_back);
        _mm_sha256msg2_epu32(mixed, newest)
    };
    lane.w[group % 4] = scheduled;
    let input = _mm_add_epi32(scheduled, constants);
    lane.cdgh = _mm_sha256rnds2_epu32(lane.cdgh, lane.abef, input);
    lane.abef = _mm_sha256rnds2_epu32(lane.abef, lane.cdgh, _mm_shuffle_epi32::<0x0e>(input));
}
