//! The service against the real API server and real repositories, without workloads: the tests play those.

mod house;
mod life;
mod sync;
