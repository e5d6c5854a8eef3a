use super::{Access, Kernel, Space};
use crate::tensor::Literal;
use kc_abi::manifest::{Launch, Step};
use kc_abi::{Dim, Symbol, TensorType};

/// What a program's buffer is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
    /// Consecutive elements of another buffer, such as an element of a sequence in a loop. Kernels that write parts touch no part twice.
    Part {
        /// The other buffer, which comes before this one.
        of: usize,
        /// Its first element; loops' counters may occur.
        offset: Dim,
    },
}

/// A dense row-major tensor in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Buffer {
    /// Dtype and shape.
    pub ty: TensorType,
    /// What it is for.
    pub role: Role,
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
    /// How many of the first steps depend on state tensors and constants alone: a call with the same state as the one before, whose
    /// temporaries are still there, need not repeat them.
    pub kept: usize,
}

impl Program {
    /// The buffer that a buffer is part of, itself where it is none, and its first element there.
    ///
    /// # Panics
    /// Where a part is none of an earlier buffer, which the verifier refuses.
    pub fn root(&self, buffer: usize) -> (usize, Dim) {
        match &self.buffers[buffer].role {
            Role::Part { of, offset } => {
                assert!(*of < buffer, "buffer {buffer} is part of buffer {of}, which does not come before it");
                let (root, start) = self.root(*of);
                (root, start + offset.clone())
            }
            _ => (buffer, Dim::default()),
        }
    }

    /// What a launch of one of the program's kernels does to its buffers.
    pub fn uses<'p>(&'p self, launch: &'p Launch) -> impl Iterator<Item = (usize, Access)> + 'p {
        let access = self.kernels[launch.kernel].memory.iter().filter_map(|memory| match memory.space {
            Space::Parameter(access) => Some(access),
            Space::Scratch { .. } => None,
        });
        launch.buffers.iter().copied().zip(access)
    }
}
