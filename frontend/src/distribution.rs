//! `keras.distribution`: a model spread over several devices. XLA's partitioner does the work; here it is said what lies where.
//!
//! ```
//! use kc::distribution::{self, DeviceMesh, LayoutMap, ModelParallel};
//!
//! // 2 x 4 devices: batches are divided by 2, the kernels of dense layers by 4
//! let mesh = DeviceMesh::new([2, 4], ["batch", "model"])?;
//! let layout = LayoutMap::new(&mesh);
//! let layout = layout.with(".*dense.*kernel", [None, Some("model")])?.with(".*dense.*bias", [Some("model")])?;
//! distribution::set_distribution(Some(ModelParallel::new(layout).batch_dim_name("batch")?.into()));
//! // ... models that are compiled from here on are spread, whenever they are first needed, and by whatever thread
//! distribution::set_distribution(None);
//! # Ok::<(), kc::Error>(())
//! ```
//!
//! A distribution needs the back end xla (`KC_BACKEND=xla`, `--target xla`) and a plug-in with as many devices. A model has the
//! distribution that is set when `compile` is called; one that is never compiled, that which is set when it is made.
//!
//! **Not there**: `DeviceMesh(devices=...)` and `DataParallel(devices=...)`, since a mesh always has the plug-in's first devices in their order;
//! `distribute_tensor` and layouts of what layers give (`.../output`), since only state and batches are annotated, and the rest is left to
//! XLA; `auto_shard_dataset`, since a process takes the rows of its devices by itself. In a model file that the command `kc` traces,
//! `list_devices`, `get_device_count` and `DataParallel::over_all` do not exist (a trace has no devices), and [`initialize`] takes no arguments
//! but `None`: the variables below say what it would.
//!
//! **Several processes**, on one machine or many, train one model where the plug-in joins their devices. Each runs the same program with the
//! same seed and the same data; of each batch every process uploads only the rows of its devices, and XLA's collectives do the
//! rest. [`initialize`] says which process this is, or the variables `KERAS_DISTRIBUTION_JOB_ADDRESSES`, `_NUM_PROCESSES` and
//! `_PROCESS_ID` do, which `kc fit --target xla` reads too:
//!
//! ```sh
//! # on both machines, with KERAS_DISTRIBUTION_PROCESS_ID=1 on the second; model.rs has a mesh of the devices of both
//! export KERAS_DISTRIBUTION_JOB_ADDRESSES=10.0.0.1:1234 KERAS_DISTRIBUTION_NUM_PROCESSES=2 KERAS_DISTRIBUTION_PROCESS_ID=0
//! kc fit model.rs --target xla --data data
//! ```
//!
//! * GPUs (`pip install jax-cuda13-pjrt`): process 0 serves a key-value store at its address, by which the plug-ins find each other.
//! * TPUs (`libtpu`): a slice knows its hosts; nothing is said, each host runs the program, and [`list_devices`] has the devices of all.
//! * XLA's plug-in for CPUs (`xla-cpu-pjrt`) has no collectives between processes: an error says so.
//!
//! State that is divided among processes cannot be read or saved; let an axis of the mesh that divides variables lie within a process
//! (the devices of a process are neighbours). Only one process should write files.

