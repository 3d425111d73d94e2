//! A handful of numbers that are worked on at once, for each instruction set.
//!
//! Every method is unsafe for the same two reasons: the processor must have the instructions, and pointers must be good
//! for [`Vector::LANES`] numbers. They are inlined into functions that enable the instructions.

/// Numbers in one register.
pub(super) trait Vector: Copy {
    /// How many.
    const LANES: usize;
    /// The same number in every lane.
    unsafe fn splat(value: f32) -> Self;
    /// Reads from memory, wherever it lies.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes to memory, wherever it lies.
    unsafe fn store(self, to: *mut f32);
    /// `a * b + self`
    unsafe fn fma(self, a: Self, b: Self) -> Self;
    /// `self + other`
    unsafe fn add(self, other: Self) -> Self;
    /// Between `low` and `high`; what is not a number stays so.
    unsafe fn clamp(self, low: Self, high: Self) -> Self;
}

/// Four numbers in plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Plain([f32; 4]);

impl Vector for Plain {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Plain([value; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller says that four numbers lie there.
        Plain(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller says that four numbers fit there.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // Without the instruction a fused product is a slow library call, so it is a product and a sum.
        let mut sum = self.0;
        for lane in 0..4 {
            sum[lane] += a.0[lane] * b.0[lane];
        }
        Plain(sum)
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        let mut sum = self.0;
        for lane in 0..4 {
            sum[lane] += other.0[lane];
        }
        Plain(sum)
    }

    #[inline(always)]
    unsafe fn clamp(self, low: Self, high: Self) -> Self {
        let mut value = self.0;
        for lane in 0..4 {
            value[lane] = if value[lane] < low.0[lane] { low.0[lane] } else { value[lane] };
            value[lane] = if value[lane] > high.0[lane] { high.0[lane] } else { value[lane] };
        }
        Plain(value)
    }
}

#[cfg(target_arch = "x86_64")]
macro_rules! x86 {
    ($name:ident, $register:ident, $lanes:literal, $splat:ident, $load:ident, $store:ident, $fma:ident, $add:ident,
     $max:ident, $min:ident) => {
        /// A register of the x86 family.
        #[derive(Clone, Copy)]
        pub(in crate::kernel) struct $name(std::arch::x86_64::$register);

        impl Vector for $name {
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(value: f32) -> Self {
                // SAFETY: the caller has the instructions.
                $name(unsafe { std::arch::x86_64::$splat(value) })
            }

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: the caller has the instructions and good memory; the instruction needs no alignment.
                $name(unsafe { std::arch::x86_64::$load(from) })
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: the caller has the instructions and good memory; the instruction needs no alignment.
                unsafe { std::arch::x86_64::$store(to, self.0) }
            }

            #[inline(always)]
            unsafe fn fma(self, a: Self, b: Self) -> Self {
                // SAFETY: the caller has the instructions.
                $name(unsafe { std::arch::x86_64::$fma(a.0, b.0, self.0) })
            }

            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: the caller has the instructions.
                $name(unsafe { std::arch::x86_64::$add(self.0, other.0) })
            }

            #[inline(always)]
            unsafe fn clamp(self, low: Self, high: Self) -> Self {
                // SAFETY: the caller has the instructions. They give the second operand if one is not a number.
                $name(unsafe { std::arch::x86_64::$min(high.0, std::arch::x86_64::$max(low.0, self.0)) })
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
x86!(
    Zmm,
    __m512,
    16,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_fmadd_ps,
    _mm512_add_ps,
    _mm512_max_ps,
    _mm512_min_ps
);
#[cfg(target_arch = "x86_64")]
x86!(
    Ymm,
    __m256,
    8,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_fmadd_ps,
    _mm256_add_ps,
    _mm256_max_ps,
    _mm256_min_ps
);

/// A register of the ARM family.
#[cfg(target_arch = "aarch64")]
#[derive(Clone, Copy)]
pub(super) struct Neon(std::arch::aarch64::float32x4_t);

#[cfg(target_arch = "aarch64")]
impl Vector for Neon {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller has the instructions.
        Neon(unsafe { std::arch::aarch64::vdupq_n_f32(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller has the instructions and good memory.
        Neon(unsafe { std::arch::aarch64::vld1q_f32(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller has the instructions and good memory.
        unsafe { std::arch::aarch64::vst1q_f32(to, self.0) }
    }

    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        // SAFETY: the caller has the instructions.
        Neon(unsafe { std::arch::aarch64::vfmaq_f32(self.0, a.0, b.0) })
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller has the instructions.
        Neon(unsafe { std::arch::aarch64::vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn clamp(self, low: Self, high: Self) -> Self {
        // SAFETY: the caller has the instructions; what is not a number stays so.
        Neon(unsafe { std::arch::aarch64::vminq_f32(high.0, std::arch::aarch64::vmaxq_f32(low.0, self.0)) })
    }
}
