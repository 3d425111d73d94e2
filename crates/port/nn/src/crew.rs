//! Threads that wait for work.
//!
//! A crew only helps: whoever asks does the work, too, and is done when the work is, whether or not anybody came. So a
//! busy machine makes it slower and never stuck.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Something that several threads can work on at once.
pub(crate) trait Work: Send + Sync {
    /// Works until nothing is left to begin.
    fn work(&self);
}

type Queue = Arc<Mutex<Receiver<Arc<dyn Work>>>>;

/// Some waiting threads.
pub(crate) struct Crew {
    calls: Sender<Arc<dyn Work>>,
    size: usize,
}

impl Crew {
    /// A crew of `size` threads, fewer if the system gives no more. They end with the crew.
    pub(crate) fn new(size: usize) -> Crew {
        let (calls, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let started = (0..size).take_while(|_| {
            let queue = queue.clone();
            std::thread::Builder::new().name("galley-nn".into()).spawn(move || member(&queue)).is_ok()
        });
        Crew { calls, size: started.count() }
    }

    /// Calls up to `helpers` threads to some work.
    pub(crate) fn call(&self, work: &Arc<dyn Work>, helpers: usize) {
        for _ in 0..helpers.min(self.size) {
            // Nobody listens only when no thread could be started; then the caller works alone.
            let _ = self.calls.send(work.clone());
        }
    }
}

/// Looks for a call before a thread goes to sleep, some ten microseconds: calls often follow each other closely.
const LOOKS: usize = 1000;

fn member(queue: &Queue) {
    loop {
        let call = {
            let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            let soon = (0..LOOKS).find_map(|_| {
                std::hint::spin_loop();
                queue.try_recv().ok()
            });
            soon.map_or_else(|| queue.recv(), Ok)
        };
        match call {
            Ok(work) => work.work(),
            Err(_) => return,
        }
    }
}