use crate::{Error, Model, Result};
use kc_ir::manifest::{Distribution as Spread, MeshAxis, StateRole, StateTensor};
#[cfg(feature = "compile")]
use kc_runtime::pjrt::Processes;
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
    /// Where there is no axis, an extent is 0, there are more devices than an `i32` counts, or the names are not one different name an axis.
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
        let devices = shape.iter().try_fold(1usize, |devices, &extent| devices.checked_mul(extent));
        if devices.is_none_or(|devices| i32::try_from(devices).is_err()) {
            let most = i32::MAX;
            return Err(Error::model(format!(
                "`DeviceMesh`: got the shape {shape:?}, expected at most {most} devices in all"
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

/// The axes, as [`LayoutMap::with`] takes them: `map.with("dense/kernel", &layout)`.
impl<'a> IntoIterator for &'a TensorLayout {
    type Item = Option<&'a str>;
    type IntoIter = std::iter::Map<std::slice::Iter<'a, Option<String>>, fn(&'a Option<String>) -> Option<&'a str>>;

    fn into_iter(self) -> Self::IntoIter {
        self.axes.iter().map(Option::as_deref)
    }
}

/// Layouts by regular expressions over the paths of variables (`keras.distribution.LayoutMap`): a variable has the layout of the key
/// that is its path, else of the one key that matches the whole of it (Python's `re.fullmatch`).
///
/// The paths are those of Keras' `variable.path`, which [`Model::weight_paths`] lists: in a sequential model its name comes first
/// (`sequential/dense/kernel`), in a functional model none does (`dense/kernel`). So `.*dense/kernel` is in both. What the optimizer keeps
/// for a weight has the layout of the weight. All else, generators of seeds included, is on every device.
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

    /// The map with another layout: a [`TensorLayout`]'s reference, or what one is made of.
    ///
    /// # Errors
    /// Where the key is no regular expression or is there already, an axis of the mesh divides two axes, or the mesh lacks it.
    pub fn with<'a>(mut self, key: &str, axes: impl IntoIterator<Item = Option<&'a str>>) -> Result<Self> {
        let layout = TensorLayout::new(axes)?;
        layout.axes.iter().flatten().try_for_each(|axis| self.mesh.axis(axis).map(drop))?;
        if self.entries.iter().any(|(known, _, _)| known == key) {
            return Err(Error::model(format!("`LayoutMap`: `{key}` has a layout already")));
        }
        // by itself first, so that `a)(b` is none
        let expression = Regex::new(key)
            .and_then(|_| Regex::new(&format!(r"\A(?:{key})\z")))
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

    /// Over all devices that [`list_devices`] lists: Keras' `DataParallel()`.
    ///
    /// # Errors
    /// As [`list_devices`].
    #[cfg(feature = "compile")]
    pub fn over_all() -> Result<Self> {
        Self::new(get_device_count(None)?)
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

/// Says which of several processes this is (`keras.distribution.initialize`), before anything is computed. Of `job_addresses`, such as
/// `10.0.0.1:1234,10.0.0.2:2345`, only the first is needed: that of process 0. What is `None` comes from the variables
/// `KERAS_DISTRIBUTION_JOB_ADDRESSES`, `KERAS_DISTRIBUTION_NUM_PROCESSES` and `KERAS_DISTRIBUTION_PROCESS_ID`; where nothing is said, the
/// plug-in finds the others, as that of Cloud TPU does. The processes meet when the first of them needs a device.
///
/// # Errors
/// Where something is missing or is no number, or the process' number is not below that of processes.
#[cfg(feature = "compile")]
pub fn initialize(job_addresses: Option<&str>, num_processes: Option<usize>, process_id: Option<usize>) -> Result<()> {
    let said = Processes::from_environment(job_addresses, num_processes, process_id);
    *processes_lock() = said.map_err(|error| Error::run(error.to_string()))?;
    Ok(())
}

/// Nothing where all is `None`: `kc` itself reads the variables, and this program only traces the model.
///
/// # Errors
/// Where something is said, which this program cannot pass on.
#[cfg(not(feature = "compile"))]
pub fn initialize(job_addresses: Option<&str>, num_processes: Option<usize>, process_id: Option<usize>) -> Result<()> {
    if job_addresses.is_none() && num_processes.is_none() && process_id.is_none() {
        return Ok(());
    }
    let shown = |number: Option<usize>| number.map_or("...".to_string(), |number| number.to_string());
    Err(Error::model(format!(
        "`distribution::initialize`: one model file is the same in all processes, so it cannot say which of them it is in; call it with \
         `None, None, None` and run `kc` with the variables KERAS_DISTRIBUTION_JOB_ADDRESSES={} KERAS_DISTRIBUTION_NUM_PROCESSES={} \
         KERAS_DISTRIBUTION_PROCESS_ID={}",
        job_addresses.unwrap_or("..."),
        shown(num_processes),
        shown(process_id)
    )))
}

#[cfg(feature = "compile")]
fn processes_lock() -> std::sync::MutexGuard<'static, Option<Processes>> {
    static PROCESSES: std::sync::Mutex<Option<Processes>> = std::sync::Mutex::new(None);
    PROCESSES.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What [`initialize`] said.
#[cfg(feature = "compile")]
pub(crate) fn processes() -> Option<Processes> {
    processes_lock().clone()
}

/// The devices of all processes, such as `gpu:0` (`keras.distribution.list_devices`): those of the plug-in that `KC_PJRT_PLUGIN` names or pip
/// installed. Where a type is given, `"cpu"`, `"gpu"` or `"tpu"`, those of this type.
///
/// # Errors
/// Where there is no plug-in, or it has no devices.
#[cfg(feature = "compile")]
pub fn list_devices(device_type: Option<&str>) -> Result<Vec<String>> {
    use kc_runtime::pjrt::{Client, Plugin, find};
    let client = find(None).and_then(|path| Client::shared(Plugin::open(&path)?, processes().as_ref()));
    let client = client.map_err(|error| Error::run(error.to_string()))?;
    let own = match client.platform() {
        "cuda" | "rocm" => "gpu",
        platform => platform,
    };
    let wanted = device_type.is_none_or(|wanted| wanted.eq_ignore_ascii_case(own));
    let devices = client.all_devices().iter().filter(|_| wanted);
    Ok(devices.map(|device| format!("{own}:{}", device.id)).collect())
}

/// The number of [`list_devices`] (`keras.distribution.get_device_count`).
///
/// # Errors
/// As [`list_devices`].
#[cfg(feature = "compile")]
pub fn get_device_count(device_type: Option<&str>) -> Result<usize> {
    list_devices(device_type).map(|devices| devices.len())
}

thread_local! {
    static CURRENT: RefCell<Option<Distribution>> = const { RefCell::new(None) };
}

/// Spreads the models that this thread compiles from now on (`keras.distribution.set_distribution`); `None` ends it, and so does
/// [`clear_session`](crate::utils::clear_session). What is set later changes nothing about a model that is compiled.
pub fn set_distribution(distribution: Option<Distribution>) {
    CURRENT.with(|current| *current.borrow_mut() = distribution);
}

/// What was set (`keras.distribution.distribution`).
pub fn distribution() -> Option<Distribution> {
    CURRENT.with(|current| current.borrow().clone())
}

/// How the state of a model is spread; `slots` has for each tensor of the optimizer the weight that it is for, whose layout it has.
pub(crate) fn of_state(
    model: &Model,
    distribution: &Distribution,
    state: &[StateTensor],
    slots: &BTreeMap<usize, usize>,
) -> Result<Spread> {
    let (mesh, batch, map) = match distribution {
        Distribution::DataParallel(parallel) => (&parallel.mesh, 0, None),
        Distribution::ModelParallel(parallel) => {
            (&parallel.layout_map.mesh, parallel.batch, Some(&parallel.layout_map))
        }
    };
    let mut layouts = Vec::with_capacity(state.len());
    let mut paths = Vec::new();
    for (index, tensor) in state.iter().enumerate() {
        let of = &state[slots.get(&index).copied().unwrap_or(index)];
        let path = &model.keras_path(&of.name);
        let layout = match (map, of.role) {
            (Some(map), StateRole::Trainable | StateRole::NonTrainable) => {
                if !slots.contains_key(&index) {
                    paths.push(path.clone());
                }
                map.get(path)?
            }
            _ => None,
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
    let outputs = model.output_paths();
    for (key, expression, _) in map.iter().flat_map(|map| &map.entries) {
        let is_of = |path: &String| path == key || expression.is_match(path);
        if let Some(output) = outputs.iter().find(|path| is_of(path))
            && !paths.iter().any(is_of)
        {
            return Err(Error::model(format!(
                "`LayoutMap`: `{key}` is of the output `{output}`, and only variables have layouts here: XLA lays out what layers give; leave \
                 the key out. The variables are {}",
                paths.join(", ")
            )));
        }
    }
    Ok(Spread { mesh: mesh.axes.clone(), state: layouts, batch: Some(batch) })
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
        let map = map.with(".*dense.*kernel", [None, Some("model")]).expect("a layout");
        let whole = TensorLayout::new([Some("model"), None::<&str>]).expect("a layout");
        let map = map.with("dense_1/kernel", &whole).expect("a layout");
        let map = map.with("conv|norm", [Some("model")]).expect("a layout");
        let axes = |path: &str| map.get(path).expect("one key").map(|layout| layout.axes().to_vec());
        assert_eq!(axes("dense_2/kernel"), Some(vec![None, Some("model".to_string())]));
        assert_eq!(axes("dense_1/kernel"), Some(vec![Some("model".to_string()), None]), "a key that is the path");
        assert_eq!(axes("a/dense_1/kernel"), Some(vec![None, Some("model".to_string())]));
        // a key is of whole paths, as by `re.fullmatch`
        for path in ["conv/kernel", "dense_2/kernel_2", "conv_1", "a_norm"] {
            assert_eq!(axes(path), None, "{path}");
        }
        assert_eq!(axes("norm"), Some(vec![Some("model".to_string())]));
        let map = map.with(".*/kernel", [None, None]).expect("a layout");
        assert_eq!(
            map.get("dense_2/kernel").expect_err("two keys").to_string(),
            "`LayoutMap`: the path `dense_2/kernel` matches several keys: .*dense.*kernel, .*/kernel; expected one"
        );
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let error = |result: Result<LayoutMap>| result.expect_err("an error").to_string();
        let map = || LayoutMap::new(&mesh());
        assert_eq!(error(map().with("a", [Some("rows")])), "the mesh has no axis `rows`; it has batch, model");
        let twice = error(map().with("a", [Some("model"), Some("model")]));
        assert_eq!(twice, "`TensorLayout`: `model` divides two axes of [Some(\"model\"), Some(\"model\")]");
        assert!(error(map().with("a)(b", [None])).starts_with("`LayoutMap`: `a)(b` is no regular expression: "));
        let huge = DeviceMesh::new([1 << 32, 1 << 32], ["batch", "model"]).expect_err("an error").to_string();
        assert_eq!(
            huge,
            "`DeviceMesh`: got the shape [4294967296, 4294967296], expected at most 2147483647 devices in all"
        );
        let names = DeviceMesh::new([2, 4], ["batch"]).expect_err("an error").to_string();
        assert_eq!(
            names,
            "`DeviceMesh`: got the axis names [\"batch\"] for the shape [2, 4], expected one different name an axis"
        );
    }
}
