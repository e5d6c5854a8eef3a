//! `keras.distribution`: a model spread over several devices. XLA's partitioner does the work; here it is said what lies where.
//!
//! ```
//! use kc::distribution::{self, DeviceMesh, LayoutMap, ModelParallel};
//!
//! // 2 x 4 devices: batches are divided by 2, the kernels of dense layers by 4
//! let mesh = DeviceMesh::new([2, 4], ["batch", "model"])?;
//! let layout = LayoutMap::new(&mesh).with("dense.*kernel", [None, Some("model")])?.with("dense.*bias", [Some("model")])?;
//! distribution::set_distribution(Some(ModelParallel::new(layout).batch_dim_name("batch")?.into()));
//! // ... models that are compiled from here on are spread
//! distribution::set_distribution(None);
//! # Ok::<(), kc::Error>(())
//! ```
//!
//! A distribution needs the back end xla (`KC_BACKEND=xla`, `--target xla`) and a plug-in with as many devices.

use crate::{Error, Result};
use kc_ir::manifest::{Distribution as Spread, MeshAxis, StateTensor};
use regex_lite::Regex;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Devices in a grid with named axes (`keras.distribution.DeviceMesh`). Devices are numbered row by row, as the plug-in lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceMesh {
    axes: Vec<MeshAxis>,
}

impl DeviceMesh {
    /// A mesh of that shape.
    ///
    /// # Errors
    /// Where there is no axis, an extent is 0, or the names are not one different name an axis.
    pub fn new(
        shape: impl IntoIterator<Item = usize>,
        axis_names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self> {
        let shape: Vec<usize> = shape.into_iter().collect();
        let names: Vec<String> = axis_names.into_iter().map(Into::into).collect();
        if shape.is_empty() || shape.contains(&0) {
            return Err(Error::model(format!("`DeviceMesh`: got the shape {shape:?}, expected extents of at least 1")));
        }
        let distinct = names.iter().enumerate().all(|(i, name)| !names[..i].contains(name));
        if names.len() != shape.len() || !distinct {
            return Err(Error::model(format!(
                "`DeviceMesh`: got the axis names {names:?} for the shape {shape:?}, expected one different name an axis"
            )));
        }
        let axes = names.into_iter().zip(shape).map(|(name, size)| MeshAxis { name, size }).collect();
        Ok(DeviceMesh { axes })
    }

    /// The extents.
    pub fn shape(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| axis.size).collect()
    }

    /// The axes' names.
    pub fn axis_names(&self) -> Vec<&str> {
        self.axes.iter().map(|axis| axis.name.as_str()).collect()
    }

    fn axis(&self, name: &str) -> Result<usize> {
        self.axes.iter().position(|axis| axis.name == name).ok_or_else(|| {
            let known = self.axis_names().join(", ");
            Error::model(format!("the mesh has no axis `{name}`; it has {known}"))
        })
    }
}

/// Which axis of the mesh divides each axis of a tensor; `None` is an axis that is not divided
/// (`keras.distribution.TensorLayout`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorLayout {
    axes: Vec<Option<String>>,
}

impl TensorLayout {
    /// A layout with one entry an axis of the tensor.
    ///
    /// # Errors
    /// Where an axis of the mesh divides two axes.
    pub fn new(axes: impl IntoIterator<Item = Option<impl Into<String>>>) -> Result<Self> {
        let axes: Vec<Option<String>> = axes.into_iter().map(|axis| axis.map(Into::into)).collect();
        let repeated = axes.iter().enumerate().find(|(i, axis)| axis.is_some() && axes[..*i].contains(axis));
        match repeated {
            Some((_, Some(axis))) => {
                Err(Error::model(format!("`TensorLayout`: `{axis}` divides two axes of {axes:?}")))
            }
            _ => Ok(TensorLayout { axes }),
        }
    }

    /// One entry an axis of the tensor.
    pub fn axes(&self) -> &[Option<String>] {
        &self.axes
    }
}

/// Layouts by regular expressions over the paths of variables (`keras.distribution.LayoutMap`): a variable has the layout of the key
/// that is its path, else of the one key that is found in its path.
#[derive(Clone, Debug)]
pub struct LayoutMap {
    mesh: DeviceMesh,
    entries: Vec<(String, Regex, TensorLayout)>,
}

