//! From a photo to the model's input: resize, crop, normalise.
//!
//! The contract is the one the backbone was trained with: short side to 256 pixels with a bilinear convolution (as
//! Pillow does it), the centre 224 x 224, `(value - 127) / 128`, RGB, channels first.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::photo::Photo;

/// Side of the model's input, in pixels.
pub const INPUT_SIDE: usize = 224;
/// Short side of the photo before the crop, in pixels.
pub const SHORT_SIDE: u32 = 256;
/// Subtracted from every value, 0 to 255.
pub const MEAN: f32 = 127.0;
/// Divides what is left.
pub const STD: f32 = 128.0;

/// How a pixel's values become the network's input, for red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pixels {
    /// Subtracted from each value, 0 to 255.
    pub mean: [f32; 3],
    /// Divides what is left.
    pub std: [f32; 3],
}

impl Default for Pixels {
    /// What the bundled backbone was trained with.
    fn default() -> Self {
        Pixels { mean: [MEAN; 3], std: [STD; 3] }
    }
}
/// Numbers in one input.
pub const INPUT_LEN: usize = 3 * INPUT_SIDE * INPUT_SIDE;

/// A photo longer than this many times its short side is cut to it first, around its centre: it bounds the memory of the
/// resized photo and changes nothing that the crop would see.
const MAX_ASPECT: u32 = 3;

/// Which part of a photo the model looks at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Short side after resizing.
    pub short_side: u32,
    /// Where the crop lies from left (0) to right (1).
    pub horizontal: f32,
    /// Where the crop lies from top (0) to bottom (1).
    pub vertical: f32,
    /// Left and right exchanged.
    pub mirrored: bool,
}

impl Default for View {
    /// The view of the contract: the centre, as it is.
    fn default() -> Self {
        View { short_side: SHORT_SIDE, horizontal: 0.5, vertical: 0.5, mirrored: false }
    }
}

impl View {
    /// The contract's view in a mirror: one more example of the same photo.
    pub fn mirrored() -> Self {
        View { mirrored: true, ..View::default() }
    }
}

/// Appends the model's input for one view of `photo`: red, green and blue planes, top row first.
pub fn append_input(photo: &Photo, view: View, pixels: &Pixels, input: &mut Vec<f32>) {
    let (width, height, rgb) = resized(photo, view.short_side.max(INPUT_SIDE as u32));
    let left = offset(width, view.horizontal);
    let top = offset(height, view.vertical);
    input.reserve(INPUT_LEN);
    for channel in 0..3 {
        let (mean, std) = (pixels.mean[channel], pixels.std[channel]);
        // A division for each of 256 values, not for each of 50,000.
        let table: [f32; 256] = std::array::from_fn(|value| (value as f32 - mean) / std);
        for y in top..top + INPUT_SIDE {
            let row = &rgb[(y * width + left) * 3..(y * width + left + INPUT_SIDE) * 3];
            let values = row.chunks_exact(3).map(|pixel| table[usize::from(pixel[channel])]);
            if view.mirrored { input.extend(values.rev()) } else { input.extend(values) }
        }
    }
}

impl Photo {
    /// The photo at another size.
    pub fn scaled(&self, width: u32, height: u32) -> Photo {
        let (width, height) = (width.max(1), height.max(1));
        if (width, height) == (self.width(), self.height()) {
            return self.clone();
        }
        let source = ImageRef::new(self.width(), self.height(), self.rgb(), PixelType::U8x3)
            .expect("a photo holds three bytes for each pixel");
        let mut target = Image::new(width, height, PixelType::U8x3);
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        Resizer::new().resize(&source, &mut target, &options).expect("both images have the same pixel type");
        Photo::from_rgb(width, height, target.into_vec()).expect("an image holds three bytes for each pixel")
    }

    /// The photo with its short side at `short` pixels, if it is larger.
    pub fn at_most(&self, short: u32) -> Photo {
        let side = self.width().min(self.height());
        if side <= short {
            return self.clone();
        }
        let scale = |length: u32| (u64::from(length) * u64::from(short) / u64::from(side)) as u32;
        self.scaled(scale(self.width()), scale(self.height()))
    }

