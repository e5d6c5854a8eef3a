//! PTX as the back end writes it: read, checked and decoded once. What is not known is an error, never passed over.

mod compute;
mod inline;
mod parse;

pub(crate) use compute::insert_bits;
pub use parse::parse;

use std::sync::Arc;

/// A function of the values of up to three operands; registers hold their bits, zero-extended.
pub type Compute = Arc<dyn Fn(u64, u64, u64) -> u64 + Send + Sync>;

/// A module: what `cuModuleLoadData` is given.
pub struct Module {
    /// The version of PTX, major and minor.
    pub version: (u32, u32),
    /// The architecture: `sm_90a`.
    pub target: String,
    /// The entry points.
    pub functions: Vec<Function>,
}

/// An entry point.
#[derive(Default)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The parameters in order.
    pub parameters: Vec<Parameter>,
    /// The number of threads of a block that it must be launched with, along each axis, where it says.
    pub required_threads: Option<[u32; 3]>,
    /// Bytes of shared memory of a block.
    pub shared_bytes: usize,
    /// Bytes of memory of each thread.
    pub local_bytes: usize,
    /// Number of registers of a thread, predicates among them.
    pub registers: usize,
    /// What the module's data are: they lie in a window of addresses of their own.
    pub data: Arc<Vec<u8>>,
    /// What it executes; functions that it calls are parts of it.
    pub instructions: Vec<Instruction>,
}

/// A parameter.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Where it lies among the parameters, in bytes.
    pub offset: usize,
    /// Its size.
    pub bytes: usize,
    /// What the address that it holds must be a multiple of; 1 where it says nothing.
    pub pointee_alignment: u64,
}

/// An instruction.
#[derive(Clone)]
pub struct Instruction {
    /// Where given, only threads whose predicate has that value execute it.
    pub guard: Option<(usize, bool)>,
    /// What it does.
    pub op: Op,
    /// The line of the text.
    pub line: usize,
}

/// What an instruction does.
#[derive(Clone)]
pub enum Op {
    /// `destination = function(operands)` in each thread.
    Compute {
        /// The function.
        function: Compute,
        /// A register.
        destination: usize,
        /// What it is given; 0 for those that the function lacks.
        operands: [Operand; 3],
    },
    /// `bfi`: bits of the first operand put into the second, from the third on, as many as the fourth.
    InsertBits {
        /// A register.
        destination: usize,
        /// The operands.
        operands: [Operand; 4],
        /// Bits of the type.
        bits: u32,
    },
    /// `mov` of parts to a register: the first is the lowest.
    Pack {
        /// A register.
        destination: usize,
        /// The parts.
        parts: Vec<Operand>,
        /// Bits of each.
        bits: u32,
    },
    /// `mov` of a register to its parts.
    Unpack {
        /// Registers; `None` where a part is not wanted.
        destinations: Vec<Option<usize>>,
        /// What is divided.
        source: Operand,
        /// Bits of each part.
        bits: u32,
    },
    /// Reads neighbouring elements.
    Load {
        /// Where from.
        space: Space,
        /// Registers, one an element.
        destinations: Vec<Option<usize>>,
        /// The first element.
        address: Address,
        /// What an element is.
        element: Element,
        /// Whether by the way for memory that nobody writes while the kernel runs.
        non_coherent: bool,
    },
    /// Writes neighbouring elements.
    Store {
        /// Where to.
        space: Space,
        /// One an element.
        values: Vec<Operand>,
        /// The first element.
        address: Address,
        /// What an element is.
        element: Element,
    },
    /// Goes on at an instruction.
    Branch(usize),
    /// Ends the thread.
    Return,
    /// Ends the launch with a fault.
    Trap,
    /// A function of the module by its name: registers of the arguments and of the results. None is left in an entry point.
    Call {
        /// The function.
        name: String,
        /// What it is given.
        arguments: Vec<usize>,
        /// What it gives.
        results: Vec<usize>,
    },
    /// Waits for all threads of the block.
    Barrier,
    /// Waits for the threads of the warp in the mask.
    WarpBarrier(Operand),
    /// The value of another thread of the warp.
    Shuffle {
        /// How the other thread is found.
        mode: Shuffle,
        /// A register.
        destination: usize,
        /// A predicate: whether the other thread was in range.
        in_range: Option<usize>,
        /// The value, the lane or distance, the clamp and segment mask, the threads that take part.
        operands: [Operand; 4],
    },
    /// `cp.async`: bytes of the device's memory to shared memory, which nobody may touch before the thread has waited for it.
    Copy {
        /// In shared memory.
        to: Address,
        /// In the device's memory.
        from: Address,
        /// How many are written.
        bytes: usize,
        /// How many of them are read; the others are 0.
        given: Operand,
    },
    /// The thread's copies since the last such instruction are a group.
    CommitCopies,
    /// Waits for the thread's groups of copies but the last so many.
    AwaitCopies(usize),
    /// `ldmatrix` of four matrices of 8 by 8 elements of two bytes; thread `t` gives the address of line `t % 8` of matrix `t / 8`.
    LoadMatrix {
        /// A register for each matrix.
        destinations: [usize; 4],
        /// In shared memory.
        address: Address,
        /// Whether threads get elements of columns.
        transposed: bool,
    },
    /// `mma.m16n8k16` with sums in f32.
    MultiplyMatrix {
        /// What the operands are.
        factors: Factors,
        /// Registers of the result.
        destinations: [usize; 4],
        /// Left operand, right operand and sums.
        operands: [Operand; 10],
    },
    /// Nothing that one thread after the other could see.
    Nothing,
}

/// Operands of products of matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factors {
    /// 16 by 16 and 16 by 8 elements.
    Half,
    /// The same.
    Brain,
    /// 16 by 8 and 8 by 8 elements; of each f32 the lowest 13 bits count for nothing.
    Tf32,
}

/// How a shuffle finds the other thread.
/// How a shuffle finds the other thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shuffle {
    /// By the exclusive or of the lane.
    Butterfly,
    /// So many lanes below.
    Up,
    /// So many lanes above.
    Down,
    /// By its lane.
    Index,
}

/// An element in memory.
#[derive(Clone, Copy, Debug)]
pub struct Element {
    /// Its size.
    pub bytes: usize,
    /// Whether it is extended by its sign in a register.
    pub signed: bool,
    /// Bits of the register.
    pub register_bits: u32,
}

/// Memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The device's.
    Global,
    /// The block's.
    Shared,
    /// The thread's.
    Local,
    /// The module's, which nobody writes.
    Data,
    /// The launch's parameters.
    Parameters,
    /// Any of them, by its window of addresses.
    Generic,
}

/// An address.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    /// A register, or where a name lies.
    pub base: Operand,
    /// Bytes behind that.
    pub offset: i64,
}

/// What an instruction is given.
#[derive(Clone, Copy, Debug)]
pub enum Operand {
    /// A register's value.
    Register(usize),
    /// A constant.
    Value(u64),
    /// A place in the thread's memory.
    Local(u64),
    /// Of the thread or block.
    Special(Special, usize),
    /// The thread's number within its warp.
    Lane,
}

/// Special registers with three axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// The thread within the block.
    Thread,
    /// Threads of a block.
    Threads,
    /// The block within the grid.
    Block,
    /// Blocks of the grid.
    Blocks,
}
