//! The manifest of a package: what the runtime must know to run compiled code, and nothing about how the
//! code came to be.

use crate::codec::codec;
use crate::{DType, Dim, Symbol};
use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::fmt;
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// Dtype and shape of a dense, row-major tensor.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct TensorType {
    /// Type of the elements.
    pub dtype: DType,
    /// Extents, outermost first.
    pub shape: Vec<Dim>,
}

impl TensorType {
    /// A tensor type.
    pub fn new(dtype: DType, shape: impl IntoIterator<Item = impl Into<Dim>>) -> Self {
        TensorType { dtype, shape: shape.into_iter().map(Into::into).collect() }
    }
    /// A scalar (rank 0) type.
    pub fn scalar(dtype: DType) -> Self {
        TensorType { dtype, shape: Vec::new() }
    }
    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }
    /// Number of elements.
    pub fn elements(&self) -> Dim {
        self.shape.iter().cloned().product()
    }
    /// The extents, where all are known.
    pub fn constant_shape(&self) -> Option<Vec<i64>> {
        self.shape.iter().map(Dim::as_constant).collect()
    }
}

impl fmt::Display for TensorType {
    /// `f32[B, 10]`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}[", self.dtype)?;
        for (i, dim) in self.shape.iter().enumerate() {
            write!(formatter, "{}{dim}", if i == 0 { "" } else { ", " })?;
        }
        formatter.write_str("]")
    }
}

/// What a state tensor is for. The order of the variants is the order in which summaries list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum StateRole {
    /// A weight that the optimizer updates.
    Trainable,
    /// A weight that only the forward pass updates, such as a moving mean.
    NonTrainable,
    /// A seed generator's state: `u32[2]`.
    Seed,
    /// The optimizer's own variable, such as a momentum.
    Optimizer,
    /// The learning rate: a scalar that callbacks may set.
    LearningRate,
    /// The optimizer's step count: a scalar `i64`.
    Iterations,
    /// A metric's accumulator; set to zero when an epoch starts.
    Metric,
}

/// A tensor that lives as long as the model: an argument and a result of the entry points, updated in place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct StateTensor {
    /// The variable's path, unique: `dense/kernel`, `adam/dense_kernel_momentum`.
    pub name: String,
    /// What it is for.
    pub role: StateRole,
    /// Dtype and shape, without symbols.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub ty: TensorType,
}

/// What the values of an input must satisfy; the runtime checks data once, before it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum ValueCheck {
    /// Integers (or whole floats) in `0..classes`: class labels.
    ClassLabels {
        /// Number of classes.
        classes: i64,
    },
    /// No NaN.
    NotNan,
}

/// An argument of an entry point that is not state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Input {
    /// The input layer's name, `y` and `sample_weight` for the others.
    pub name: String,
    /// What the input is.
    pub role: InputRole,
    /// Dtype and shape; the leading axis is the batch where the role is not `Seeds`.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub ty: TensorType,
    /// Checks of the values.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub checks: Vec<ValueCheck>,
}

impl Input {
    /// The axis of an entry point's input that is the batch: the first, of several steps the second; `None` where there is none.
    pub fn batch_axis(&self, entry: &str) -> Option<usize> {
        let axis = usize::from(entry == TRAIN_STEPS);
        (self.role != InputRole::Seeds && self.ty.rank() > axis).then_some(axis)
    }
}

/// What an input of an entry point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum InputRole {
    /// A model input.
    Feature,
    /// A target (`y`).
    Target,
    /// One weight a sample and target: `f32[B]`.
    SampleWeight,
    /// The seeds of `init`, which are drawn anew for every initialisation: `u32[n]`, in the order of the draws.
    Seeds,
}

/// A result of an entry point that is not state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Output {
    /// The output's name; for metrics the log's name, such as `loss`.
    pub name: String,
    /// Dtype and shape.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub ty: TensorType,
}

/// Where a buffer of a plan lies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Place {
    /// The entry point's input of that index.
    Input(usize),
    /// The entry point's output of that index.
    Output(usize),
    /// The state tensor of that index, in place.
    State(usize),
    /// The arena's slot of that index.
    Slot(usize),
    /// The package's constant data, from that byte on.
    Constant(u64),
}

/// A buffer of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Buffer {
    /// Type of the elements.
    pub dtype: DType,
    /// Number of elements.
    pub elements: Dim,
    /// Where it lies.
    pub place: Place,
    /// Its first element, counted in elements of its dtype from the place's start; counters of loops may occur, each by itself and as
    /// `counter//2`, with known factors.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
    pub offset: Dim,
}

