//! Photos from outside: checked before they are decoded, turned upright, and never trusted.
//!
//! The format is told by content, not by name. Size in bytes is checked first, size in pixels from the header before
//! any pixel memory is taken. A file that ends early is damaged, even where the decoder would fill the rest with grey.

use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

/// What a photo may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhotoLimits {
    /// File size in bytes.
    pub max_bytes: usize,
    /// Width times height.
    pub max_pixels: u64,
}

impl Default for PhotoLimits {
    fn default() -> Self {
        PhotoLimits { max_bytes: 20_000_000, max_pixels: 50_000_000 }
    }
}

/// Why a file is not a usable photo.
#[derive(Debug, thiserror::Error)]
pub enum PhotoError {
    /// No bytes at all.
    #[error("the file is empty")]
    Empty,
    /// More bytes than allowed.
    #[error("the file has {bytes} bytes, more than the {limit} allowed")]
    TooManyBytes {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// More pixels than allowed.
    #[error("the photo is {width} x {height} pixels, more than the {limit} pixels allowed")]
    TooManyPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Most pixels allowed.
        limit: u64,
    },
    /// Not an image of any kind that is known.
    #[error("the content is not an image")]
    NotAnImage,
    /// An image, of a format that is not read here.
    #[error("the image is {format}; only JPEG, PNG, WebP and GIF are read")]
    Unsupported {
        /// The format's name.
        format: String,
    },
    /// Starts like a photo and cannot be decoded.
    #[error("the {format} data is damaged or incomplete: {reason}")]
    Damaged {
        /// The format it starts like.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
}

/// An upright photo in 8-bit RGB.
#[derive(Clone, PartialEq, Eq)]
pub struct Photo {
    pixels: RgbImage,
}

impl std::fmt::Debug for Photo {
    /// The size alone: a photo's content belongs into no log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Photo({} x {})", self.width(), self.height())
    }
}

impl Photo {
    /// Decodes a JPEG, PNG, WebP or GIF file (its first picture), turns it upright after its EXIF orientation and puts transparency on white.
    ///
    /// # Errors
    /// [`PhotoError`], told apart so that a server can answer 400, 413, 415 and 422.
    pub fn decode(bytes: &[u8], limits: &PhotoLimits) -> Result<Photo, PhotoError> {
        if bytes.is_empty() {
            return Err(PhotoError::Empty);
        }
        if bytes.len() > limits.max_bytes {
            return Err(PhotoError::TooManyBytes { bytes: bytes.len(), limit: limits.max_bytes });
        }
        let (format, name) = format_of(bytes)?;
        let damaged =
            |error: image::ImageError| PhotoError::Damaged { format: name, reason: error.to_string() };
        let mut decoder =
            ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(damaged)?;
        let (width, height) = decoder.dimensions();
        if width == 0 || height == 0 {
            return Err(PhotoError::Damaged { format: name, reason: "it has no pixels".into() });
        }
        if u64::from(width) * u64::from(height) > limits.max_pixels {
            return Err(PhotoError::TooManyPixels { width, height, limit: limits.max_pixels });
        }
        if format == ImageFormat::Jpeg && !jpeg_is_complete(bytes) {
            return Err(PhotoError::Damaged { format: name, reason: "the file ends early".into() });
        }
        let orientation = decoder.orientation().map_err(damaged)?;
        let mut decoded = DynamicImage::from_decoder(decoder).map_err(damaged)?;
        decoded.apply_orientation(orientation);
        Ok(Photo { pixels: on_white(decoded) })
    }

    /// A photo from rows of RGB bytes; `None` if their number is not `3 * width * height` or a side is zero.
    pub fn from_rgb(width: u32, height: u32, rgb: Vec<u8>) -> Option<Photo> {
        if width == 0 || height == 0 || rgb.len() as u64 != 3 * u64::from(width) * u64::from(height) {
            return None;
        }
        RgbImage::from_raw(width, height, rgb).map(|pixels| Photo { pixels })
    }

    /// Width in pixels, upright.
    pub fn width(&self) -> u32 {
        self.pixels.width()
    }

    /// Height in pixels, upright.
    pub fn height(&self) -> u32 {
        self.pixels.height()
    }

    /// Rows of RGB bytes, from the top.
    pub fn rgb(&self) -> &[u8] {
        self.pixels.as_raw()
    }

