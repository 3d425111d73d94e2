//! Products of pixels and weights: a few pixels times a panel of output channels stay in registers.

use super::vector::Vector;

/// A band of pixels times one panel of weights.
#[derive(Clone, Copy)]
pub(super) struct Band {
    /// First input number of the first pixel.
    pub(super) input: *const f32,
    /// Numbers from one pixel to the next.
    pub(super) input_stride: usize,
    /// Where the other inputs of a pixel lie, from its first; null if they lie one after the other.
    pub(super) offsets: *const usize,
    /// Inputs of a pixel.
    pub(super) depth: usize,
    /// `depth` rows of the panel's width.
    pub(super) weight: *const f32,
    /// The panel's width.
    pub(super) bias: *const f32,
    /// First output number of the first pixel.
    pub(super) output: *mut f32,
    /// Numbers from one output pixel to the next, in the residual also.
    pub(super) output_stride: usize,
    /// Added to the result; null for nothing.
    pub(super) residual: *const f32,
    /// Limits of the result.
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Band {
    /// The band that begins `pixels` later.
    ///
    /// # Safety
    /// It must lie in the same buffers.
    #[inline(always)]
    pub(super) unsafe fn later(self, pixels: usize) -> Band {
        // SAFETY: the caller says that the pixels exist.
        unsafe {
            Band {
                input: self.input.add(pixels * self.input_stride),
                output: self.output.add(pixels * self.output_stride),
                residual: match self.residual.is_null() {
                    true => self.residual,
                    false => self.residual.add(pixels * self.output_stride),
                },
                ..self
            }
        }
    }
}

/// `ROWS` pixels times `WIDE` vectors of outputs; `TABLE` if the band has offsets.
///
/// # Safety
/// The instructions of `V` must be there, and every pointer of the band good for what its fields say: `ROWS` pixels,
/// `WIDE * V::LANES` outputs.
#[inline(always)]
pub(super) unsafe fn tile<V: Vector, const ROWS: usize, const WIDE: usize, const TABLE: bool>(band: &Band) {
    let Band { input, input_stride, offsets, depth, weight, bias, output, output_stride, residual, .. } =
        *band;
    // SAFETY: the caller's promise; indices stay below `ROWS`, `WIDE` and `depth`.
    unsafe {
        let mut sums = [[V::splat(0.0); WIDE]; ROWS];
        for column in 0..WIDE {
            let start = V::load(bias.add(column * V::LANES));
            for row in 0..ROWS {
                sums[row][column] = start;
            }
        }
        let mut weight = weight;
        for k in 0..depth {
            let mut weights = [V::splat(0.0); WIDE];
            for column in 0..WIDE {
                weights[column] = V::load(weight.add(column * V::LANES));
            }
            weight = weight.add(WIDE * V::LANES);
            let at = if TABLE { *offsets.add(k) } else { k };
            for row in 0..ROWS {
                let value = V::splat(*input.add(row * input_stride + at));
                for column in 0..WIDE {
                    sums[row][column] = sums[row][column].fma(value, weights[column]);
                }
            }
        }
        let (low, high) = (V::splat(band.low), V::splat(band.high));
        for row in 0..ROWS {
            for column in 0..WIDE {
                let at = row * output_stride + column * V::LANES;
                let mut sum = sums[row][column];
                if !residual.is_null() {
                    sum = sum.add(V::load(residual.add(at)));
                }
                sum.clamp(low, high).store(output.add(at));
            }
        }
    }
}

/// Pixels of each tile, as even as can be: `count` tiles of `size`, the first `longer` of them one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiles {
    pub(super) count: usize,
    size: usize,
    longer: usize,
}

impl Tiles {
    pub(super) fn of(pixels: usize, rows: usize) -> Tiles {
        let count = pixels.div_ceil(rows).max(1);
        Tiles { count, size: pixels / count, longer: pixels % count }
    }

    /// First pixel of a tile.
    pub(super) fn start(self, tile: usize) -> usize {
        tile * self.size + tile.min(self.longer)
    }

    /// Pixels of a tile.
    pub(super) fn len(self, tile: usize) -> usize {
        self.size + usize::from(tile < self.longer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_every_pixel_once() {
        for pixels in 1..200 {
            for rows in 1..15 {
                let tiles = Tiles::of(pixels, rows);
                let mut next = 0;
                for tile in 0..tiles.count {
                    assert_eq!(tiles.start(tile), next);
                    assert!((1..=rows).contains(&tiles.len(tile)));
                    next += tiles.len(tile);
                }
                assert_eq!(next, pixels);
            }
        }
    }
}
