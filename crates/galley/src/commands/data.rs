//! `galley data add`: labelled photos, checked and kept as a snapshot that is named after its content.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use galley_ml::{CLASSES, DataReport, Opened, Photo, PhotoLimits, Split, check, labelled};
use galley_problem::{Kind, Problem};
use serde_json::json;

use crate::{
    Answer,
    cli::{Format, model::Data},
    steps::ml_problem,
    voice,
};

/// Most bytes and files that an archive may hold.
const MAX_UNPACKED: u64 = 50 << 30;
const MAX_FILES: usize = 1_000_000;
/// Photos of a class on the contact sheet, and pixels of each.
const ON_SHEET: usize = 12;
const SHEET_SIDE: u32 = 96;

/// Runs a verb.
///
/// # Errors
/// What the verb could not do.
pub fn run(data: Data) -> Result<Answer, Problem> {
    let Data::Add { source, name, into, check, allow_leaks, output } = data;
    let unpacked;
    let folder = if source.is_dir() {
        source.clone()
    } else {
        unpacked = unpack(&source)?;
        root_of(unpacked.path())
    };
    let photos = labelled(&folder).map_err(|e| ml_problem("reading the photos", &e))?;
    let bar = voice::bar("photos");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let outcome = galley_ml_check(photos, cores, &bar);
    bar.done();
    let (report, opened) = outcome?;
    let own = source.file_name().map_or_else(|| "photos".into(), |name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| own.split('.').next().unwrap_or("photos").to_owned());
    let refused = (!report.leaks.is_empty() && !allow_leaks).then(|| leaks(&report));
    let kept = match (check, &refused) {
        (false, None) => Some(keep(&into, &name, &report, &opened)?),
        _ => None,
    };
    tell(&report, kept.as_deref(), output.output)?;
    match refused {
        Some(problem) if !check => Err(problem),
        Some(_) => Ok(Answer::No),
        None => Ok(Answer::Yes),
    }
}

fn galley_ml_check(
    photos: Vec<galley_ml::Labelled>,
    threads: usize,
    bar: &voice::Bar,
) -> Result<(DataReport, Vec<Opened>), Problem> {
    check(photos, &PhotoLimits::default(), threads, |done, all| bar.at(done, all))
        .map_err(|e| ml_problem("checking the photos", &e))
}

fn leaks(report: &DataReport) -> Problem {
    let first = &report.leaks[0];
    Problem::new("G0746", Kind::Invalid, format!("{} photos are in more than one split.", report.leaks.len()))
        .because_of(format!("{} is (nearly) the same as {}", first.one.display(), first.other.display()))
        .try_this("Remove one of each pair, or pass `--allow-leaks` to leave the training copies out.")
}

/// Copies the photos into a folder named after the digest; one that is there already is left as it is.
fn keep(into: &Path, name: &str, report: &DataReport, opened: &[Opened]) -> Result<PathBuf, Problem> {
    let target = into.join(format!("{name}-{}", &report.digest[..12]));
    if target.join("manifest.json").is_file() {
        return Ok(target);
    }
    let beside = into.join(format!(".{name}-{}.part", std::process::id()));
    let wrong = |path: &Path, error: &std::io::Error| crate::io(path, "writing", error);
    let leaked: Vec<&Path> =
        report.leaks.iter().flat_map(|pair| [pair.one.as_path(), pair.other.as_path()]).collect();
    let mut files = Vec::new();
    for photo in opened {
        let split = photo.photo.split;
        if split == Some(Split::Train) && leaked.contains(&photo.photo.path.as_path()) {
            continue;
        }
        let class = CLASSES[photo.photo.label].replace([' ', '/'], "_");
        let ending =
            photo.photo.path.extension().map_or_else(|| "jpg".into(), |e| e.to_string_lossy().to_lowercase());
        let place = format!(
            "{}/{}_{class}/{}.{ending}",
            split.map_or("train", Split::name),
            photo.photo.label,
            &photo.sha256[..24]
        );
        let path = beside.join(&place);
        let folder = path.parent().unwrap_or(&beside);
        std::fs::create_dir_all(folder).map_err(|e| wrong(folder, &e))?;
        std::fs::copy(&photo.photo.path, &path).map_err(|e| wrong(&path, &e))?;
        files.push(json!({ "path": place, "sha256": photo.sha256, "bytes": photo.bytes }));
    }
    if let Some(sheet) = sheet(opened) {
        let path = beside.join("contact-sheet.jpg");
        let bytes = sheet.to_jpeg(85).map_err(|e| crate::internal("making the contact sheet", &e))?;
        std::fs::write(&path, bytes).map_err(|e| wrong(&path, &e))?;
    }
    let manifest = json!({ "name": name, "digest": report.digest, "photos": files.len(), "files": files });
    let path = beside.join("manifest.json");
    std::fs::write(&path, format!("{manifest:#}\n")).map_err(|e| wrong(&path, &e))?;
    std::fs::rename(&beside, &target).map_err(|e| wrong(&target, &e))?;
    Ok(target)
}

/// A few photos of every class, a row for each.
fn sheet(opened: &[Opened]) -> Option<Photo> {
    let blank = Photo::from_rgb(1, 1, vec![255; 3])?;
    let mut photos = Vec::new();
    for label in 0..CLASSES.len() {
        let of_class = opened.iter().filter(|photo| photo.photo.label == label).take(ON_SHEET);
        let row = of_class.filter_map(|photo| {
            Photo::decode(&std::fs::read(&photo.photo.path).ok()?, &PhotoLimits::default()).ok()
        });
        photos.extend(row.map(|photo| photo.at_most(SHEET_SIDE)));
        photos.resize((label + 1) * ON_SHEET, blank.clone());
    }
    Photo::sheet(&photos, ON_SHEET as u32, SHEET_SIDE)
}

