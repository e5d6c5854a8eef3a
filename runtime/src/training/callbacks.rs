//! Keras' callbacks that need only the model's state and a folder to write to.

mod checkpoint;
mod csv_logger;
mod early_stopping;
mod learning_rate;
mod monitor;
mod terminate_on_nan;

pub use checkpoint::{ModelCheckpoint, ModelCheckpointSeen, SaveFrequency};
pub use csv_logger::CsvLogger;
pub use early_stopping::{EarlyStopping, EarlyStoppingSeen};
pub use learning_rate::{LearningRateScheduler, ReduceLROnPlateau, ReduceLROnPlateauSeen};
pub use monitor::Mode;
pub use terminate_on_nan::TerminateOnNaN;
