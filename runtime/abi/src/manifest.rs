//! The manifest of a package: what the runtime must know to run compiled code, and nothing about how the
//! code came to be.

use crate::{DType, Dim, Symbol};
use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Dtype and shape of a dense, row-major tensor.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateTensor {
    /// The variable's path, unique: `dense/kernel`, `adam/dense_kernel_momentum`.
    pub name: String,
    /// What it is for.
    pub role: StateRole,
    /// Dtype and shape, without symbols.
    #[serde(flatten)]
    pub ty: TensorType,
}

/// What the values of an input must satisfy; the runtime checks data once, before it is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The input layer's name, `y` and `sample_weight` for the others.
    pub name: String,
    /// What the input is.
    pub role: InputRole,
    /// Dtype and shape; the leading axis is the batch where the role is not `Seeds`.
    #[serde(flatten)]
    pub ty: TensorType,
    /// Checks of the values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<ValueCheck>,
}

/// What an input of an entry point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The output's name; for metrics the log's name, such as `loss`.
    pub name: String,
    /// Dtype and shape.
    #[serde(flatten)]
    pub ty: TensorType,
}

/// Where a buffer of a plan lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buffer {
    /// Type of the elements.
    pub dtype: DType,
    /// Number of elements.
    pub elements: Dim,
    /// Where it lies.
    pub place: Place,
    /// Its first element, counted in elements of its dtype from the place's start; counters of loops may occur, each by itself and as
    /// `counter//2`, with known factors.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset: Dim,
}

/// One launch of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// Index into [`Code::kernels`].
    pub kernel: usize,
    /// Indices into [`Plan::buffers`], one a buffer parameter of the kernel.
    pub buffers: Vec<usize>,
    /// One dimension a dimension parameter of the kernel.
    pub dims: Vec<Dim>,
    /// Number of independent tasks.
    pub tasks: Dim,
    /// Estimate of the launch's work, in bytes moved plus arithmetic operations; it decides whether threads are
    /// woken, never a result. 0: unknown, and the bytes of the launch's buffers are taken.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub work: Dim,
}

fn is_zero(dim: &Dim) -> bool {
    dim.is(0)
}

/// What a plan does next. All of a step ends before the next one starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Bytes of each arena slot, as functions of the entry's symbols; a slot serves buffers whose lifetimes do not overlap,
    /// so it holds the largest of the dimensions listed for it.
    pub slots: Vec<Vec<Dim>>,
    /// The buffers.
    pub buffers: Vec<Buffer>,
    /// The steps.
    pub steps: Vec<Step>,
}

/// A function of the package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// One compiled kernel of a code section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// For people and profiles.
    pub name: String,
    /// Where its code starts, in bytes from the start of the section.
    pub offset: u64,
    /// Bytes of scratch memory that each thread needs.
    pub scratch_bytes: u64,
}

/// A section of machine code: a flat position-independent image without load-time relocations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The back end that made it: `cranelift`, `mlir`.
    pub backend: String,
    /// Architecture and operating system's calling convention: `x86_64-linux`.
    pub target: String,
    /// CPU features that the code needs, such as `avx512f`.
    pub features: Vec<String>,
    /// Version of the intrinsics' table it was made for.
    pub intrinsics_version: u32,
    /// Names of the functions of the runtime's library that the code calls, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub library: Vec<String>,
    /// The kernels.
    pub kernels: Vec<Kernel>,
}

/// A line of `summary()`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
}

/// Facts about the model for people.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The model's name.
    pub name: String,
    /// The layers in order.
    pub layers: Vec<LayerInfo>,
    /// Free fields: `optimizer`, `loss`, model card texts.
    pub fields: BTreeMap<String, String>,
}

/// The version of the package format.
pub const FORMAT_VERSION: u32 = 1;

/// Everything about a package but code, constants and weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The entry point of that name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}
