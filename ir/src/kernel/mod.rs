//! The kernel IR: explicit loop nests over flat buffers, and programs that launch them.
//!
//! A [`Kernel`] executes one *task* at a time; the tasks of a launch are independent. Inside, loops carry values in
//! registers, loads and stores name a buffer and an element position, vectors have a fixed number of lanes. Scheduling
//! chooses all of it (tiles, packing, vector widths, unrolling); code generators translate.

mod builder;
pub mod fragment;
mod index;
pub mod interpret;
mod program;
#[cfg(test)]
mod tests;
mod text;
mod verify;

pub use builder::{KernelBuilder, Mark};
pub use fragment::{Lines, Side, Tiles};
pub use index::Index;
pub use kc_abi::manifest::{Launch, Step, launches, launches_mut};
pub use program::{Buffer, Program, Role};
pub use text::{
    ParseError, parse_kernel, parse_kernels, parse_program, print_index, print_kernel, print_kernels, print_program,
};
pub use verify::{MAX_LANES, VerifyError, verify_kernel, verify_program};

use crate::tensor::Scalar;
use crate::tensor::ops::{Binary, Compare, Reduction, Unary};
use kc_abi::DType;
pub use kc_abi::call::{ALIGNMENT, MathFunction};
pub use kc_abi::library::LibraryFunction;
use std::fmt;

/// A register: the result of an instruction, a loop's carried value or a loop's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Register(pub u32);

/// A loop variable; its value is an [`Index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Axis(pub u32);

/// Type of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RegisterType {
    /// Type of each lane.
    pub dtype: DType,
    /// Number of lanes: a power of two, 1 for a scalar.
    pub lanes: u32,
}

impl fmt::Display for RegisterType {
    /// `f32x16`, or `f32` for a scalar
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lanes {
            1 => write!(formatter, "{}", self.dtype),
            lanes => write!(formatter, "{}x{lanes}", self.dtype),
        }
    }
}

/// What a kernel may do with a buffer parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Only read.
    Read,
    /// Only written; the contents before are undefined.
    Write,
    /// Read and written.
    ReadWrite,
}

impl Access {
    /// The name in the text form.
    pub const fn text(self) -> &'static str {
        match self {
            Access::Read => "read",
            Access::Write => "write",
            Access::ReadWrite => "readwrite",
        }
    }
}

/// Memory that a kernel uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Memory {
    /// For people.
    pub name: String,
    /// Type of the elements.
    pub dtype: DType,
    /// Where it lies.
    pub space: Space,
    /// Of a parameter: whether a launch may give a part of a buffer, whose start has no alignment but its elements'.
    pub part: bool,
}

/// Where memory lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// A buffer parameter. Two parameters never overlap, unless both are only read.
    Parameter(Access),
    /// Scratch memory of the executing thread (packed panels, rows), undefined when a task starts.
    Scratch {
        /// Number of elements.
        elements: u64,
    },
}

/// Names memory by its position in [`Kernel::memory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemoryId(pub u32);

/// A kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// For people and profiles; identical kernels are merged whatever their names.
    pub name: String,
    /// Number of dimension parameters, which [`Index::Dim`] names.
    pub dims: u32,
    /// Buffer parameters first, in the order in which a launch gives them, then scratch memory.
    pub memory: Vec<Memory>,
    /// The task number: an axis that is defined everywhere in the body.
    pub task: Axis,
    /// Types of all registers, by number.
    pub registers: Vec<RegisterType>,
    /// What one task executes.
    pub body: Vec<Statement>,
}

impl Kernel {
    /// Number of buffer parameters.
    pub fn parameters(&self) -> usize {
        self.memory.iter().filter(|memory| matches!(memory.space, Space::Parameter(_))).count()
    }

    /// Threads of the block that executes a task on a GPU, over which the lanes of registers are spread: a power of two, as many as the widest
    /// register has lanes, but from 32 (a warp) to 128.
    pub fn block_threads(&self) -> u32 {
        self.registers.iter().map(|ty| ty.lanes).max().unwrap_or(1).clamp(32, 128)
    }

    /// Whether it has statements that only a GPU's block of threads executes.
    pub fn is_for_gpu(&self) -> bool {
        fn any(statements: &[Statement]) -> bool {
            statements.iter().any(|statement| match statement {
                Statement::Let(
                    _,
                    Instruction::LoadTiles(..) | Instruction::MultiplyTiles(..) | Instruction::LoadSpaced(_),
                )
                | Statement::StoreTiles(..)
                | Statement::StoreSpaced(..)
                | Statement::Copy(_)
                | Statement::CommitCopies
                | Statement::AwaitCopies { .. } => true,
                Statement::Let(..)
                | Statement::Store { .. }
                | Statement::Prefetch { .. }
                | Statement::Gemm(_)
                | Statement::Library(_) => false,
                Statement::For(_) | Statement::If(_) => statement.blocks().any(any),
            })
        }
        any(&self.body)
    }

