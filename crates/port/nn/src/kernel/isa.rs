//! The instruction sets, and the inner loops compiled for each.

use super::depthwise::{self, Row};
use super::gemm::{self, Band, Tiles};
use super::vector;

/// Instructions that the inner loops are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512F: sixteen numbers at once.
    Avx512,
    /// AVX2 and FMA: eight.
    Avx2,
    /// NEON: four.
    Neon,
    /// Plain Rust, on any processor.
    Portable,
}

impl Isa {
    /// All of them.
    pub const ALL: [Isa; 4] = [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Portable];

    /// The best that this processor has.
    pub fn best() -> Isa {
        Isa::ALL.into_iter().find(|isa| isa.available()).unwrap_or(Isa::Portable)
    }

    /// Whether this processor has it.
    pub fn available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            Isa::Portable => true,
            _ => false,
        }
    }

    /// Its name, as in reports.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Neon => "neon",
            Isa::Portable => "portable",
        }
    }

    pub(super) fn kernels(self) -> &'static Kernels {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if self.available() => &avx512::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 if self.available() => &avx2::KERNELS,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon if self.available() => &neon::KERNELS,
            _ => &portable::KERNELS,
        }
    }
}

/// The inner loops of one instruction set. Calling one is sound if its pointers are good: the set was looked for.
pub(super) struct Kernels {
    /// Numbers in a register.
    pub(super) lanes: usize,
    /// Pixels of a tile at most.
    pub(super) rows: usize,
    /// Tiles `first..last` of a band, with a panel of `wide` vectors (1 or 2; also 4 for a single pixel).
    pub(super) band: unsafe fn(wide: usize, band: &Band, tiles: Tiles, first: usize, last: usize),
    /// A row of a depthwise convolution with a kernel of 3, 5 or 7 and a stride of 1 or 2.
    pub(super) row: unsafe fn(kernel: usize, stride: usize, row: &Row),
    /// Copies vectors together.
    pub(super) gather: unsafe fn(from: *const f32, stride: usize, count: usize, to: *mut f32),
}

macro_rules! kernels {
    ($module:ident, $vector:ident, $rows:literal, [$($row:literal),*] $(, $feature:literal)?) => {
        mod $module {
            use super::vector::{self, Vector};
            use super::{Band, Kernels, Row, Tiles, depthwise, gemm};

            type V = vector::$vector;

            pub(super) static KERNELS: Kernels = Kernels { lanes: V::LANES, rows: $rows, band, row, gather };

            $(#[target_feature(enable = $feature)])?
            unsafe fn tile<const ROWS: usize, const WIDE: usize>(band: &Band) {
                // SAFETY: the instructions are enabled; the rest is the caller's promise.
                unsafe {
                    match band.offsets.is_null() {
                        true => gemm::tile::<V, ROWS, WIDE, false>(band),
                        false => gemm::tile::<V, ROWS, WIDE, true>(band),
                    }
                }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn band(wide: usize, band: &Band, tiles: Tiles, first: usize, last: usize) {
                for index in first..last {
                    // SAFETY: the caller promises all tiles of the band.
                    unsafe {
                        let band = band.later(tiles.start(index));
                        match (tiles.len(index), wide) {
                            (1, 4) => tile::<1, 4>(&band),
                            $(($row, 2) => tile::<$row, 2>(&band), ($row, 1) => tile::<$row, 1>(&band),)*
                            _ => unreachable!("tiles and panels are made for these kernels"),
                        }
                    }
                }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn row(kernel: usize, stride: usize, row: &Row) {
                // SAFETY: the instructions are enabled; the rest is the caller's promise.
                unsafe {
                    match (kernel, stride) {
                        (3, 1) => depthwise::row::<V, 3, 1>(row),
                        (3, 2) => depthwise::row::<V, 3, 2>(row),
                        (5, 1) => depthwise::row::<V, 5, 1>(row),
                        (5, 2) => depthwise::row::<V, 5, 2>(row),
                        (7, 1) => depthwise::row::<V, 7, 1>(row),
                        (7, 2) => depthwise::row::<V, 7, 2>(row),
                        _ => unreachable!("other kernels are refused when a graph is loaded"),
                    }
                }
            }

            $(#[target_feature(enable = $feature)])?
            unsafe fn gather(from: *const f32, stride: usize, count: usize, to: *mut f32) {
                // SAFETY: the instructions are enabled; the rest is the caller's promise.
                unsafe { depthwise::gather::<V>(from, stride, count, to) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(avx512, Zmm, 14, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], "avx512f");
#[cfg(target_arch = "x86_64")]
kernels!(avx2, Ymm, 6, [1, 2, 3, 4, 5, 6], "avx2,fma");
#[cfg(target_arch = "aarch64")]
kernels!(neon, Neon, 12, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], "neon");
kernels!(portable, Plain, 6, [1, 2, 3, 4, 5, 6]);
