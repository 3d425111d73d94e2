//! A small program for tests that need a real process: it serves, sleeps, writes files and ends as it is told.
//!
//! It is compiled into test binaries only; nothing of the product calls it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Runs the commands in the arguments, separated by `,`, one after the other; returns the exit code.
///
/// `print TEXT`, `warn TEXT`, `env NAME`, `write PATH TEXT`, `cat PATH`, `append PATH TEXT`, `http ADDRESS:PORT BODY`,
/// `get HOST:PORT PATH`, `wait-for PATH`, `sleep MILLIS`, `id`, `exit CODE`, `ls PATH`, `flaky PATH` (fails the first time), `orphan`.
pub fn run(args: impl Iterator<Item = String>) -> i32 {
    let args: Vec<String> = args.collect();
    for command in args.split(|arg| arg == ",") {
        match perform(command) {
            Ok(None) => {}
            Ok(Some(code)) => return code,
            Err(error) => {
                let _ = writeln!(io::stderr(), "{}: {error}", command.join(" "));
                return 99;
            }
        }
    }
    0
}

fn perform(command: &[String]) -> io::Result<Option<i32>> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["print", text] => say(text)?,
        ["warn", text] => writeln!(io::stderr(), "{text}")?,
        ["env", name] => say(&format!("{name}={}", variable(name)))?,
        ["write", path, text] => std::fs::write(path, text)?,
        ["append", path, text] => {
            std::fs::OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())?;
        }
        ["cat", path] => say(&std::fs::read_to_string(path)?)?,
        ["ls", path] => {
            let mut names: Vec<String> = std::fs::read_dir(path)?
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .collect();
            names.sort();
            say(&names.join(" "))?;
        }
        ["id"] => say(&format!("uid={} pid={}", rustix::process::getuid().as_raw(), std::process::id()))?,
        ["exit", code] => return Ok(Some(code.parse().unwrap_or(98))),
        ["sleep", millis] => std::thread::sleep(Duration::from_millis(millis.parse().unwrap_or(0))),
        ["wait-for", path] => {
            while !std::path::Path::new(path).exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        ["flaky", path] if !std::path::Path::new(path).exists() => {
            std::fs::write(path, "tried")?;
            return Ok(Some(1));
        }
        ["flaky", _] => {}
        ["get", address, path] => say(&get(address, path)?)?,
        ["http", address, body] => serve(address, body)?,
        other => return Err(io::Error::other(format!("unknown command {other:?}"))),
    }
    Ok(None)
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

#[expect(clippy::disallowed_methods, reason = "showing its environment is what this program is for")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

fn get(address: &str, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map_or(answer.clone(), |(_, body)| body.to_owned()))
}

/// Answers every request with the body; `/fail` with 500, `/slow` after 300 ms. Ends well on SIGTERM.
fn serve(address: &str, body: &str) -> io::Result<()> {
    crate::sys::end_well_on_terminate();
    let listener = TcpListener::bind(address)?;
    say(&format!("listening on {address}"))?;
    for stream in listener.incoming() {
        let (stream, body) = (stream?, body.to_owned());
        std::thread::spawn(move || answer(stream, &body));
    }
    Ok(())
}

fn answer(mut stream: TcpStream, body: &str) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or("/");
    if path == "/slow" {
        std::thread::sleep(Duration::from_millis(300));
    }
    let status = if path == "/fail" { "500 No" } else { "200 OK" };
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes())
}