impl LayoutMap {
    /// An empty map for a mesh.
    pub fn new(device_mesh: &DeviceMesh) -> Self {
        LayoutMap { mesh: device_mesh.clone(), entries: Vec::new() }
    }

    /// The map with another layout.
    ///
    /// # Errors
    /// Where the key is no regular expression or is there already, or the mesh lacks an axis.
    pub fn with<'a>(mut self, key: &str, axes: impl IntoIterator<Item = Option<&'a str>>) -> Result<Self> {
        let layout = TensorLayout::new(axes)?;
        layout.axes.iter().flatten().try_for_each(|axis| self.mesh.axis(axis).map(drop))?;
        if self.entries.iter().any(|(known, _, _)| known == key) {
            return Err(Error::model(format!("`LayoutMap`: `{key}` has a layout already")));
        }
        let expression = Regex::new(key)
            .map_err(|error| Error::model(format!("`LayoutMap`: `{key}` is no regular expression: {error}")))?;
        self.entries.push((key.to_string(), expression, layout));
        Ok(self)
    }

    /// The layout of a variable; `None` where no key matches.
    ///
    /// # Errors
    /// Where several keys match.
    pub fn get(&self, path: &str) -> Result<Option<&TensorLayout>> {
        if let Some((_, _, layout)) = self.entries.iter().find(|(key, _, _)| key == path) {
            return Ok(Some(layout));
        }
        let matching: Vec<_> = self.entries.iter().filter(|(_, expression, _)| expression.is_match(path)).collect();
        match matching.as_slice() {
            [] => Ok(None),
            [(_, _, layout)] => Ok(Some(layout)),
            several => {
                let keys: Vec<&str> = several.iter().map(|(key, _, _)| key.as_str()).collect();
                Err(Error::model(format!(
                    "`LayoutMap`: the path `{path}` matches several keys: {}; expected one",
                    keys.join(", ")
                )))
            }
        }
    }
}

/// Every device has the whole model and a part of each batch (`keras.distribution.DataParallel`).
#[derive(Clone, Debug)]
pub struct DataParallel {
    mesh: DeviceMesh,
}

impl DataParallel {
    /// Over that many devices.
    pub fn new(devices: usize) -> Result<Self> {
        Ok(DataParallel { mesh: DeviceMesh::new([devices], ["batch"])? })
    }

    /// Over a mesh, whose first axis divides batches.
    pub fn with_mesh(device_mesh: &DeviceMesh) -> Self {
        DataParallel { mesh: device_mesh.clone() }
    }
}

/// Variables are divided as a map says, batches by an axis of the mesh (`keras.distribution.ModelParallel`).
#[derive(Clone, Debug)]
pub struct ModelParallel {
    layout_map: LayoutMap,
    batch: usize,
}

impl ModelParallel {
    /// By a map of layouts; the mesh's first axis divides batches.
    pub fn new(layout_map: LayoutMap) -> Self {
        ModelParallel { layout_map, batch: 0 }
    }

    /// The axis of the mesh that divides batches. Default: the first.
    pub fn batch_dim_name(mut self, name: &str) -> Result<Self> {
        self.batch = self.layout_map.mesh.axis(name)?;
        Ok(self)
    }
}

/// How models are spread.
#[derive(Clone, Debug)]
pub enum Distribution {
    /// By batches.
    DataParallel(DataParallel),
    /// By batches and variables.
    ModelParallel(ModelParallel),
}

impl From<DataParallel> for Distribution {
    fn from(distribution: DataParallel) -> Self {
        Distribution::DataParallel(distribution)
    }
}

