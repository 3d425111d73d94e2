//! The control plane on this machine: `galley up`.
//!
//! Order: state folder and its lock, ports, pipeline repository, services, then the repository's objects, and then the
//! services work by themselves. Nothing here is needed to go on after a crash: every part finds its state again.

mod addresses;
mod argocd;
mod doors;
mod house;
mod owner;
mod ports;
mod seed;
mod show;
mod supervisor;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use galley_problem::{Kind, Problem};
use tokio_util::sync::CancellationToken;

use crate::{
    Answer,
    cli::{Global, Up},
    state::{self, State},
    voice,
};

/// The registry's host and port, as images name it.
pub const REGISTRY_NAME: &str = "registry.gourmetgram-platform.svc.cluster.local:5000";
/// The pipeline repository's address, as Applications name it.
pub const PIPELINE_URL: &str = "http://git.gourmetgram-platform.svc.cluster.local/pipeline.git";
/// The base image: this binary.
pub const BASE_IMAGE: &str =
    concat!("registry.gourmetgram-platform.svc.cluster.local:5000/galley:", env!("CARGO_PKG_VERSION"));

/// What charts see where Galley itself serves git, registry and tracking.
const EMBEDDED_API: &str = "embedded.galley.dev/v1";

/// How Applications are rendered on this machine.
pub fn gitops_config() -> galley_gitops::Config {
    galley_gitops::Config { extra_api_versions: vec![EMBEDDED_API.to_owned()], ..Default::default() }
}

/// Runs the pipeline repository until told to stop, or with `--once` until its release has ended.
///
/// # Errors
/// Whatever keeps the control plane from starting, each with its remedy.
pub async fn run(global: &Global, args: Up) -> Result<Answer, Problem> {
    let began = Instant::now();
    galley_git::check_git()?;
    let dir = pipeline_dir(&args).await?;
    let state = State::of(global, &dir);
    state.create()?;
    let lock = state.lock()?;
    let shutdown = CancellationToken::new();
    let signals = listen_for_signals(shutdown.clone());
    let mut house = house::House::build(&state, &dir, &args, shutdown.clone()).await?;
    let mut show = show::Show::new(global, began);
    show.ready(house.running());
    let outcome = tokio::select! {
        outcome = follow(&mut house, &mut show, &args) => outcome,
        () = shutdown.cancelled() => Ok(Answer::Yes),
    };
    show.stopping();
    house.stop().await;
    signals.abort();
    drop(lock);
    outcome
}

async fn follow(house: &mut house::House, show: &mut show::Show, args: &Up) -> Result<Answer, Problem> {
    house.seed().await?;
    if !args.once {
        let failed = house.failed();
        tokio::select! {
            () = show.follow(house) => {}
            failed = failed => return failed,
        }
        return Ok(Answer::Yes);
    }
    let failed = house.failed();
    tokio::select! {
        answer = show.until_settled(house) => answer,
        failed = failed => failed,
        () = tokio::time::sleep(args.deadline) => Err(Problem::new(
            "G0110",
            Kind::Timeout,
            format!("The release did not end within {}.", galley_units::format_duration(args.deadline)),
        )
        .try_this("`galley up` goes on with it; `--deadline` gives it more time.")),
    }
}

/// The pipeline repository to run; made from the built-in template if there is none.
async fn pipeline_dir(args: &Up) -> Result<PathBuf, Problem> {
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => match state::find_pipeline(Path::new(".")) {
            Some(dir) => dir,
            None => PathBuf::from("gourmetgram"),
        },
    };
    if !dir.join(state::MODEL_FILE).is_file() {
        if args.dir.is_some()
            && dir.exists()
            && std::fs::read_dir(&dir).is_ok_and(|mut all| all.next().is_some())
        {
            return Err(Problem::new(
                "G0109",
                Kind::NotFound,
                format!("{} is no pipeline repository: it has no `{}`.", dir.display(), state::MODEL_FILE),
            )
            .try_this("`galley init DIR` makes one in a new folder."));
        }
        seed::make_pipeline(&dir).await?;
        voice::talk(&format!("Made a pipeline repository in {}.", dir.display()));
    }
    std::fs::canonicalize(&dir).map_err(|e| crate::io(&dir, "finding", &e))
}

/// The first signal asks everything to end in order; the second leaves at once.
fn listen_for_signals(shutdown: CancellationToken) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        for round in 0.. {
            interrupted().await;
            if round > 0 {
                std::process::exit(130);
            }
            shutdown.cancel();
        }
    })
}

#[cfg(unix)]
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
}

#[cfg(not(unix))]
pub async fn interrupted() {
    let _ = tokio::signal::ctrl_c().await;
}

pub use doors::{Deputies, Images as PulledImages, LogDoor, repositories, wake_on_push};
pub use seed::{make_pipeline, root_application};
pub use supervisor::Supervisor;
