//! What a function marked `#[kc::data]` returns.

use crate::datasets::Split;
use crate::{Error, Result};
use kc_runtime::{Array, npy};
use std::path::Path;

/// Arrays to train on, and perhaps arrays to test on.
#[derive(Clone, Debug)]
pub struct Data {
    /// Features and targets to train on.
    pub train: (Vec<Array>, Vec<Array>),
    /// Features and targets to test on.
    pub test: Option<(Vec<Array>, Vec<Array>)>,
}

/// What can be data: `(x, y)`, `((x_train, y_train), (x_test, y_test))`, [`Data`], or a result of one.
pub trait IntoData {
    /// The data.
    fn into_data(self) -> std::result::Result<Data, String>;
}

impl IntoData for Data {
    fn into_data(self) -> std::result::Result<Data, String> {
        Ok(self)
    }
}

impl IntoData for (Array, Array) {
    fn into_data(self) -> std::result::Result<Data, String> {
        Ok(Data { train: (vec![self.0], vec![self.1]), test: None })
    }
}

impl IntoData for Split {
    fn into_data(self) -> std::result::Result<Data, String> {
        let (train, test) = self;
        Ok(Data { train: (vec![train.0], vec![train.1]), test: Some((vec![test.0], vec![test.1])) })
    }
}

impl<D: IntoData, E: std::fmt::Display> IntoData for std::result::Result<D, E> {
    fn into_data(self) -> std::result::Result<Data, String> {
        self.map_err(|error| error.to_string())?.into_data()
    }
}

impl Data {
    /// Writes the arrays into a folder: `x_train.npy`, `y_train.npy`, `x_test.npy`, `y_test.npy`; further features and targets
    /// are numbered: `x1_train.npy`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)
            .map_err(|error| Error::run(format!("cannot create {}: {error}", folder.display())))?;
        for (part, arrays) in [("train", Some(&self.train)), ("test", self.test.as_ref())] {
            let Some((features, targets)) = arrays else { continue };
            for (letter, arrays) in [("x", features), ("y", targets)] {
                for (index, array) in arrays.iter().enumerate() {
                    let number = if index == 0 { String::new() } else { index.to_string() };
                    let path = folder.join(format!("{letter}{number}_{part}.npy"));
                    npy::write(&path, array).map_err(|error| Error::run(error.to_string()))?;
                }
            }
        }
        Ok(())
    }
}
