//! The binary: command line, steps, supervision, configuration.
//!
//! This is the only room that knows the command line, the environment and standard output. It builds the services,
//! gives them their handles to each other and owns every task. The same binary is what the images run: the steps of
//! the workflows are subcommands here.
//!
//! | module | holds |
//! |---|---|
//! | `bootstrap` | a real cluster: what the pipeline needs there, brought and taken away |
//! | `cli` | definitions of the command line |
//! | `voice` | standard output is data, standard error is talk |
//! | `state` | the one folder of all state |
//! | `up` | the control plane: assembly, seeding, progress |
//! | `commands` | what people ask: status, workflows, applications, releases |
//! | `serve` | one service of the platform on its own, for a cluster |
//! | `steps` | what workflows run: train, evaluate, register, build, promote, test |
//! | `ground` | how a command or step reaches the services |
//! | `kinds` | the kinds that the control plane serves |

mod bootstrap;
mod cli;
mod commands;
mod ground;
mod kinds;
mod serve;
mod state;
mod steps;
mod up;
mod voice;

use std::{path::Path, process::ExitCode};

use clap::Parser;
use galley_problem::{Kind, Problem};

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    // Before anything else, while the process has one thread: it may have been started to be the sandbox's helper.
    galley_sandbox::run_helper_if_asked();
    // Fails only if a provider is set already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Kind::Usage.exit_code() } else { 0 });
        }
    };
    logging(&cli);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(internal("starting the runtime", &error))),
    };
    let outcome = runtime.block_on(run(cli));
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    end(outcome)
}

/// How a command ended, if nothing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done; yes.
    Yes,
    /// Done, and the answer is no; what is to be said has been said.
    No,
    /// The exit code of a program that was run in our place.
    Code(u8),
}

fn end(outcome: Result<Answer, Problem>) -> ExitCode {
    match outcome {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(Kind::Failed.exit_code()),
        Ok(Answer::Code(code)) => ExitCode::from(code),
        Err(problem) => {
            voice::problem(&problem);
            ExitCode::from(problem.exit_code())
        }
    }
}

async fn run(cli: Cli) -> Result<Answer, Problem> {
    let global = cli.global;
    match cli.command {
        Command::Up(up) => up::run(&global, up).await,
        Command::Down(down) => commands::state::down(&global, &down).await,
        Command::Status(output) => commands::state::status(&global, &output).await,
        Command::Init(init) => commands::pipeline::init(&init).await,
        Command::Plan(plan) => commands::pipeline::plan(&global, &plan).await,
        Command::Render(render) => commands::render::run(render, &galley_units::SystemClock).await,
        Command::Workflow(workflow) => commands::workflow::run(&global, workflow).await,
        Command::Cron(cron) => commands::cron::run(&global, cron).await,
        Command::App(app) => commands::app::run(&global, app).await,
        Command::Release(release) => commands::release::run(&global, release).await,
        Command::Model(model) => steps::model(&global, model).await,
        Command::Serve(serve) => commands::serve::run(serve).await,
        Command::Data(data) => commands::data::run(data),
        Command::Image(image) => commands::image::run(&global, image).await,
        Command::Infra(infra) => commands::infra::run(&global, infra).await,
        Command::Cluster(hosts) => commands::hosts::run(&global, hosts).await,
        Command::Bootstrap(args) => bootstrap::run(&global, args).await,
        Command::Compare(args) => commands::compare::run(&global, &args).await,
        Command::Service(service) => serve::run(service).await,
        Command::Kubectl(kubectl) => commands::state::kubectl(&global, &kubectl).await,
        Command::GitCredential(credential) => commands::state::git_credential(&global, &credential),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut <Cli as clap::CommandFactory>::command(),
                "galley",
                &mut std::io::stdout(),
            );
            Ok(Answer::Yes)
        }
    }
}

fn logging(cli: &Cli) {
    use tracing_subscriber::EnvFilter;
    let up = matches!(cli.command, Command::Up(_));
    let level = match (cli.global.quiet, cli.global.verbose) {
        (true, _) => "error",
        (_, 0) if up => "error",
        (_, 0) => "warn",
        (_, 1) => "info",
        (_, _) => "debug,hyper=info,kube=info,h2=info,rustls=info,tower=info",
    };
    let filter = EnvFilter::try_from_env("GALLEY_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(true)
        .with_ansi(voice::on_terminal() && ground::environment("NO_COLOR").is_none())
        .init();
}

/// A problem that is Galley's own fault.
pub fn internal(attempt: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new("G0101", Kind::Internal, format!("Something went wrong inside Galley while {attempt}."))
        .because(error)
        .try_this("This is a fault of Galley; run it again with `-vv` and report what it prints.")
}

/// A problem with a file.
pub fn io(path: &Path, attempt: &str, error: &std::io::Error) -> Problem {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => Kind::NotFound,
        std::io::ErrorKind::PermissionDenied => Kind::Denied,
        _ => Kind::Io,
    };
    Problem::new("G0105", kind, format!("Failed {attempt} {}.", path.display())).because(error)
}