    /// Where each scratch memory starts in the thread's scratch memory, in bytes and in order, and how many bytes all take
    /// together. Each starts at a multiple of [`ALIGNMENT`].
    pub fn scratch_layout(&self) -> (Vec<u64>, u64) {
        let mut end = 0u64;
        let starts = self.memory.iter().filter_map(|memory| match memory.space {
            Space::Parameter(_) => None,
            Space::Scratch { elements } => {
                let start = end;
                let bytes = elements.saturating_mul(memory.dtype.bytes() as u64);
                end = end.saturating_add(bytes.checked_next_multiple_of(ALIGNMENT as u64).unwrap_or(u64::MAX));
                Some(start)
            }
        });
        (starts.collect(), end)
    }
}

/// A step of a kernel's body.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `register = instruction`.
    Let(Register, Instruction),
    /// Writes `lanes` consecutive elements of the value's dtype.
    Store {
        /// The memory that is written.
        memory: MemoryId,
        /// Position of the first element.
        position: Index,
        /// What is written.
        value: Register,
        /// Where given, only the first `count` lanes are written (all if it is more, none if it is below 1).
        count: Option<Index>,
    },
    /// A hint that the element will be read or written soon: nothing that can be seen comes of it, wherever the position is.
    Prefetch {
        /// The memory.
        memory: MemoryId,
        /// Position of the element.
        position: Index,
    },
    /// A loop.
    For(For),
    /// A two-way branch.
    If(If),
    /// A matrix product by the runtime's library.
    Gemm(Box<Gemm>),
    /// Another function of the runtime's library.
    Library(Box<LibraryCall>),
    /// Writes a fragment of sums: one matrix a warp.
    StoreTiles(Box<Tiles>, Register),
    /// Writes each lane to a place of its own.
    StoreSpaced(Box<Spaced>, Register),
    /// Starts a copy into scratch memory. Before an [`Statement::AwaitCopies`] has waited for it, nothing may touch what it writes, and it
    /// may write only what was read or written before the last one.
    Copy(Box<TileCopy>),
    /// The copies that were started since the last such statement are a group.
    CommitCopies,
    /// Waits for all groups of copies but the last `pending` ones.
    AwaitCopies {
        /// Groups that may go on.
        pending: u32,
    },
}

impl Statement {
    /// The statements within: a loop's body, both ways of a branch.
    pub fn blocks(&self) -> impl Iterator<Item = &[Statement]> {
        let blocks = match self {
            Statement::For(nested) => [Some(&nested.body), None],
            Statement::If(branch) => [Some(&branch.then), Some(&branch.otherwise)],
            _ => [None, None],
        };
        blocks.into_iter().flatten().map(Vec::as_slice)
    }

    /// The same, to change them.
    pub fn blocks_mut(&mut self) -> impl Iterator<Item = &mut Vec<Statement>> {
        let blocks = match self {
            Statement::For(nested) => [Some(&mut nested.body), None],
            Statement::If(branch) => [Some(&mut branch.then), Some(&mut branch.otherwise)],
            _ => [None, None],
        };
        blocks.into_iter().flatten()
    }

    /// The registers that have a value behind it.
    pub fn results(&self) -> &[Register] {
        match self {
            Statement::Let(register, _) => std::slice::from_ref(register),
            Statement::For(nested) => &nested.results,
            Statement::If(branch) => &branch.results,
            _ => &[],
        }
    }
}

/// A loop over `start, start + step, ...` below `end`. Carried values: `parameters[i]` is `initial[i]` in the first round,
/// `next[i]` of the round before in the others; after the loop `results[i]` is the last `next[i]` (or `initial[i]`).
#[derive(Clone, Debug, PartialEq)]
pub struct For {
    /// The loop variable.
    pub axis: Axis,
    /// First value.
    pub start: Index,
    /// The loop ends before this value.
    pub end: Index,
    /// At least 1.
    pub step: i64,
    /// Whether the rounds may be executed in any order, or all at once: none touches memory that another one writes, and nothing is carried.
    pub independent: bool,
    /// Carried values at the start of a round.
    pub parameters: Vec<Register>,
    /// Carried values before the first round.
    pub initial: Vec<Register>,
    /// What one round executes.
    pub body: Vec<Statement>,
    /// Carried values at the end of a round.
    pub next: Vec<Register>,
    /// Carried values after the loop.
    pub results: Vec<Register>,
}

