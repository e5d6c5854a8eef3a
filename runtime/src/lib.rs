//! What a compiled Keras model needs to run and to train, without its compiler: [`Package`] is the file,
//! [`Session`] is the model in execution, [`Array`] is a tensor in memory,
//! [`fit`], [`evaluate`] and [`predict`] are Keras' loops.

pub mod array;
pub mod convert;
pub mod image;
pub mod intrinsics;
mod memory;
#[cfg(feature = "npy")]
pub mod npy;
#[cfg(feature = "npz")]
pub mod npz;
pub mod package;
pub mod pool;
pub mod random;
#[cfg(feature = "npz")]
pub mod samples;
mod session;
mod summary;
pub mod training;

pub use array::{Array, ArrayError, Element};
pub use kc_abi;
pub use memory::AlignedBytes;
pub use package::{Package, PackageError};
pub use session::{EntryId, LaunchTime, Profile, Session, SessionError, SessionOptions};
pub use summary::summary_text;
pub use training::{
    Callback, DataError, Dataset, EvaluateOptions, FitOptions, History, Logs, Training, TrainingError, Verbose,
    evaluate, fit, predict,
};