/// One launch of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Launch {
    /// Index into [`Code::kernels`].
    pub kernel: usize,
    /// Indices into [`Plan::buffers`], one a buffer parameter of the kernel.
    pub buffers: Vec<usize>,
    /// One dimension a dimension parameter of the kernel.
    pub dims: Vec<Dim>,
    /// Number of independent tasks.
    pub tasks: Dim,
    /// Where parts of them begin, without the first: the tasks of a part cost about the same, those of different parts need not. Each
    /// part is divided among threads by itself.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub parts: Vec<Dim>,
    /// Estimate of the launch's work, in bytes moved plus arithmetic operations; it decides whether threads are
    /// woken, never a result. 0: unknown, and the bytes of the launch's buffers are taken.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_zero"))]
    pub work: Dim,
}

#[cfg(feature = "serde")]
fn is_zero(dim: &Dim) -> bool {
    dim.is(0)
}

/// What a plan does next. All of a step ends before the next one starts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Step {
    /// Launches that do not depend on each other.
    Launches(Vec<Launch>),
    /// Steps that are executed a known number of times.
    Loop {
        /// The number of the round, from 0, in offsets of buffers.
        counter: Symbol,
        /// How many rounds there are.
        rounds: Dim,
        /// One round.
        steps: Vec<Step>,
    },
    /// Steps that are executed while a condition holds.
    While {
        /// What computes the condition, before each round.
        condition: Vec<Step>,
        /// The buffer of the condition, a bool.
        holds: usize,
        /// One round.
        steps: Vec<Step>,
    },
    /// One of several lists of steps.
    Branch {
        /// The buffer of the list's number, a bool or integer; one below 0 is the first list, one too large the last.
        index: usize,
        /// The lists.
        branches: Vec<Vec<Step>>,
    },
}

impl Step {
    /// The lists of steps inside of it, in the order of the text form.
    pub fn blocks(&self) -> Vec<&[Step]> {
        match self {
            Step::Launches(_) => Vec::new(),
            Step::Loop { steps, .. } => [steps.as_slice()].into(),
            Step::While { condition, steps, .. } => [condition.as_slice(), steps].into(),
            Step::Branch { branches, .. } => branches.iter().map(Vec::as_slice).collect(),
        }
    }

    /// The same, to change them.
    pub fn blocks_mut(&mut self) -> Vec<&mut Vec<Step>> {
        match self {
            Step::Launches(_) => Vec::new(),
            Step::Loop { steps, .. } => [steps].into(),
            Step::While { condition, steps, .. } => [condition, steps].into(),
            Step::Branch { branches, .. } => branches.iter_mut().collect(),
        }
    }
}

/// The launches of steps and of those inside of them, in the order of the text form.
pub fn launches(steps: &[Step]) -> Vec<&Launch> {
    let mut all = Vec::new();
    for step in steps {
        match step {
            Step::Launches(list) => all.extend(list),
            other => other.blocks().into_iter().for_each(|steps| all.extend(launches(steps))),
        }
    }
    all
}

/// The same, to change them.
pub fn launches_mut(steps: &mut [Step]) -> Vec<&mut Launch> {
    let mut all = Vec::new();
    for step in steps {
        match step {
            Step::Launches(list) => all.extend(list),
            other => other.blocks_mut().into_iter().for_each(|steps| all.extend(launches_mut(steps))),
        }
    }
    all
}

/// How an entry point executes: buffers with their places, then steps in order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Plan {
    /// Bytes of each arena slot, as functions of the entry's symbols; a slot serves buffers whose lifetimes do not overlap,
    /// so it holds the largest of the dimensions listed for it.
    pub slots: Vec<Vec<Dim>>,
    /// The buffers.
    pub buffers: Vec<Buffer>,
    /// The steps.
    pub steps: Vec<Step>,
    /// How many of the first steps depend on state tensors and constants alone and leave their results in slots that nothing else
    /// uses: where the arena and the state are as the call before left them, they need not be repeated.
    #[cfg_attr(feature = "serde", serde(default))]
    pub kept: usize,
}

/// A function of the package.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Entry {
    /// `init`, `predict`, `train_step`, `test_step`, `metric_results`.
    pub name: String,
    /// The unknown extents; each occurs as an extent of an input's shape.
    pub symbols: Vec<Symbol>,
    /// Arguments that are not state.
    pub inputs: Vec<Input>,
    /// Results that are not state.
    pub outputs: Vec<Output>,
    /// How it executes.
    pub plan: Plan,
    /// How it executes with some known extents, where that is compiled apart; all else goes by `plan`.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub exact: Vec<ExactPlan>,
    /// The state tensors that it writes, by index, ascending. Where there are none, many threads may execute it at once.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub updates: Vec<usize>,
}

impl Entry {
    /// Its plans: for any extents, then those for known ones.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        [&self.plan].into_iter().chain(self.exact.iter().map(|exact| &exact.plan))
    }

    /// The same, to change them.
    pub fn plans_mut(&mut self) -> impl Iterator<Item = &mut Plan> {
        [&mut self.plan].into_iter().chain(self.exact.iter_mut().map(|exact| &mut exact.plan))
    }
}