/// A two-way branch: `results[i]` is the chosen side's value.
#[derive(Clone, Debug, PartialEq)]
pub struct If {
    /// A scalar bool.
    pub condition: Register,
    /// Executed where it is true.
    pub then: Vec<Statement>,
    /// Values of that side.
    pub then_values: Vec<Register>,
    /// Executed where it is false.
    pub otherwise: Vec<Statement>,
    /// Values of that side.
    pub otherwise_values: Vec<Register>,
    /// The chosen values.
    pub results: Vec<Register>,
}

/// A two-dimensional view of memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// The memory.
    pub memory: MemoryId,
    /// Position of the first element.
    pub position: Index,
    /// Elements from one row to the next.
    pub row_stride: Index,
    /// Elements from one column to the next.
    pub column_stride: Index,
}

/// `c = a * b`, or `c += a * b`, in f32 or f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    /// Rows of `a` and `c`.
    pub m: Index,
    /// Columns of `b` and `c`.
    pub n: Index,
    /// Columns of `a`, rows of `b`.
    pub k: Index,
    /// Left operand.
    pub a: Matrix,
    /// Right operand.
    pub b: Matrix,
    /// Result.
    pub c: Matrix,
    /// Whether the product is added to `c`.
    pub accumulate: bool,
}

/// A two-dimensional part of memory with its extents; a vector has one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Where it lies.
    pub matrix: Matrix,
    /// Number of rows.
    pub rows: Index,
    /// Number of columns.
    pub columns: Index,
}

/// Elements of scratch memory, one for each lane: that of lane `l` lies at the position and `steps[b]` further for each bit `b` of `l` that is
/// set.
#[derive(Clone, Debug, PartialEq)]
pub struct Spaced {
    /// The memory.
    pub memory: MemoryId,
    /// Position of the first lane's element.
    pub position: Index,
    /// Elements by which each bit of a lane's number moves, the lowest first: as many as the number of lanes has bits.
    pub steps: Vec<i64>,
}

impl Spaced {
    /// Elements from the first lane's element to that of a lane.
    pub fn offset(&self, lane: u32) -> i64 {
        let set = self.steps.iter().enumerate().filter(|(bit, _)| lane >> bit & 1 == 1);
        set.fold(0, |sum, (_, step)| sum.wrapping_add(*step))
    }
}

/// A copy of lines of neighbouring elements: `lines` of them with `elements` each are written, 0 where the source has none. The source's lines
/// are numbered over axes, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct TileCopy {
    /// The scratch memory that is written.
    pub to: MemoryId,
    /// Position of the first element.
    pub to_position: Index,
    /// Elements from one line to the next.
    pub to_stride: i64,
    /// The parameter that is read, of the same dtype.
    pub from: MemoryId,
    /// Position of the first element of line 0.
    pub from_position: Index,
    /// The number of the first line.
    pub first_line: Index,
    /// Elements from one line to the next along each axis that lines are numbered over, the outermost first.
    pub from_strides: Vec<Index>,
    /// Lines along each of these axes but the outermost.
    pub from_extents: Vec<Index>,
    /// Number of lines.
    pub lines: i64,
    /// Elements of a line.
    pub elements: i64,
    /// Lines that the source has: all where it is more, none where it is below 1.
    pub valid_lines: Index,
    /// Elements that each of them has, likewise.
    pub valid_elements: Index,
}

/// A call of a function of the runtime's library: it reads all of the regions `reads`, and nothing else, and writes `writes`, none of which
/// lies in the memory of another region.
#[derive(Clone, Debug, PartialEq)]
pub struct LibraryCall {
    /// The function; its documentation says what the regions and attributes are.
    pub function: LibraryFunction,
    /// What it reads.
    pub reads: Vec<Region>,
    /// What it writes.
    pub writes: Vec<Region>,
    /// Integer attributes.
    pub attributes: Vec<i64>,
}

impl LibraryCall {
    /// All regions, in the order in which the function takes them.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        self.reads.iter().chain(&self.writes)
    }
}

/// Half of a register's lanes, of which there are two at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// The first lanes.
    Low,
    /// The last lanes.
    High,
}

impl Half {
    /// The first lane of the half, of that many lanes.
    pub const fn start(self, lanes: u32) -> u32 {
        match self {
            Half::Low => 0,
            Half::High => lanes / 2,
        }
    }

    /// The name of [`Instruction::Interleave`] in the text form.
    pub const fn interleave_text(self) -> &'static str {
        match self {
            Half::Low => "interleave_low",
            Half::High => "interleave_high",
        }
    }
}

