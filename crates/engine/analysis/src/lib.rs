//! Statistics and verdicts of gates.
//!
//! Pure: predictions, times and counts come in, figures and a [`galley_release_types::Gate`] go out; the moment is a
//! parameter. [`measure`] makes metrics of predictions, [`Paired`] compares two models on the same photos,
//! [`Latency`] sums up times, [`Report`] is all of it for people, and the `judge_*` functions turn them into a verdict with a sentence that a person can
//! check. Too little evidence is `inconclusive`, never a silent pass; numbers that are not finite never pass.

mod judge;
mod latency;
mod metrics;
mod page;
mod paired;
mod report;

pub use judge::{Agreement, Sample, judge_canary, judge_evaluation, judge_load};
pub use latency::Latency;
pub use metrics::{Metrics, MetricsError, Outcome, measure, wilson};
pub use paired::Paired;
pub use report::{Bin, ClassFigures, Comparison, Report, Slice, Times};