impl From<ModelParallel> for Distribution {
    fn from(distribution: ModelParallel) -> Self {
        Distribution::ModelParallel(distribution)
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Distribution>> = const { RefCell::new(None) };
}

/// Spreads the models that this thread compiles from now on (`keras.distribution.set_distribution`); `None` ends it.
pub fn set_distribution(distribution: Option<Distribution>) {
    CURRENT.with(|current| *current.borrow_mut() = distribution);
}

/// What was set (`keras.distribution.distribution`).
pub fn distribution() -> Option<Distribution> {
    CURRENT.with(|current| current.borrow().clone())
}

/// How the state of a model is spread; `slots` has for each tensor of the optimizer the weight that it is for, whose layout it has.
pub(crate) fn of_state(state: &[StateTensor], slots: &BTreeMap<usize, usize>) -> Result<Option<Spread>> {
    let Some(distribution) = distribution() else { return Ok(None) };
    let (mesh, batch, map) = match &distribution {
        Distribution::DataParallel(parallel) => (&parallel.mesh, 0, None),
        Distribution::ModelParallel(parallel) => {
            (&parallel.layout_map.mesh, parallel.batch, Some(&parallel.layout_map))
        }
    };
    let mut layouts = Vec::with_capacity(state.len());
    for (index, tensor) in state.iter().enumerate() {
        let path = &state[slots.get(&index).copied().unwrap_or(index)].name;
        let layout = match map {
            Some(map) => map.get(path)?,
            None => None,
        };
        let Some(layout) = layout else {
            layouts.push(vec![None; tensor.ty.rank()]);
            continue;
        };
        let given: Vec<&str> = layout.axes.iter().map(|axis| axis.as_deref().unwrap_or("None")).collect();
        let given = given.join(", ");
        if layout.axes.len() != tensor.ty.rank() {
            return Err(Error::model(format!(
                "`LayoutMap`: `{path}` is {}, its layout ({given}) has {} axes, expected {}",
                tensor.ty,
                layout.axes.len(),
                tensor.ty.rank()
            )));
        }
        let mut axes = Vec::with_capacity(layout.axes.len());
        for (axis, extent) in layout.axes.iter().zip(&tensor.ty.shape) {
            let axis = axis.as_deref().map(|name| mesh.axis(name)).transpose()?;
            let parts = axis.map_or(1, |axis| mesh.axes[axis].size) as i64;
            if extent.as_constant().is_none_or(|extent| extent % parts != 0) {
                return Err(Error::model(format!(
                    "`LayoutMap`: `{path}` is {}, whose extent {extent} cannot be divided among {parts} devices by the \
                     layout ({given})",
                    tensor.ty
                )));
            }
            axes.push(axis);
        }
        layouts.push(axes);
    }
    Ok(Some(Spread { mesh: mesh.axes.clone(), state: layouts, batch: Some(batch) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mesh() -> DeviceMesh {
        DeviceMesh::new([2, 4], ["batch", "model"]).expect("a mesh")
    }

    #[test]
    fn a_layout_is_found_by_path_then_by_expression() {
        let map = LayoutMap::new(&mesh());
        let map = map.with("dense.*kernel", [None, Some("model")]).expect("a layout");
        let map = map.with("dense_1/kernel", [Some("model"), None]).expect("a layout");
        let axes = |path: &str| map.get(path).expect("one key").map(|layout| layout.axes().to_vec());
        assert_eq!(axes("dense_2/kernel"), Some(vec![None, Some("model".to_string())]));
        assert_eq!(axes("dense_1/kernel"), Some(vec![Some("model".to_string()), None]), "a key that is the path");
        assert_eq!(axes("conv/kernel"), None);
        let map = map.with("kernel", [None, None]).expect("a layout");
        assert_eq!(
            map.get("dense_2/kernel").expect_err("two keys").to_string(),
            "`LayoutMap`: the path `dense_2/kernel` matches several keys: dense.*kernel, kernel; expected one"
        );
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let error = |result: Result<LayoutMap>| result.expect_err("an error").to_string();
        let map = || LayoutMap::new(&mesh());
        assert_eq!(error(map().with("a", [Some("rows")])), "the mesh has no axis `rows`; it has batch, model");
        let twice = error(map().with("a", [Some("model"), Some("model")]));
        assert_eq!(twice, "`TensorLayout`: `model` divides two axes of [Some(\"model\"), Some(\"model\")]");
        let names = DeviceMesh::new([2, 4], ["batch"]).expect_err("an error").to_string();
        assert_eq!(
            names,
            "`DeviceMesh`: got the axis names [\"batch\"] for the shape [2, 4], expected one different name an axis"
        );
    }
}
