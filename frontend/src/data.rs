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
#[diagnostic::on_unimplemented(
    message = "a function marked `#[kc::data]` returns `{Self}`, which is no data",
    label = "expected `(x, y)`, `((x_train, y_train), (x_test, y_test))`, or a `Result` of one"
)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_written_under_their_names() {
        let folder = std::env::temp_dir().join(format!("kc-data-{}", std::process::id()));
        let array = |value: f32| Array::from_slice(&[value; 2], &[2]).unwrap();
        let split: Split = ((array(1.0), array(2.0)), (array(3.0), array(4.0)));
        split.into_data().unwrap().write(&folder).unwrap();
        for (name, value) in [("x_train", 1.0), ("y_train", 2.0), ("x_test", 3.0), ("y_test", 4.0)] {
            assert_eq!(npy::read(&folder.join(format!("{name}.npy"))).unwrap(), array(value), "{name}");
        }
        let several = Data { train: (vec![array(5.0), array(6.0)], vec![]), test: None };
        several.write(&folder).unwrap();
        assert_eq!(npy::read(&folder.join("x1_train.npy")).unwrap(), array(6.0));
        std::fs::remove_dir_all(&folder).unwrap();
        let failed = Err::<Data, _>("no network").into_data();
        assert_eq!(failed.unwrap_err(), "no network");
    }
}
