//! Keras' callbacks that need only the model's state and a folder to write to.

mod checkpoint;
mod csv_logger;
mod early_stopping;
mod learning_rate;
mod monitor;
mod terminate_on_nan;

pub use checkpoint::{ModelCheckpoint, SaveFrequency};
pub use csv_logger::CsvLogger;
pub use early_stopping::EarlyStopping;
pub use learning_rate::{LearningRateScheduler, ReduceLROnPlateau};
pub use monitor::Mode;
pub use terminate_on_nan::TerminateOnNaN;
