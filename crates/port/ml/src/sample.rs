//! A picture made by arithmetic: a plate with a fried egg, for tests that must not carry a photo.

use crate::photo::Photo;

const SIDE: u32 = 320;

impl Photo {
    /// The sample picture, always the same: a fried egg on a plate on a wooden table.
    pub fn sample() -> Photo {
        let mut noise = 0x2545_F491_u32;
        let mut rgb = Vec::with_capacity((SIDE * SIDE * 3) as usize);
        for y in 0..SIDE {
            for x in 0..SIDE {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let grain = (noise >> 28) as f32 - 8.0;
                rgb.extend(colour(x as f32, y as f32).map(|c| (c + grain).clamp(0.0, 255.0) as u8));
            }
        }
        Photo::from_rgb(SIDE, SIDE, rgb).expect("three bytes were made for each pixel")
    }
}

/// The colour at a point, before grain.
fn colour(x: f32, y: f32) -> [f32; 3] {
    let centre = SIDE as f32 / 2.0;
    let (dx, dy) = (x - centre, y - centre);
    let distance = dx.hypot(dy);
    let angle = dy.atan2(dx);
    let white = 92.0 + 9.0 * (3.0 * angle).sin() + 5.0 * (7.0 * angle + 1.0).sin();
    let (yx, yy) = (dx + 12.0, dy + 8.0);
    let yolk = yx.hypot(yy);
    if yolk < 38.0 {
        let shine = (1.0 - (yx + 12.0).hypot(yy + 14.0) / 16.0).max(0.0) * 70.0;
        [250.0 - yolk * 0.4 + shine, 178.0 - yolk * 0.9 + shine, 32.0 + shine]
    } else if distance < white {
        let rim = ((distance - white + 14.0) / 14.0).clamp(0.0, 1.0);
        [248.0 - 40.0 * rim * rim, 246.0 - 74.0 * rim * rim, 238.0 - 120.0 * rim * rim]
    } else if distance < 142.0 {
        let rim = if (118.0..124.0).contains(&distance) { 22.0 } else { 0.0 };
        [120.0 - rim, 138.0 - rim, 160.0 - rim]
    } else {
        let grain = 14.0 * (y * 0.16 + 3.0 * (x * 0.02).sin()).sin();
        [134.0 + grain, 92.0 + grain, 58.0 + grain]
    }
}