/// A plan for known extents.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct ExactPlan {
    /// The value of each of the entry's symbols.
    pub values: Vec<i64>,
    /// How it executes then.
    pub plan: Plan,
}

/// One compiled kernel of a code section.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Kernel {
    /// For people and profiles.
    pub name: String,
    /// Where its code starts, in bytes from the start of the section.
    pub offset: u64,
    /// Bytes of scratch memory that each thread needs.
    pub scratch_bytes: u64,
    /// Names of the entries of the intrinsics' table that it may call ([`Intrinsic`](crate::call::Intrinsic)), ascending by their places;
    /// `None` where its maker did not say.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub calls: Option<Vec<String>>,
    /// Threads of the block that executes a task, of code for a GPU; `None` of code for a CPU, where a thread does.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub block_threads: Option<u32>,
}

/// A section of machine code: a flat position-independent image without load-time relocations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Code {
    /// The back end that made it: `cranelift`, `mlir`, `xla`.
    pub backend: String,
    /// Architecture and operating system's calling convention: `x86_64-linux`; of programs for devices `xla`, or `tpu` and the topology.
    pub target: String,
    /// CPU features that the code needs, such as `avx512f`.
    pub features: Vec<String>,
    /// Version of the intrinsics' table it was made for.
    pub intrinsics_version: u32,
    /// Names of the functions of the runtime's library that the code calls, ascending.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub library: Vec<String>,
    /// The kernels.
    pub kernels: Vec<Kernel>,
    /// Where the parts of the section start, ascending, the first at 0: each refers to nothing outside of itself, so that it can be
    /// left out or moved. Empty where that is not known.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub parts: Vec<u64>,
    /// Programs for devices of a plug-in; a package has these or kernels.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Vec::is_empty"))]
    pub programs: Vec<DeviceProgram>,
}

/// An entry point as a program for devices, in the code section.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct DeviceProgram {
    /// The entry point, by its index.
    pub entry: usize,
    /// What the bytes are.
    pub form: ProgramForm,
    /// Where it starts, in bytes from the start of the section.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// What its parameters are: state and inputs.
    pub arguments: Vec<Place>,
    /// What its results are: new values of state, and outputs.
    pub results: Vec<Place>,
    /// Whether the batch of its inputs is divided as the model's distribution says; else every device has all of it.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "core::ops::Not::not"))]
    pub batch_divided: bool,
}

/// What the bytes of a [`DeviceProgram`] are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum ProgramForm {
    /// StableHLO text with `${..}` for extents that are not known.
    Stablehlo,
    /// What a plug-in compiled and serialized.
    Executable {
        /// The platform of the plug-in that compiled it, such as `tpu`.
        platform: String,
        /// The devices that it is for, such as `v5e:2x2`.
        topology: String,
        /// The values of the entry's symbols.
        values: Vec<i64>,
        /// What the plug-in says that it costs.
        cost: ProgramCost,
    },
}

/// What one execution of a program costs by the plug-in's own account; 0 where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct ProgramCost {
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes moved.
    pub bytes: u64,
    /// Nanoseconds, by the plug-in's model of the device.
    pub nanoseconds: u64,
    /// Bytes of code.
    pub code_bytes: u64,
    /// The most memory at one time, in bytes.
    pub peak_bytes: u64,
    /// Nanoseconds that it took to compile.
    pub compile_nanoseconds: u64,
}

/// What a code section is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeTarget {
    /// See [`Code::backend`].
    pub backend: String,
    /// See [`Code::target`].
    pub target: String,
    /// See [`Code::features`].
    pub features: Vec<String>,
}

impl fmt::Display for CodeTarget {
    /// `x86_64-linux (mlir; avx2 fma)`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({}", self.target, self.backend)?;
        for (i, feature) in self.features.iter().enumerate() {
            write!(formatter, "{}{feature}", if i == 0 { "; " } else { " " })?;
        }
        formatter.write_str(")")
    }
}

/// A line of `summary()`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct LayerInfo {
    /// The layer's name.
    pub name: String,
    /// The layer's class, as Keras names it.
    pub class: String,
    /// Output shape for people: `(None, 10)`.
    pub output_shape: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Names of the layers it takes its inputs from.
    pub inbound: Vec<String>,
    /// What Keras' files call its parts, by the parts' paths in the names of its weights: `lstm_cell`: `cell`.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "BTreeMap::is_empty"))]
    pub parts: BTreeMap<String, String>,
}

/// Facts about the model for people.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct ModelInfo {
    /// The model's name.
    pub name: String,
    /// The layers in order.
    pub layers: Vec<LayerInfo>,
    /// Free fields: `optimizer`, `loss`, model card texts.
    pub fields: BTreeMap<String, String>,
    /// Names of classes, by the name of the output whose last axis counts them.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "BTreeMap::is_empty"))]
    pub labels: BTreeMap<String, Vec<String>>,
    /// How it is spread over devices, where it was made for several.
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub distribution: Option<Distribution>,
}

