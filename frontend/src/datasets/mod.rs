//! Data sets, as `keras.datasets` has them, and the reading of data files.

mod cache;
mod cifar10;
mod error;
mod idx;
mod imdb;
mod mnist;
mod npz;
mod pickle;

pub use cache::cache_dir;
pub use cifar10::{cifar10, cifar10_cached};
pub use error::DatasetError;
pub use imdb::{Imdb, Sequences, imdb_cached};
pub use mnist::{mnist, mnist_cached};
pub use npz::read_npz;

use kc_runtime::Array;

/// `((x_train, y_train), (x_test, y_test))`, as Keras' `load_data()` returns it.
pub type Split = ((Array, Array), (Array, Array));
