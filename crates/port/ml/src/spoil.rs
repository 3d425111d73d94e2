//! The same photo as a worse camera would have taken it: for judging how robust a model is.
//!
//! Always the same result for the same photo; strengths are fixed so that figures of different days can be compared.

use crate::photo::Photo;

/// A way to spoil a photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoil {
    /// Out of focus: three box blurs with a radius of a hundredth of the short side.
    Blur,
    /// A third of the light, with noise.
    LowLight,
    /// Sent through at 96 pixels.
    Small,
    /// Turned by 15 degrees, cut to what is left.
    Rotation,
    /// JPEG at quality 15.
    Compressed,
}

impl Spoil {
    /// All of them.
    pub const ALL: [Spoil; 5] =
        [Spoil::Blur, Spoil::LowLight, Spoil::Small, Spoil::Rotation, Spoil::Compressed];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Spoil::Blur => "blur",
            Spoil::LowLight => "low_light",
            Spoil::Small => "small",
            Spoil::Rotation => "rotation",
            Spoil::Compressed => "compressed",
        }
    }

    /// The spoilt photo. Large photos are made smaller first; the model would not see the difference.
    pub fn apply(self, photo: &Photo) -> Photo {
        let photo = &photo.at_most(512);
        match self {
            Spoil::Blur => blurred(photo),
            Spoil::LowLight => darkened(photo),
            Spoil::Small => {
                let (width, height) = (photo.width(), photo.height());
                photo.at_most(96).scaled(width, height)
            }
            Spoil::Rotation => turned(photo, 15.0f32.to_radians()),
            Spoil::Compressed => photo.compressed(15),
        }
    }
}

fn made(photo: &Photo, rgb: Vec<u8>) -> Photo {
    Photo::from_rgb(photo.width(), photo.height(), rgb).expect("as many bytes as the photo had")
}

fn blurred(photo: &Photo) -> Photo {
    let (width, height) = (photo.width() as usize, photo.height() as usize);
    let radius = (width.min(height) / 100).max(1);
    let mut rgb = photo.rgb().to_vec();
    for _ in 0..3 {
        rgb = box_blur(&rgb, width, height, 3, 3 * width, radius);
        rgb = box_blur(&rgb, height, width, 3 * width, 3, radius);
    }
    made(photo, rgb)
}

/// Means over `2 * radius + 1` neighbours along lines of `length` pixels that lie `step` bytes apart.
fn box_blur(
    rgb: &[u8],
    length: usize,
    lines: usize,
    step: usize,
    line_step: usize,
    radius: usize,
) -> Vec<u8> {
    let mut blurred = vec![0; rgb.len()];
    for line in 0..lines {
        for channel in 0..3 {
            let at = |index: usize| line * line_step + index * step + channel;
            let mut sum: usize = (0..radius.min(length)).map(|index| usize::from(rgb[at(index)])).sum();
            for index in 0..length {
                if index + radius < length {
                    sum += usize::from(rgb[at(index + radius)]);
                }
                if index > radius {
                    sum -= usize::from(rgb[at(index - radius - 1)]);
                }
                let count = (index + radius).min(length - 1) - index.saturating_sub(radius) + 1;
                blurred[at(index)] = (sum / count) as u8;
            }
        }
    }
    blurred
}

fn darkened(photo: &Photo) -> Photo {
    let mut noise = 0x1234_5678_u32;
    let dark = photo.rgb().iter().map(|value| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grain = (noise >> 24) as f32 / 255.0 * 24.0 - 12.0;
        (f32::from(*value) * 0.33 + grain).clamp(0.0, 255.0) as u8
    });
    made(photo, dark.collect())
}

fn turned(photo: &Photo, angle: f32) -> Photo {
    let (width, height) = (photo.width() as f32, photo.height() as f32);
    let (sin, cos) = angle.sin_cos();
    // Enlarged by as much as is needed for no corner to show.
    let scale = cos + sin * (width / height).max(height / width);
    let mut rgb = Vec::with_capacity(photo.rgb().len());
    for y in 0..photo.height() {
        for x in 0..photo.width() {
            let (dx, dy) = ((x as f32 + 0.5 - width / 2.0) / scale, (y as f32 + 0.5 - height / 2.0) / scale);
            let from = (cos * dx - sin * dy + width / 2.0 - 0.5, sin * dx + cos * dy + height / 2.0 - 0.5);
            rgb.extend(between(photo, from));
        }
    }
    made(photo, rgb)
}

/// The colour between four pixels.
fn between(photo: &Photo, (x, y): (f32, f32)) -> [u8; 3] {
    let (x, y) = (x.clamp(0.0, photo.width() as f32 - 1.0), y.clamp(0.0, photo.height() as f32 - 1.0));
    let (left, top) = (x as usize, y as usize);
    let (right, bottom) =
        ((left + 1).min(photo.width() as usize - 1), (top + 1).min(photo.height() as usize - 1));
    let (fx, fy) = (x - left as f32, y - top as f32);
    let pixel = |x: usize, y: usize, channel: usize| {
        f32::from(photo.rgb()[3 * (y * photo.width() as usize + x) + channel])
    };
    std::array::from_fn(|channel| {
        let above = pixel(left, top, channel) * (1.0 - fx) + pixel(right, top, channel) * fx;
        let below = pixel(left, bottom, channel) * (1.0 - fx) + pixel(right, bottom, channel) * fx;
        (above * (1.0 - fy) + below * fy) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photos_change_a_little_and_keep_their_size() {
        let photo = Photo::sample();
        for spoil in Spoil::ALL {
            let spoilt = spoil.apply(&photo);
            assert_eq!((spoilt.width(), spoilt.height()), (photo.width(), photo.height()), "{spoil:?}");
            let sum: u64 = spoilt.rgb().iter().zip(photo.rgb()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            let mean = sum as f64 / photo.rgb().len() as f64;
            assert!((1.0..100.0).contains(&mean), "{spoil:?}: {mean}");
            assert_eq!(spoilt, spoil.apply(&photo));
        }
        // A dot has no neighbours.
        let dot = Photo::from_rgb(1, 1, vec![9; 3]).unwrap();
        for spoil in Spoil::ALL {
            spoil.apply(&dot);
        }
    }

    #[test]
    fn one_colour_stays_one_colour_when_blurred_or_turned() {
        let plain = Photo::from_rgb(120, 90, [90, 120, 30].repeat(120 * 90)).unwrap();
        for spoil in [Spoil::Blur, Spoil::Small, Spoil::Rotation] {
            let spoilt = spoil.apply(&plain);
            assert!(spoilt.rgb().iter().zip(plain.rgb()).all(|(a, b)| a.abs_diff(*b) <= 1), "{spoil:?}");
        }
    }
}