/// How state and batches are spread over a mesh of devices; what it does not divide is on every device.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Distribution {
    /// The mesh's axes, outermost first; devices are numbered row by row.
    pub mesh: Vec<MeshAxis>,
    /// For each state tensor and each of its axes the axis of the mesh, by its index, that divides it.
    pub state: Vec<Vec<Option<usize>>>,
    /// The axis of the mesh that divides batches, by its index.
    pub batch: Option<usize>,
}

/// An axis of a mesh of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct MeshAxis {
    /// Its name, such as `batch` or `model`.
    pub name: String,
    /// Number of devices along it.
    pub size: usize,
}

impl Distribution {
    /// Number of devices of the mesh; the largest number there is where they are more.
    pub fn devices(&self) -> usize {
        self.mesh.iter().fold(1, |devices, axis| devices.saturating_mul(axis.size))
    }

    /// Into how many parts an axis of the mesh divides; no axis into one.
    pub fn parts(&self, axis: Option<usize>) -> usize {
        axis.and_then(|axis| self.mesh.get(axis)).map_or(1, |axis| axis.size)
    }

    /// The position of a device along an axis of the mesh.
    pub fn position(&self, device: usize, axis: Option<usize>) -> usize {
        let Some(axis) = axis.filter(|axis| *axis < self.mesh.len()) else { return 0 };
        let inner: usize = self.mesh[axis + 1..].iter().map(|axis| axis.size).product();
        device / inner.max(1) % self.mesh[axis].size.max(1)
    }
}

/// The entry point of several train steps in one call, where a package has one: as `train_step`, but each input has one more axis, the
/// first, and each of its elements is a step's.
pub const TRAIN_STEPS: &str = "train_steps";

/// The version of the package format.
pub const FORMAT_VERSION: u32 = 3;

/// Everything about a package but code, constants and weights.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the writer.
    pub format: u32,
    /// Facts for people.
    pub model: ModelInfo,
    /// The state tensors, referred to by index.
    pub state: Vec<StateTensor>,
    /// The entry points.
    pub entries: Vec<Entry>,
    /// The code section.
    pub code: Code,
}

impl Manifest {
    /// Whether a prediction depends on the state: on weights, or on seeds.
    pub fn has_weights(&self) -> bool {
        let is_weight = |role| matches!(role, StateRole::Trainable | StateRole::NonTrainable | StateRole::Seed);
        self.state.iter().any(|tensor| is_weight(tensor.role))
    }

    /// The entry point of that name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

codec!(struct TensorType { dtype, shape });
codec!(enum StateRole { 0 Trainable, 1 NonTrainable, 2 Seed, 3 Optimizer, 4 LearningRate, 5 Iterations, 6 Metric });
codec!(struct StateTensor { name, role, ty });
codec!(enum ValueCheck { 0 ClassLabels { classes }, 1 NotNan });
codec!(enum InputRole { 0 Feature, 1 Target, 2 SampleWeight, 3 Seeds });
codec!(struct Input { name, role, ty, checks });
codec!(struct Output { name, ty });
codec!(enum Place { 0 Input(index), 1 Output(index), 2 State(index), 3 Slot(index), 4 Constant(offset) });
codec!(struct Buffer { dtype, elements, place, offset });
codec!(struct Launch { kernel, buffers, dims, tasks, parts, work });
codec!(enum Step {
    0 Launches(launches),
    1 Loop { counter, rounds, steps },
    2 While { condition, holds, steps },
    3 Branch { index, branches },
});
codec!(struct Plan { slots, buffers, steps, kept });
codec!(struct ExactPlan { values, plan });
codec!(struct Entry { name, symbols, inputs, outputs, plan, exact, updates });
codec!(struct Kernel { name, offset, scratch_bytes, calls, block_threads });
codec!(struct Code { backend, target, features, intrinsics_version, library, kernels, parts, programs });
codec!(struct DeviceProgram { entry, form, offset, bytes, arguments, results, batch_divided });
codec!(enum ProgramForm { 0 Stablehlo, 1 Executable { platform, topology, values, cost } });
codec!(struct ProgramCost { flops, bytes, nanoseconds, code_bytes, peak_bytes, compile_nanoseconds });
codec!(struct CodeTarget { backend, target, features });
codec!(struct LayerInfo { name, class, output_shape, parameters, inbound, parts });
codec!(struct ModelInfo { name, layers, fields, labels, distribution });
codec!(struct Distribution { mesh, state, batch });
codec!(struct MeshAxis { name, size });
codec!(struct Manifest { format, model, state, entries, code });