    /// The part that the model looks at, as a PNG file of 224 x 224 pixels.
    ///
    /// # Errors
    /// As [`Photo::to_png`].
    pub fn thumbnail_png(&self) -> Result<Vec<u8>, image::ImageError> {
        self.centre().to_png()
    }

    /// The photo as a JPEG file of a quality from 1 to 100.
    ///
    /// # Errors
    /// The encoder's complaint, such as for sides beyond 65,535 pixels.
    pub fn to_jpeg(&self, quality: u8) -> Result<Vec<u8>, image::ImageError> {
        let mut bytes = Vec::new();
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(&self.pixels)?;
        Ok(bytes)
    }

    /// The photo after a way through a JPEG file; the same photo if it has no such file.
    pub(crate) fn compressed(&self, quality: u8) -> Photo {
        let limits = PhotoLimits { max_bytes: usize::MAX, max_pixels: u64::MAX };
        let through = self.to_jpeg(quality).ok().and_then(|bytes| Photo::decode(&bytes, &limits).ok());
        through.unwrap_or_else(|| self.clone())
    }

    /// The photo as a PNG file.
    ///
    /// # Errors
    /// The encoder's complaint; none is known for photos that fit into memory.
    pub fn to_png(&self) -> Result<Vec<u8>, image::ImageError> {
        let mut bytes = Cursor::new(Vec::new());
        self.pixels.write_to(&mut bytes, ImageFormat::Png)?;
        Ok(bytes.into_inner())
    }
}

/// The format by content, if it is one that is read here.
fn format_of(bytes: &[u8]) -> Result<(ImageFormat, &'static str), PhotoError> {
    if let Some(format) = phone_format(bytes) {
        return Err(PhotoError::Unsupported { format: format.into() });
    }
    match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => Ok((ImageFormat::Jpeg, "JPEG")),
        Ok(ImageFormat::Png) => Ok((ImageFormat::Png, "PNG")),
        Ok(ImageFormat::WebP) => Ok((ImageFormat::WebP, "WebP")),
        Ok(ImageFormat::Gif) => Ok((ImageFormat::Gif, "GIF")),
        Ok(other) => Err(PhotoError::Unsupported { format: format!("{other:?}").to_uppercase() }),
        Err(_) => Err(PhotoError::NotAnImage),
    }
}

/// HEIC and AVIF, which phones make and browsers upload unchanged.
fn phone_format(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8)? != b"ftyp" {
        return None;
    }
    match bytes.get(8..12)? {
        b"heic" | b"heix" | b"hevc" | b"mif1" | b"msf1" => Some("HEIC"),
        b"avif" | b"avis" => Some("AVIF"),
        _ => None,
    }
}

/// Whether the marker segments of a JPEG file reach its end marker.
///
/// Decoders fill what is missing with grey; a class for grey would be a guess that looks like an answer.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    loop {
        while bytes.get(at) == Some(&0xFF) && bytes.get(at + 1) == Some(&0xFF) {
            at += 1;
        }
        let (Some(0xFF), Some(marker)) = (bytes.get(at), bytes.get(at + 1)) else { return false };
        at += 2;
        match marker {
            0xD9 => return true,
            0x01 | 0xD0..=0xD7 => continue,
            _ => {}
        }
        let (Some(high), Some(low)) = (bytes.get(at), bytes.get(at + 1)) else { return false };
        at += usize::from(u16::from_be_bytes([*high, *low])).max(2);
        if *marker == 0xDA {
            match end_of_scan(bytes, at) {
                Some(next) => at = next,
                None => return false,
            }
        }
    }
}

/// Position of the first marker after the compressed data that starts at `from`.
fn end_of_scan(bytes: &[u8], from: usize) -> Option<usize> {
    let scan = bytes.get(from..)?;
    scan.windows(2)
        .position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xD0..=0xD7 | 0xFF))
        .map(|offset| from + offset)
}

/// RGB without transparency, on white as on a page.
fn on_white(image: DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let rgba = image.into_rgba8();
    RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, a] = rgba.get_pixel(x, y).0;
        let over = |c: u8| ((u16::from(c) * u16::from(a) + 255 * (255 - u16::from(a)) + 127) / 255) as u8;
        image::Rgb([over(r), over(g), over(b)])
    })
}
