//! Times the engine, for `benches/inference.py`.
//!
//! `bench write DIR` writes the networks. `bench serve FILE` reads lines `threads batch rounds isa` from standard input
//! and answers each with the milliseconds of every round, so that another program can take turns with it.

#[path = "../support/net.rs"]
mod net;

use std::io::{BufRead, Write};
use std::time::Instant;

use galley_nn::{Engine, Isa, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", folder] => {
            std::fs::write(format!("{folder}/mobilenet_v2.onnx"), net::mobilenet_v2())?;
            for number in 0..3 {
                let file = format!("{folder}/efficientnet_lite{number}.onnx");
                std::fs::write(file, net::efficientnet_lite(number))?;
            }
            Ok(())
        }
        ["serve", file] => serve(&std::fs::read(file)?),
        _ => Err("usage: bench write DIR | bench serve FILE".into()),
    }
}

fn serve(file: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    let mut engines = std::collections::HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [threads, batch, rounds, isa] = words[..] else { return Err("four words, please".into()) };
        let (threads, batch, rounds): (usize, usize, usize) =
            (threads.parse()?, batch.parse()?, rounds.parse()?);
        if !engines.contains_key(isa) {
            let wanted = Isa::ALL.into_iter().find(|known| known.name() == isa);
            engines.insert(isa.to_owned(), Engine::load(file, Options { isa: wanted, side: None })?);
        }
        let engine = &engines[isa];
        let input: Vec<f32> =
            (0..batch * engine.input_len()).map(|i| ((i * 7919) % 2003) as f32 / 1001.5 - 1.0).collect();
        engine.run(&input, threads)?;
        let mut times = Vec::with_capacity(rounds);
        let mut answer = Vec::new();
        for _ in 0..rounds {
            let begin = Instant::now();
            answer = engine.run(&input, threads)?;
            times.push(format!("{:.4}", begin.elapsed().as_secs_f64() * 1000.0));
        }
        let first: Vec<String> = answer.iter().take(4).map(|value| format!("{value:.5}")).collect();
        writeln!(std::io::stdout(), "{} {} | {}", engine.isa().name(), times.join(" "), first.join(" "))?;
        std::io::stdout().flush()?;
    }
    Ok(())
}
