//! Convolutions of each channel on its own.
//!
//! A block of channels is copied with its border into scratch memory first, a few rows at a time, so that the inner
//! loop knows no border and reads what lies close together.

use super::vector::Vector;

/// One row of output pixels, of one block of channels.
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// Scratch: the first input pixel of the first output pixel; pixels are `LANES` numbers apart.
    pub(super) input: *const f32,
    /// Numbers from one scratch row to the next.
    pub(super) row_stride: usize,
    /// `kernel * kernel` vectors.
    pub(super) weight: *const f32,
    pub(super) bias: *const f32,
    pub(super) output: *mut f32,
    /// Numbers from one output pixel to the next.
    pub(super) output_stride: usize,
    /// Output pixels.
    pub(super) width: usize,
    pub(super) low: f32,
    pub(super) high: f32,
}

/// Computes a row.
///
/// # Safety
/// The instructions of `V` must be there, and the pointers of `row` good for what its fields say.
#[inline(always)]
pub(super) unsafe fn row<V: Vector, const K: usize, const S: usize>(row: &Row) {
    let mut x = 0;
    // SAFETY: the caller's promise; each tile ends before `row.width`.
    unsafe {
        while x + 14 <= row.width {
            tile::<V, K, S, 14>(row, x);
            x += 14;
        }
        while x + 7 <= row.width {
            tile::<V, K, S, 7>(row, x);
            x += 7;
        }
        while x + 3 <= row.width {
            tile::<V, K, S, 3>(row, x);
            x += 3;
        }
        while x < row.width {
            tile::<V, K, S, 1>(row, x);
            x += 1;
        }
    }
}

/// `W` output pixels from `x` on.
#[inline(always)]
unsafe fn tile<V: Vector, const K: usize, const S: usize, const W: usize>(row: &Row, x: usize) {
    // SAFETY: the caller of `row` promises `width` pixels, and `x + W` is not beyond it.
    unsafe {
        let mut sums = [V::load(row.bias); W];
        let input = row.input.add(x * S * V::LANES);
        let mut weight = row.weight;
        for ky in 0..K {
            let line = input.add(ky * row.row_stride);
            for kx in 0..K {
                let factor = V::load(weight);
                weight = weight.add(V::LANES);
                for pixel in 0..W {
                    let value = V::load(line.add((pixel * S + kx) * V::LANES));
                    sums[pixel] = sums[pixel].fma(value, factor);
                }
            }
        }
        let (low, high) = (V::splat(row.low), V::splat(row.high));
        for pixel in 0..W {
            sums[pixel].clamp(low, high).store(row.output.add((x + pixel) * row.output_stride));
        }
    }
}

/// Copies `count` vectors that lie `stride` numbers apart, one after the other.
///
/// # Safety
/// The instructions of `V` must be there, and both pointers good for `count` vectors.
#[inline(always)]
pub(super) unsafe fn gather<V: Vector>(from: *const f32, stride: usize, count: usize, to: *mut f32) {
    for index in 0..count {
        // SAFETY: the caller's promise.
        unsafe { V::load(from.add(index * stride)).store(to.add(index * V::LANES)) };
    }
}