fn tell(report: &DataReport, kept: Option<&Path>, format: Format) -> Result<(), Problem> {
    if format != Format::Table {
        let mut value =
            serde_json::to_value(report).map_err(|e| crate::internal("writing the report", &e))?;
        value["kept"] = json!(kept.map(|path| path.display().to_string()));
        return voice::object(format, &value);
    }
    let (short, middle, long) = report.short_side;
    voice::data(&format!(
        "{} photos, {:.1} MB, short sides {short} / {middle} / {long} pixels, {} below 128; digest {}",
        report.photos,
        report.bytes as f64 / 1e6,
        report.small,
        &report.digest[..12]
    ));
    for (split, classes) in &report.classes {
        let total: usize = classes.values().sum();
        voice::data(&format!("{split}: {total}"));
        for class in CLASSES {
            voice::data(&format!("  {class:<18}{:>7}", classes.get(class).copied().unwrap_or(0)));
        }
    }
    for (what, pairs) in [
        ("copies within a split", &report.duplicates),
        ("near copies within a split", &report.near_duplicates),
        ("copies with different classes", &report.contradictions),
        ("copies and near copies across splits (leakage)", &report.leaks),
    ] {
        voice::data(&format!("{what}: {}", pairs.len()));
        for pair in pairs.iter().take(5) {
            voice::data(&format!(
                "  {} = {} ({} bits)",
                pair.one.display(),
                pair.other.display(),
                pair.distance
            ));
        }
    }
    if !report.near_checked {
        voice::talk("There are too many photos to look for near copies; only exact ones were looked for.");
    }
    for (path, reason) in &report.unusable {
        voice::data(&format!("not usable: {}: {reason}", path.display()));
    }
    if let Some(kept) = kept {
        voice::data(&format!("Kept in {}.", kept.display()));
    }
    Ok(())
}

/// Unpacks an archive into a folder that goes away by itself.
fn unpack(source: &Path) -> Result<tempfile::TempDir, Problem> {
    let file = File::open(source).map_err(|e| crate::io(source, "reading", &e))?;
    let folder = tempfile::tempdir().map_err(|e| crate::io(Path::new("temporary folder"), "making", &e))?;
    let name = source.to_string_lossy().to_lowercase();
    let input = BufReader::new(file);
    let outcome = if name.ends_with(".tar") {
        untar(input, folder.path())
    } else if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
        untar(flate2::read::GzDecoder::new(input), folder.path())
    } else if name.ends_with(".zip") {
        unzip(input, folder.path())
    } else {
        Err("only .zip, .tar and .tar.gz are read".to_owned())
    };
    outcome.map_err(|reason| {
        Problem::new("G0745", Kind::Invalid, format!("The archive {} cannot be used.", source.display()))
            .because_of(reason)
            .try_this("Unpack it by hand and name the folder.")
    })?;
    Ok(folder)
}

/// Where an entry may be written: below the folder, and nowhere else.
fn place(folder: &Path, name: &Path) -> Result<PathBuf, String> {
    let plain = name
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir));
    if plain { Ok(folder.join(name)) } else { Err(format!("`{}` leads out of the folder", name.display())) }
}

fn untar(input: impl Read, folder: &Path) -> Result<(), String> {
    let mut budget = Budget::default();
    let mut archive = tar::Archive::new(input);
    for entry in archive.entries().map_err(|e| e.to_string())? {
        let mut entry = entry.map_err(|e| e.to_string())?;
        if entry.header().entry_type().is_file() {
            let name = entry.path().map_err(|e| e.to_string())?.into_owned();
            budget.write(&mut entry, &place(folder, &name)?)?;
        }
    }
    Ok(())
}

fn unzip(input: impl Read + std::io::Seek, folder: &Path) -> Result<(), String> {
    let mut budget = Budget::default();
    let mut archive = zip::ZipArchive::new(input).map_err(|e| e.to_string())?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(|e| e.to_string())?;
        if entry.is_file() {
            let name = PathBuf::from(entry.name());
            budget.write(&mut entry, &place(folder, &name)?)?;
        }
    }
    Ok(())
}

/// What an archive may still unpack to: a small file can claim to be very long.
struct Budget {
    bytes: u64,
    files: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { bytes: MAX_UNPACKED, files: MAX_FILES }
    }
}

impl Budget {
    fn write(&mut self, input: &mut dyn Read, path: &Path) -> Result<(), String> {
        self.files = self.files.checked_sub(1).ok_or("it holds too many files")?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
        }
        let mut file = File::create(path).map_err(|e| e.to_string())?;
        let copied = std::io::copy(&mut input.take(self.bytes + 1), &mut file).map_err(|e| e.to_string())?;
        self.bytes = self.bytes.checked_sub(copied).ok_or("it unpacks to more than is allowed")?;
        Ok(())
    }
}

/// The folder itself, or the only folder in it: archives often wrap everything once more.
fn root_of(folder: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    match (entries.next(), entries.next()) {
        (Some(only), None) if only.path().is_dir() && labelled(folder).is_err() => only.path(),
        _ => folder.to_owned(),
    }
}
