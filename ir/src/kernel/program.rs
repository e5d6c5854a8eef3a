use super::Kernel;
use crate::tensor::Literal;
use kc_abi::{Dim, Symbol, TensorType};

/// What a program's buffer is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Role {
    /// The entry point's input of that index; never written.
    Input(usize),
    /// The entry point's output of that index.
    Output(usize),
    /// The state tensor of that index: its old value until a step writes it, then its new value.
    State(usize),
    /// Lives between the step that writes it first and the one that reads it last.
    Temporary,
    /// Known at compile time.
    Constant(Literal),
}

/// A dense row-major tensor in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    /// Dtype and shape.
    pub ty: TensorType,
    /// What it is for.
    pub role: Role,
}

/// One launch of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// Index into [`Program::kernels`].
    pub kernel: usize,
    /// Indices into [`Program::buffers`], one a buffer parameter of the kernel.
    pub buffers: Vec<usize>,
    /// One a dimension parameter of the kernel.
    pub dims: Vec<Dim>,
    /// Number of tasks.
    pub tasks: Dim,
    /// Estimate of bytes moved plus arithmetic operations, 0 where unknown; it decides whether threads are woken, never a result.
    pub work: Dim,
}

/// Launches that do not depend on each other.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Step {
    /// The launches.
    pub launches: Vec<Launch>,
}

/// A scheduled entry point.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// The unknown extents.
    pub symbols: Vec<Symbol>,
    /// The kernels, each once.
    pub kernels: Vec<Kernel>,
    /// The buffers.
    pub buffers: Vec<Buffer>,
    /// Executed in order.
    pub steps: Vec<Step>,
}
