//! The engine: a loaded network, ready for many callers.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::crew::{Crew, Work};
use crate::fold::fold;
use crate::kernel::{Isa, Job, Program};
use crate::onnx;
use crate::plan::{LoadError, Plan, Shape};

/// Jobs with their buffers that are kept for the next caller.
const MAX_KEPT: usize = 16;
/// Threads of one call at most.
const MAX_THREADS: usize = 64;

/// How a network is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Instructions to use; the best this processor has without it.
    pub isa: Option<Isa>,
    /// Height and width of the input, for a graph that leaves them open.
    pub side: Option<(usize, usize)>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The input is not a whole number of pictures.
    #[error("the input has {found} numbers, and a picture has {picture}")]
    Input {
        /// How many it has.
        found: usize,
        /// How many one picture has.
        picture: usize,
    },
    /// A thread broke off.
    #[error("the work on the picture broke off")]
    Broken,
}

/// A network, loaded and packed. It can be shared by any number of threads.
pub struct Engine {
    program: Arc<Program>,
    kept: Mutex<Vec<Arc<Job>>>,
    crew: OnceLock<Crew>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({:?}, {} steps)", self.isa(), self.program.len())
    }
}

impl Engine {
    /// Loads an ONNX file.
    ///
    /// # Errors
    /// [`LoadError`]; [`LoadError::Unknown`] means that a general runtime may know what this engine does not.
    pub fn load(file: &[u8], options: Options) -> Result<Engine, LoadError> {
        let graph = onnx::read(file)?;
        let sides = graph.inputs.first().map_or(&[][..], |(_, sides)| sides);
        let &[_, channels, height, width] = sides else {
            return Err(LoadError::Unknown { what: "an input that is not [N, C, H, W]".into() });
        };
        let open = || LoadError::Unknown { what: "an input whose size is left open".into() };
        let input = Shape {
            height: options.side.map(|side| side.0).or(height).ok_or_else(open)?,
            width: options.side.map(|side| side.1).or(width).ok_or_else(open)?,
            channels: channels.ok_or_else(open)?,
        };
        let (layers, last) = fold(&graph, input)?;
        let plan = Plan::of(input, layers, last)?;
        let isa = options.isa.filter(|isa| isa.available()).unwrap_or_else(Isa::best);
        let program = Arc::new(Program::new(plan, isa));
        Ok(Engine { program, kept: Mutex::new(Vec::new()), crew: OnceLock::new() })
    }

    /// The instructions that it uses.
    pub fn isa(&self) -> Isa {
        self.program.isa()
    }

    /// Numbers in one input picture: channels, then height, then width.
    pub fn input_len(&self) -> usize {
        self.program.input_len()
    }

    /// Numbers in one answer.
    pub fn output_len(&self) -> usize {
        self.program.output_len()
    }

    /// Answers for pictures laid one after the other, on up to `threads` threads, this one among them.
    ///
    /// As many pictures as threads or more are shared out whole; fewer are worked on together, layer by layer.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn run(&self, input: &[f32], threads: usize) -> Result<Vec<f32>, RunError> {
        let picture = self.input_len();
        if !input.len().is_multiple_of(picture) {
            return Err(RunError::Input { found: input.len(), picture });
        }
        let threads = threads.clamp(1, MAX_THREADS);
        let count = input.len() / picture;
        if threads > 1 && count >= threads {
            return self.run_many(input, threads);
        }
        let mut output = Vec::with_capacity(count * self.output_len());
        for picture in input.chunks_exact(picture) {
            self.run_one(picture, threads, &mut output)?;
        }
        Ok(output)
    }

    fn run_one(&self, picture: &[f32], threads: usize, output: &mut Vec<f32>) -> Result<(), RunError> {
        let mut job = self.job();
        let fresh = Arc::get_mut(&mut job).ok_or(RunError::Broken)?;
        fresh.prepare(picture, threads);
        if threads > 1 {
            let work: Arc<dyn Work> = job.clone();
            self.crew().call(&work, threads - 1);
        }
        job.work();
        if !job.finish(output) {
            return Err(RunError::Broken);
        }
        self.keep(job);
        Ok(())
    }

    fn run_many(&self, input: &[f32], threads: usize) -> Result<Vec<f32>, RunError> {
        let count = input.len() / self.input_len();
        let mut output = vec![0.0; count * self.output_len()];
        let pairs = input.chunks_exact(self.input_len()).zip(output.chunks_exact_mut(self.output_len()));
        let pairs = Mutex::new(pairs);
        let worker = || -> Result<(), RunError> {
            let mut row = Vec::with_capacity(self.output_len());
            loop {
                let next = pairs.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some((picture, answer)) = next else { return Ok(()) };
                row.clear();
                self.run_one(picture, 1, &mut row)?;
                answer.copy_from_slice(&row);
            }
        };
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
            let own = worker();
            let others = helpers.into_iter().map(|helper| helper.join().unwrap_or(Err(RunError::Broken)));
            others.fold(own, Result::and)
        })?;
        Ok(output)
    }

    fn crew(&self) -> &Crew {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.crew.get_or_init(|| Crew::new(cores.saturating_sub(1).max(1)))
    }

    /// A job that nobody else holds. One that a late thread still holds is left for the next time.
    fn job(&self) -> Arc<Job> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.iter_mut().position(|job| Arc::get_mut(job).is_some()) {
            Some(free) => kept.swap_remove(free),
            None => Arc::new(Job::new(self.program.clone())),
        }
    }

    fn keep(&self, job: Arc<Job>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MAX_KEPT {
            kept.push(job);
        }
    }
}
