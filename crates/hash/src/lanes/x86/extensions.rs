//! SHA-1 and SHA-256 with the SHA extensions of x86-64, up to four lanes in one loop.
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

use super::{Block, SHA256_CONSTANTS, load};

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

/// Compresses all blocks of `runs[i]` into `states[i]`. The runs are equally long.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(super) fn sha1<const N: usize>(states: &mut [[u32; 5]; N], runs: [&[Block]; N]) {
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

/// The registers of one SHA-256 lane: the halves of the state as `sha256rnds2` wants them, the highest word first,
/// and the last 16 words of the message schedule.
#[derive(Clone, Copy)]
struct Sha256Registers {
    abef: __m128i,
    cdgh: __m128i,
    w: [__m128i; 4],
}

/// Compresses all blocks of `runs[i]` into `states[i]`. The runs are equally long.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(super) fn sha256<const N: usize>(states: &mut [[u32; 8]; N], runs: [&[Block]; N]) {
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
        for (group, &[k0, k1, k2, k3]) in SHA256_CONSTANTS.as_chunks().0.iter().enumerate() {
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
