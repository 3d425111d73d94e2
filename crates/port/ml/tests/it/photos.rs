//! Files that claim to be photos.

use std::io::Cursor;

use galley_ml::{Photo, PhotoError, PhotoLimits};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// Red on the left, blue on the right.
fn halves(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(
        width,
        height,
        |x, _| if x < width / 2 { Rgb([230, 20, 20]) } else { Rgb([20, 20, 230]) },
    )
}

fn decode(bytes: &[u8]) -> Result<Photo, PhotoError> {
    Photo::decode(bytes, &PhotoLimits::default())
}

fn pixel(photo: &Photo, x: u32, y: u32) -> [u8; 3] {
    let at = 3 * (y * photo.width() + x) as usize;
    photo.rgb()[at..at + 3].try_into().unwrap()
}

/// A JPEG with an EXIF segment that says how the camera was held.
fn turned(orientation: u8) -> Vec<u8> {
    let jpeg = encode(halves(40, 20), ImageFormat::Jpeg);
    let mut tiff = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    tiff.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xFF, 0xE1]);
    bytes.extend(((tiff.len() + 2) as u16).to_be_bytes());
    bytes.extend(tiff);
    bytes.extend(&jpeg[2..]);
    bytes
}

#[test]
fn four_formats_are_read_by_content() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let photo = decode(&encode(halves(40, 20), format)).unwrap();
        assert_eq!((photo.width(), photo.height()), (40, 20));
        let [red, _, blue] = pixel(&photo, 5, 10);
        assert!(red > 200 && blue < 60, "{format:?}");
    }
}

#[test]
fn photos_are_turned_upright() {
    let photo = decode(&turned(1)).unwrap();
    assert_eq!((photo.width(), photo.height()), (40, 20));
    // 6: the camera's right side is up, so the left half of the file is the top.
    let photo = decode(&turned(6)).unwrap();
    assert_eq!((photo.width(), photo.height()), (20, 40));
    assert!(pixel(&photo, 10, 5)[0] > 200 && pixel(&photo, 10, 35)[2] > 200);
    let photo = decode(&turned(3)).unwrap();
    assert!(pixel(&photo, 5, 10)[2] > 200);
}

#[test]
fn transparency_lies_on_white() {
    let clear = RgbaImage::from_pixel(8, 8, Rgba([0, 0, 0, 0]));
    assert_eq!(pixel(&decode(&encode(clear, ImageFormat::Png)).unwrap(), 4, 4), [255; 3]);
}

#[test]
fn files_cut_anywhere_are_damaged() {
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let bytes = encode(halves(200, 100), format);
        for length in [bytes.len() * 9 / 10, bytes.len() * 3 / 4, bytes.len() / 2, 40] {
            let result = decode(&bytes[..length]);
            assert!(matches!(result, Err(PhotoError::Damaged { .. })), "{format:?} {length}: {result:?}");
        }
    }
    // Decoders fill a JPEG that lacks its end with grey, so it is looked for.
    let bytes = encode(halves(200, 100), ImageFormat::Jpeg);
    assert!(matches!(decode(&bytes[..bytes.len() - 2]), Err(PhotoError::Damaged { .. })));
    // What comes after the end, such as a phone's film, does no harm.
    let mut long = encode(halves(40, 20), ImageFormat::Jpeg);
    long.extend(b"\xFF\xDA more");
    decode(&long).unwrap();
}

#[test]
fn limits_hold_before_decoding() {
    let bytes = encode(halves(40, 20), ImageFormat::Png);
    let limits = PhotoLimits { max_bytes: bytes.len() - 1, ..PhotoLimits::default() };
    assert!(matches!(Photo::decode(&bytes, &limits), Err(PhotoError::TooManyBytes { .. })));
    let limits = PhotoLimits { max_pixels: 799, ..PhotoLimits::default() };
    assert!(matches!(
        Photo::decode(&bytes, &limits),
        Err(PhotoError::TooManyPixels { width: 40, height: 20, .. })
    ));
    let limits = PhotoLimits { max_pixels: 800, max_bytes: bytes.len() };
    Photo::decode(&bytes, &limits).unwrap();
}

#[test]
fn other_files_are_told_apart() {
    assert!(matches!(decode(b""), Err(PhotoError::Empty)));
    for bytes in [&b"x"[..], b"<html>", b"%PDF-1.7", &[0; 100]] {
        assert!(matches!(decode(bytes), Err(PhotoError::NotAnImage)), "{bytes:?}");
    }
    for (bytes, name) in [
        (&b"BM\0\0\0\0\0\0\0\0"[..], "BMP"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "AVIF"),
    ] {
        match decode(bytes) {
            Err(PhotoError::Unsupported { format }) => assert_eq!(format, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn noise_in_a_file_never_panics(at in 0usize..2000, value: u8, png: bool) {
        let mut bytes = encode(halves(30, 30), if png { ImageFormat::Png } else { ImageFormat::Jpeg });
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = decode(&bytes);
    }
}
