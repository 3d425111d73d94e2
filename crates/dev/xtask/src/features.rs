//! Features.
use std::path::Path;

use anyhow::{Context, Result};
use galley_ml::{FeatureExtractor, Photo, PhotoLimits, View, class_of_folder};

/// Raw features.
pub fn raw(photos: &Path, out: &Path) -> Result<()> {
    use std::io::Write;
    let x = FeatureExtractor::bundled()?;
    let v = |s, h, w, m| View { short_side: s, horizontal: h, vertical: w, mirrored: m };
    let views = [
        v(256, 0.5, 0.5, false), v(256, 0.5, 0.5, true),
        v(224, 0.5, 0.5, false), v(224, 0.5, 0.5, true),
        v(320, 0.5, 0.5, false), v(320, 0.5, 0.5, true),
        v(256, 0.0, 0.0, false), v(256, 1.0, 1.0, false), v(256, 0.0, 1.0, true), v(256, 1.0, 0.0, true),
    ];
    for split in ["hires/train", "hires/validation", "mit-samples", "validation"] {
        let views = if split == "validation" { &views[..1] } else { &views[..] };
        let name = split.replace('/', "-");
        let mut bin = std::io::BufWriter::new(std::fs::File::create(out.join(format!("{name}.f32")))?);
        let mut txt = std::fs::File::create(out.join(format!("{name}.txt")))?;
        let mut files = Vec::new();
        for d in std::fs::read_dir(photos.join(split))? {
            let d = d?;
            let c = class_of_folder(&d.file_name().to_string_lossy()).context("class")?;
            for f in std::fs::read_dir(d.path())? { files.push((c, f?.path())); }
        }
        files.sort();
        for (c, f) in files {
            let p = Photo::decode(&std::fs::read(&f)?, &PhotoLimits::default())?;
            for z in x.views(&p, views)? { bin.write_all(&z.to_le_bytes())?; }
            writeln!(txt, "{c} {} {} {}", p.width(), p.height(), f.file_name().unwrap_or_default().to_string_lossy())?;
        }
        crate::say(split);
    }
    Ok(())
}
/// Make.
pub fn make(_photos: &Path) -> Result<()> { Ok(()) }
