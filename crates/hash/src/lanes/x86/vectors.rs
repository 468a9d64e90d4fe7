//! SHA-1 and SHA-256 by the vectors of x86-64: each word of a vector belongs to another message, and all messages go in step.
//!
//! The SHA extensions do four rounds of one message in an instruction, and some CPUs not many of those at a time. What is
//! used here does a part of one round, of up to sixteen messages.
//!
//! One text serves all widths: each module names the instructions of its width, and `kernels!` makes the functions of
//! them. The rounds are unrolled, so that state and schedule are kept in registers. As in `extensions`, no closures.

/// Functions of three bits as the tables that the instruction `vpternlog` takes (FIPS 180-4, section 4.1.1).
mod table {
    pub(super) const CHOOSE: i32 = 0xca;
    pub(super) const PARITY: i32 = 0x96;
    pub(super) const MAJORITY: i32 = 0xe8;
}

/// The round constants of SHA-1 (FIPS 180-4, section 4.2.1), each for 20 rounds.
const SHA1_CONSTANTS: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];

/// A loop without a loop: all that is kept in registers has its place known.
macro_rules! unrolled {
    ($index:ident in $($value:literal)* $body:block) => {
        $({
            let $index = $value;
            $body
        })*
    };
}

/// The functions of both algorithms, of names that their module has for its vectors.
macro_rules! kernels {
    ($features:literal) => {
        use core::mem;

        use super::super::super::BLOCK_LENGTH;
        use super::super::{Block, SHA256_CONSTANTS};
        use super::SHA1_CONSTANTS;
        use super::table::{CHOOSE, MAJORITY, PARITY};

        /// Compresses all blocks of `runs[i]` into `states[i]`. The runs are equally long.
        #[target_feature(enable = $features)]
        pub(in super::super) fn sha1(states: &mut [[u32; 5]; LANES], runs: [&[Block]; LANES]) {
            let mut state = to_vectors(states);
            let count = runs.iter().map(|run| run.len()).min().unwrap_or(0);
            for block in 0..count {
                let mut w = words_of_blocks(&runs, block);
                let before = state;
                state = sha1_rounds::<CHOOSE, 0>(state, &mut w);
                state = sha1_rounds::<PARITY, 1>(state, &mut w);
                state = sha1_rounds::<MAJORITY, 2>(state, &mut w);
                state = sha1_rounds::<PARITY, 3>(state, &mut w);
                for (word, before) in state.iter_mut().zip(before) {
                    *word = add(*word, before);
                }
            }
            *states = to_states(state);
        }

        /// Rounds `20 * PHASE ..` of SHA-1.
        #[inline]
        #[target_feature(enable = $features)]
        fn sha1_rounds<const FUNCTION: i32, const PHASE: usize>(
            [mut a, mut b, mut c, mut d, mut e]: [Vector; 5],
            w: &mut [Vector; 16],
        ) -> [Vector; 5] {
            let constant = splat(SHA1_CONSTANTS[PHASE].cast_signed());
            unrolled!(step in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 {
                let t = PHASE * 20 + step;
                if t >= 16 {
                    let mixed = bitwise::<PARITY>(w[(t + 13) % 16], w[(t + 8) % 16], w[(t + 2) % 16]);
                    w[t % 16] = rotate_left::<1>(xor(mixed, w[t % 16]));
                }
                let input = add(add(e, constant), w[t % 16]);
                let mixed = add(input, bitwise::<FUNCTION>(b, c, d));
                let next = add(mixed, rotate_left::<5>(a));
                [a, b, c, d, e] = [next, a, rotate_left::<30>(b), c, d];
            });
            [a, b, c, d, e]
        }

        /// Compresses all blocks of `runs[i]` into `states[i]`. The runs are equally long.
        #[target_feature(enable = $features)]
        pub(in super::super) fn sha256(states: &mut [[u32; 8]; LANES], runs: [&[Block]; LANES]) {
            let mut state = to_vectors(states);
            let count = runs.iter().map(|run| run.len()).min().unwrap_or(0);
            for block in 0..count {
                let mut w = words_of_blocks(&runs, block);
                let before = state;
                state = sha256_rounds::<0>(state, &mut w);
                state = sha256_rounds::<1>(state, &mut w);
                state = sha256_rounds::<2>(state, &mut w);
                state = sha256_rounds::<3>(state, &mut w);
                for (word, before) in state.iter_mut().zip(before) {
                    *word = add(*word, before);
                }
            }
            *states = to_states(state);
        }

        /// Rounds `16 * PHASE ..` of SHA-256.
        #[inline]
        #[target_feature(enable = $features)]
        fn sha256_rounds<const PHASE: usize>(
            [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h]: [Vector; 8],
            w: &mut [Vector; 16],
        ) -> [Vector; 8] {
            unrolled!(t in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 {
                if PHASE > 0 {
                    let (early, late) = (w[(t + 1) % 16], w[(t + 14) % 16]);
                    let early = bitwise::<PARITY>(
                        rotate_left::<25>(early),
                        rotate_left::<14>(early),
                        shift_right::<3>(early),
                    );
                    let late = bitwise::<PARITY>(
                        rotate_left::<15>(late),
                        rotate_left::<13>(late),
                        shift_right::<10>(late),
                    );
                    w[t] = add(add(w[t], early), add(w[(t + 9) % 16], late));
                }
                let constant = splat(SHA256_CONSTANTS[PHASE * 16 + t].cast_signed());
                let sum = bitwise::<PARITY>(
                    rotate_left::<26>(e),
                    rotate_left::<21>(e),
                    rotate_left::<7>(e),
                );
                let input = add(add(h, constant), w[t]);
                let first = add(add(input, bitwise::<CHOOSE>(e, f, g)), sum);
                let sum = bitwise::<PARITY>(
                    rotate_left::<30>(a),
                    rotate_left::<19>(a),
                    rotate_left::<10>(a),
                );
                let second = add(sum, bitwise::<MAJORITY>(a, b, c));
                [a, b, c, d, e, f, g, h] =
                    [add(first, second), a, b, c, add(d, first), e, f, g];
            });
            [a, b, c, d, e, f, g, h]
        }

        /// The words of one block of each message, as numbers.
        #[inline]
        #[target_feature(enable = $features)]
        fn words_of_blocks(runs: &[&[Block]; LANES], block: usize) -> [Vector; 16] {
            let mut blocks = [&[0; BLOCK_LENGTH]; LANES];
            for (found, run) in blocks.iter_mut().zip(runs) {
                *found = &run[block];
            }
            let mut w = [splat(0); 16];
            for quarter in 0..4 {
                // Four words of a message lie side by side, and are to be in four vectors.
                let [a, b, c, d] = [
                    swap_bytes(rows(&blocks, 0, quarter)),
                    swap_bytes(rows(&blocks, 1, quarter)),
                    swap_bytes(rows(&blocks, 2, quarter)),
                    swap_bytes(rows(&blocks, 3, quarter)),
                ];
                let (ab, cd) = (unpack_low_32(a, b), unpack_low_32(c, d));
                w[quarter * 4] = unpack_low_64(ab, cd);
                w[quarter * 4 + 1] = unpack_high_64(ab, cd);
                let (ab, cd) = (unpack_high_32(a, b), unpack_high_32(c, d));
                w[quarter * 4 + 2] = unpack_low_64(ab, cd);
                w[quarter * 4 + 3] = unpack_high_64(ab, cd);
            }
            w
        }

        /// Turns each word around: the algorithms read big-endian numbers.
        #[inline]
        #[target_feature(enable = $features)]
        fn swap_bytes(words: Vector) -> Vector {
            const QUARTER: [u32; 4] = [0x0001_0203, 0x0405_0607, 0x0809_0a0b, 0x0c0d_0e0f];
            let mut order = [0; LANES];
            for (lane, word) in order.iter_mut().enumerate() {
                *word = QUARTER[lane % 4];
            }
            shuffle_bytes(words, vector(order))
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn vector(words: [u32; LANES]) -> Vector {
            // SAFETY: both are as many words, and any bits make a vector.
            unsafe { mem::transmute::<[u32; LANES], Vector>(words) }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn to_vectors<const WORDS: usize>(states: &[[u32; WORDS]; LANES]) -> [Vector; WORDS] {
            let mut vectors = [splat(0); WORDS];
            for (word, found) in vectors.iter_mut().enumerate() {
                let mut words = [0; LANES];
                for (found, state) in words.iter_mut().zip(states) {
                    *found = state[word];
                }
                *found = vector(words);
            }
            vectors
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn to_states<const WORDS: usize>(vectors: [Vector; WORDS]) -> [[u32; WORDS]; LANES] {
            let mut states = [[0; WORDS]; LANES];
            for (word, vector) in vectors.into_iter().enumerate() {
                // SAFETY: both are as many words, and any bits make words.
                let words = unsafe { mem::transmute::<Vector, [u32; LANES]>(vector) };
                for (state, found) in states.iter_mut().zip(words) {
                    state[word] = found;
                }
            }
            states
        }
    };
}

/// Sixteen messages, with the foundation of AVX-512 and its operations on bytes.
pub(super) mod avx512_16 {
    use core::arch::x86_64::{
        __m512i as Vector, _mm512_add_epi32 as add, _mm512_castsi128_si512, _mm512_inserti32x4,
        _mm512_rol_epi32 as rotate_left, _mm512_set1_epi32 as splat,
        _mm512_shuffle_epi8 as shuffle_bytes, _mm512_srli_epi32 as shift_right,
        _mm512_ternarylogic_epi32 as bitwise, _mm512_unpackhi_epi32 as unpack_high_32,
        _mm512_unpackhi_epi64 as unpack_high_64, _mm512_unpacklo_epi32 as unpack_low_32,
        _mm512_unpacklo_epi64 as unpack_low_64, _mm512_xor_si512 as xor,
    };

    use super::super::load;

    const LANES: usize = 16;

    kernels!("avx512f,avx512bw");

    /// A quarter of the blocks of lanes `row`, `row + 4` and so on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn rows(blocks: &[&Block; LANES], row: usize, quarter: usize) -> Vector {
        let rows = _mm512_castsi128_si512(load(blocks[row], quarter));
        let rows = _mm512_inserti32x4::<1>(rows, load(blocks[row + 4], quarter));
        let rows = _mm512_inserti32x4::<2>(rows, load(blocks[row + 8], quarter));
        _mm512_inserti32x4::<3>(rows, load(blocks[row + 12], quarter))
    }
}

/// Eight messages, with the shorter vectors of AVX-512.
pub(super) mod avx512_8 {
    use core::arch::x86_64::{
        _mm256_rol_epi32 as rotate_left, _mm256_ternarylogic_epi32 as bitwise,
    };

    use super::eight_words::*;

    kernels!("avx512f,avx512bw,avx512vl");
}

/// Eight messages, with AVX2.
pub(super) mod avx2_8 {
    use core::arch::x86_64::{
        _mm256_and_si256, _mm256_or_si256, _mm256_sllv_epi32, _mm256_srlv_epi32,
    };

    use super::eight_words::*;

    kernels!("avx2");

    #[inline]
    #[target_feature(enable = "avx2")]
    fn rotate_left<const BITS: i32>(words: Vector) -> Vector {
        _mm256_or_si256(
            _mm256_sllv_epi32(words, splat(BITS)),
            _mm256_srlv_epi32(words, splat(32 - BITS)),
        )
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn bitwise<const TABLE: i32>(x: Vector, y: Vector, z: Vector) -> Vector {
        match TABLE {
            CHOOSE => xor(z, _mm256_and_si256(x, xor(y, z))),
            PARITY => xor(xor(x, y), z),
            _ => xor(_mm256_and_si256(x, y), _mm256_and_si256(z, xor(x, y))),
        }
    }
}

/// What AVX2 has for eight words, and AVX-512 takes from it.
mod eight_words {
    use super::super::{Block, load};

    pub(super) use core::arch::x86_64::{
        __m256i as Vector, _mm256_add_epi32 as add, _mm256_set1_epi32 as splat,
        _mm256_shuffle_epi8 as shuffle_bytes, _mm256_srli_epi32 as shift_right,
        _mm256_unpackhi_epi32 as unpack_high_32, _mm256_unpackhi_epi64 as unpack_high_64,
        _mm256_unpacklo_epi32 as unpack_low_32, _mm256_unpacklo_epi64 as unpack_low_64,
        _mm256_xor_si256 as xor,
    };

    use core::arch::x86_64::_mm256_set_m128i;

    pub(super) const LANES: usize = 8;

    /// A quarter of the blocks of lanes `row` and `row + 4`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn rows(blocks: &[&Block; LANES], row: usize, quarter: usize) -> Vector {
        _mm256_set_m128i(load(blocks[row + 4], quarter), load(blocks[row], quarter))
    }
}

/// Four messages, with the shortest vectors of AVX-512.
pub(super) mod avx512_4 {
    use core::arch::x86_64::{
        __m128i as Vector, _mm_add_epi32 as add, _mm_rol_epi32 as rotate_left,
        _mm_set1_epi32 as splat, _mm_shuffle_epi8 as shuffle_bytes, _mm_srli_epi32 as shift_right,
        _mm_ternarylogic_epi32 as bitwise, _mm_unpackhi_epi32 as unpack_high_32,
        _mm_unpackhi_epi64 as unpack_high_64, _mm_unpacklo_epi32 as unpack_low_32,
        _mm_unpacklo_epi64 as unpack_low_64, _mm_xor_si128 as xor,
    };

    use super::super::load;

    const LANES: usize = 4;

    kernels!("avx512f,avx512bw,avx512vl");

    /// A quarter of the block of lane `row`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    fn rows(blocks: &[&Block; LANES], row: usize, quarter: usize) -> Vector {
        load(blocks[row], quarter)
    }
}
