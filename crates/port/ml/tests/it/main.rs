//! The model's room as its users see it.

mod bundled;
mod dataset;
mod folder;
mod model;
mod outside;
mod photos;

use galley_ml::Photo;

/// A picture of one hue with stripes: cheap, and different for every number.
pub fn picture(number: u32) -> Photo {
    let side = 64;
    let rgb = (0..side * side)
        .flat_map(|i| {
            let stripe = if (i % side + number) % 9 < 4 { 40 } else { 0 };
            [
                (number * 37 % 200) as u8 + stripe,
                (number * 91 % 200) as u8 + stripe,
                (number * 53 % 200) as u8,
            ]
        })
        .collect();
    Photo::from_rgb(side, side, rgb).unwrap()
}
