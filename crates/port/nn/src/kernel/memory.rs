//! Memory on cache-line borders that several threads write to, each its own part.

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// Numbers on a cache-line border, reached through a raw pointer only.
pub(super) struct Buffer {
    pointer: *mut f32,
    length: usize,
    /// Owns the memory; never touched again while `pointer` is in use.
    _lines: Vec<Line>,
}

// SAFETY: a buffer owns its memory and is nothing but numbers. Who reads and writes what is the concern of the unsafe
// functions that take the pointer.
unsafe impl Send for Buffer {}
// SAFETY: as above; safe methods that write take `&mut self`.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `length` zeros.
    pub(super) fn zeros(length: usize) -> Buffer {
        let mut lines = vec![Line([0.0; 16]); length.div_ceil(16)];
        Buffer { pointer: lines.as_mut_ptr().cast(), length, _lines: lines }
    }

    pub(super) fn of(values: &[f32]) -> Buffer {
        let mut buffer = Buffer::zeros(values.len());
        buffer.slice_mut().copy_from_slice(values);
        buffer
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn pointer(&self) -> *mut f32 {
        self.pointer
    }

    pub(super) fn slice_mut(&mut self) -> &mut [f32] {
        // SAFETY: the memory holds `length` initialised numbers, and `&mut self` says that nobody else uses it.
        unsafe { std::slice::from_raw_parts_mut(self.pointer, self.length) }
    }

    /// The numbers.
    ///
    /// # Safety
    /// Nobody may write to the buffer while the slice lives.
    pub(super) unsafe fn slice(&self) -> &[f32] {
        // SAFETY: the memory holds `length` initialised numbers; the caller promises that they stay as they are.
        unsafe { std::slice::from_raw_parts(self.pointer, self.length) }
    }
}
