//! What a compiled Keras model needs to run and to train, without its compiler: [`Package`] is the file,
//! [`Session`] is the model in execution, [`Array`] is a tensor in memory,
//! [`fit`], [`evaluate`] and [`predict`] are Keras' loops.
//!
//! Without the feature `std` the crate needs `core` and `alloc` alone, and predicts with code that lies where it is executed:
//! [`Predictor::in_place`].
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod array;
#[cfg(feature = "std")]
pub mod cache;
pub mod convert;
#[cfg(feature = "cuda")]
pub mod cuda;
mod errors;
mod heap;
#[cfg(feature = "std")]
pub mod image;
pub mod intrinsics;
mod memory;
#[cfg(feature = "npy")]
pub mod npy;
#[cfg(feature = "npz")]
pub mod npz;
pub mod package;
#[cfg(feature = "pjrt")]
pub mod pjrt;
pub mod pool;
#[cfg(feature = "train")]
pub mod random;
#[cfg(feature = "npz")]
pub mod samples;
mod session;
#[cfg(feature = "std")]
pub mod stablehlo;
#[cfg(feature = "std")]
mod summary;
#[cfg(feature = "train")]
pub mod training;

/// A package that is part of the program: `include_package!("mnist.kcp")`, a path as of [`include_bytes!`], or an expression such
/// as `concat!(env!("OUT_DIR"), "/mnist.kcp")`. Gives what [`Package::from_static`] gives; nothing is copied before it is used.
#[macro_export]
macro_rules! include_package {
    ($path:expr) => {{
        #[repr(C, align(64))]
        struct Aligned<Bytes: ?Sized>(Bytes);
        static FILE: &Aligned<[u8]> = &Aligned(*include_bytes!($path));
        $crate::Package::from_static(&FILE.0)
    }};
}

/// Takes the file of that name that `kc-build` wrote into the program: `include_model!("mnist.rs")`.
#[macro_export]
macro_rules! include_model {
    ($name:literal) => {
        include!(concat!(env!("OUT_DIR"), "/", $name));
    };
}

/// Numbers as the bytes that they are.
pub fn bytes_mut<T: Element>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: every bit pattern is a value, and the values are borrowed exclusively.
    unsafe { core::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

pub use array::{Array, ArrayError, Element};
#[cfg(feature = "std")]
pub use errors::with_sources;
pub use intrinsics::Functions;
pub use kc_abi;
pub use memory::AlignedBytes;
pub use package::{Package, PackageError};
pub use session::{Argument, EntryId, LoadError, Predictor, SessionError, SessionOptions, View};
#[cfg(feature = "std")]
pub use session::{DeviceOptions, LaunchTime, Model, Profile, Session};
#[cfg(feature = "std")]
pub use summary::summary_text;
#[cfg(feature = "train")]
pub use training::{
    Callback, DataError, Dataset, EvaluateOptions, FitOptions, History, Logs, Training, TrainingError, Verbose,
    evaluate, fit, predict,
};
