//! Statistics of gates, and the verdicts that follow from them.
//!
//! Pure: figures in, a [`Gate`](galley_release_types::Gate) out, whose reason is a sentence with the figures in it. A
//! verdict is "inconclusive" where the evidence is too thin, never a silent pass.
//!
//! | module | holds |
//! |---|---|
//! | `statistics` | McNemar's exact test, Wilson's interval, percentiles |
//! | `evaluation` | what predictions on a held-out split show |
//! | `verdict` | the gates |

mod evaluation;
mod statistics;
mod verdict;

pub use evaluation::{Evaluation, Paired};
pub use statistics::{mcnemar_exact, percentile, wilson};
pub use verdict::{Agreement, Sample, judge_canary, judge_evaluation, judge_load};