/// What computes a register. Operands of lanewise instructions have as many lanes as the result.
#[derive(Clone, Debug, PartialEq)]
pub enum Instruction {
    /// A constant in every lane, of the result's dtype.
    Constant(Scalar),
    /// Lane `l` is `index + l * step`, wrapped to the result's dtype, which is an integer.
    Position {
        /// Value of lane 0.
        index: Index,
        /// Difference from one lane to the next.
        step: i64,
    },
    /// A scalar in every lane; of several lanes as many in turn: lane `l` is the operand's lane `l % n`.
    Splat(Register),
    /// Lanewise function. Only functions that [`is_basic`] names are left when code generators see a kernel.
    Unary(Unary, Register),
    /// Lanewise function, likewise.
    Binary(Binary, Register, Register),
    /// `a*b + c` with one rounding where the target has it, else with two.
    MultiplyAdd(Register, Register, Register),
    /// `a*b + c`, where each lane of `c` and of the result has a group of neighbouring lanes of `a` and `b`, whose products are added to it.
    ///
    /// * Two of bf16 for a lane of f32: the product of the second lanes is added first, then that of the first ones, each with one rounding
    ///   (a product of two bf16 is exact in f32). Code generators may take operands, products and sums that are subnormal for zeros.
    /// * Four of i8 or u8, of either in each operand, for a lane of i32, wrapped.
    MultiplyAddGroups(Register, Register, Register),
    /// Lanewise comparison; the result is bool.
    Compare(Compare, Register, Register),
    /// Lanewise choice; the first operand is bool.
    Select(Register, Register, Register),
    /// Lanewise conversion, as the tensor op `convert`.
    Convert(Register),
    /// Lanewise reinterpretation of bits.
    Bitcast(Register),
    /// The lanes reduced to a scalar, in the order of a binary tree: halves are combined until one lane is left.
    ReduceLanes(Reduction, Register),
    /// Lanes of two registers in turns: lane `2*l` is lane `l` of a half of the first, lane `2*l + 1` that of the second.
    Interleave(Half, Register, Register),
    /// Reads consecutive elements, as many as the result has lanes.
    Load {
        /// The memory that is read.
        memory: MemoryId,
        /// Position of the first element.
        position: Index,
        /// Where given, only the first `count` elements are read (all if it is more, none if it is below 1); other lanes are 0.
        count: Option<Index>,
    },
    /// A function of the runtime's table, in f64 or f32 (computed in f64 and rounded), lane by lane.
    Math(MathFunction, Vec<Register>),
    /// Reads for each lane an element of its own; lanes may share one.
    LoadSpaced(Box<Spaced>),
    /// Reads a fragment of an operand: one matrix a warp.
    LoadTiles(Box<Tiles>, Side),
    /// `a*b + c` of the matrices of each warp: `a` is a fragment of left operands, `b` one of right operands, `c` and the result are fragments
    /// of sums. Each element is the exact sum of the products and of `c`'s, rounded: an interpreter adds in f64 in the order of the products, a
    /// GPU in an order and with a rounding of its own.
    /// Operands of f32 are rounded to tf32 before: [`fragment::to_tf32`].
    MultiplyTiles(Register, Register, Register),
}

/// Whether code generators translate the function themselves; others are replaced before by basic instructions or
/// [`Instruction::Math`].
pub fn is_basic(function: Unary) -> bool {
    match function {
        Unary::Negate
        | Unary::Abs
        | Unary::Sqrt
        | Unary::Floor
        | Unary::Ceil
        | Unary::Trunc
        | Unary::RoundEven
        | Unary::Not
        | Unary::PopulationCount
        | Unary::CountLeadingZeros => true,
        Unary::Sign
        | Unary::Exp
        | Unary::Expm1
        | Unary::Log
        | Unary::Log1p
        | Unary::Rsqrt
        | Unary::Cbrt
        | Unary::Sin
        | Unary::Cos
        | Unary::Tan
        | Unary::Asin
        | Unary::Acos
        | Unary::Atan
        | Unary::Sinh
        | Unary::Cosh
        | Unary::Tanh
        | Unary::Asinh
        | Unary::Acosh
        | Unary::Atanh
        | Unary::Logistic
        | Unary::Erf
        | Unary::Erfc
        | Unary::ErfInv
        | Unary::Lgamma
        | Unary::Digamma
        | Unary::IsFinite => false,
    }
}

/// The same for functions of two operands. Shifts in a lowered kernel are by amounts in `0..bits`; integer divisions are by
/// divisors that are not 0 (nor -1 below the smallest value).
pub fn is_basic_binary(function: Binary) -> bool {
    match function {
        Binary::Add
        | Binary::Subtract
        | Binary::Multiply
        | Binary::Divide
        | Binary::Maximum
        | Binary::Minimum
        | Binary::And
        | Binary::Or
        | Binary::Xor
        | Binary::ShiftLeft
        | Binary::ShiftRight => true,
        Binary::Power | Binary::Atan2 | Binary::Remainder => false,
    }
}
