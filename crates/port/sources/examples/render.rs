//! Renders a folder with nothing but its path, name, namespace and values files: for measuring without the binary.

use std::path::PathBuf;

use galley_sources::{Request, render};

fn main() {
    let mut request = Request { now: jiff::Timestamp::UNIX_EPOCH, ..Request::default() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--name" => request.name = arguments.next().unwrap_or_default(),
            "-n" => request.namespace = arguments.next().unwrap_or_default(),
            "-f" => request.values.extend(arguments.next().map(PathBuf::from)),
            "--include-crds" => request.options.include_crds = true,
            path => request.path = PathBuf::from(path),
        }
    }
    let mut out = std::io::stdout().lock();
    match render(&request) {
        Ok(text) => drop(std::io::Write::write_all(&mut out, text.as_bytes())),
        Err(problem) => {
            drop(std::io::Write::write_all(&mut std::io::stderr(), format!("{problem}\n").as_bytes()));
            std::process::exit(1);
        }
    }
}
