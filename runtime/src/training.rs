//! Keras' loops: [`fit`], [`evaluate`] and [`predict`] drive a [`Session`](crate::Session)'s entry points over a [`Dataset`].
//!
//! The entry points are those that a traced model has: `train_step` and `test_step` take features, targets and sample weights and
//! leave their results in the metric state, `metric_results` reads them, `predict` takes features.

mod batches;
mod callback;
pub mod callbacks;
mod checks;
mod dataset;
mod error;
mod evaluate;
mod fit;
mod history;
mod progress;

pub use callback::{Callback, CallbackError, Training};
pub use dataset::Dataset;
pub use error::{DataError, TrainingError};
pub use evaluate::{EvaluateOptions, evaluate, predict};
pub use fit::{FitOptions, fit};
pub use history::{History, Logs};
pub use progress::Verbose;