    /// The part of the contract's view, as a photo of its own.
    pub(crate) fn centre(&self) -> Photo {
        let (width, height, rgb) = resized(self, SHORT_SIDE);
        let (left, top) = (offset(width, 0.5), offset(height, 0.5));
        let rows = (top..top + INPUT_SIDE)
            .flat_map(|y| &rgb[(y * width + left) * 3..(y * width + left + INPUT_SIDE) * 3]);
        let side = INPUT_SIDE as u32;
        Photo::from_rgb(side, side, rows.copied().collect()).expect("a crop holds three bytes for each pixel")
    }
}

fn offset(length: usize, share: f32) -> usize {
    let room = length - INPUT_SIDE;
    // Halves go to the even neighbour, as in Python, where the reference lives.
    ((room as f32 * share.clamp(0.0, 1.0)).round_ties_even() as usize).min(room)
}

/// The photo with its short side at `short`: width, height, RGB rows.
fn resized(photo: &Photo, short: u32) -> (usize, usize, Vec<u8>) {
    let (left, top, width, height) = source_box(photo.width(), photo.height());
    let scale = |side: u32, other: u32| {
        if side <= other { short } else { (u64::from(short) * u64::from(side) / u64::from(other)) as u32 }
    };
    let (new_width, new_height) = (scale(width, height), scale(height, width));
    if (new_width, new_height) == (photo.width(), photo.height()) {
        return (new_width as usize, new_height as usize, photo.rgb().to_vec());
    }
    let source = ImageRef::new(photo.width(), photo.height(), photo.rgb(), PixelType::U8x3)
        .expect("a photo holds three bytes for each pixel");
    let mut target = Image::new(new_width, new_height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(
        f64::from(left),
        f64::from(top),
        f64::from(width),
        f64::from(height),
    );
    Resizer::new()
        .resize(&source, &mut target, &options)
        .expect("both images have the same pixel type and the box lies inside the source");
    (new_width as usize, new_height as usize, target.into_vec())
}

/// The part of the photo that is resized: all of it, unless it is a long strip.
fn source_box(width: u32, height: u32) -> (u32, u32, u32, u32) {
    let new_width = width.min(height.saturating_mul(MAX_ASPECT));
    let new_height = height.min(width.saturating_mul(MAX_ASPECT));
    ((width - new_width) / 2, (height - new_height) / 2, new_width, new_height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(photo: &Photo, view: View) -> Vec<f32> {
        let mut input = Vec::new();
        append_input(photo, view, &Pixels::default(), &mut input);
        input
    }

    #[test]
    fn one_colour_stays_one_colour() {
        let photo = Photo::from_rgb(300, 400, [255, 127, 0].repeat(300 * 400)).unwrap();
        let input = input(&photo, View::default());
        assert_eq!(input.len(), INPUT_LEN);
        let plane = INPUT_SIDE * INPUT_SIDE;
        assert!(input[..plane].iter().all(|v| *v == 1.0));
        assert!(input[plane..2 * plane].iter().all(|v| *v == 0.0));
        assert!(input[2 * plane..].iter().all(|v| *v == -127.0 / 128.0));
    }

    #[test]
    fn the_centre_of_a_photo_of_the_right_size_is_copied() {
        let rgb: Vec<u8> = (0..256 * 256).flat_map(|i| [(i % 256) as u8, (i / 256) as u8, 0]).collect();
        let photo = Photo::from_rgb(256, 256, rgb).unwrap();
        let plain = input(&photo, View::default());
        assert_eq!(plain[0], (16.0 - MEAN) / STD);
        assert_eq!(plain[INPUT_SIDE - 1], (239.0 - MEAN) / STD);
        let mirrored = input(&photo, View::mirrored());
        assert_eq!(mirrored[0], (239.0 - MEAN) / STD);
    }

    #[test]
    fn strips_and_dots_are_bounded() {
        for (width, height) in [(1, 1), (1, 40_000), (40_000, 1), (3, 2), (223, 5)] {
            let photo = Photo::from_rgb(width, height, vec![9; (3 * width * height) as usize]).unwrap();
            let (new_width, new_height, _) = resized(&photo, SHORT_SIDE);
            assert!(new_width * new_height <= 256 * 256 * 3, "{new_width} x {new_height}");
            assert_eq!(input(&photo, View::default()).len(), INPUT_LEN);
        }
    }
}
