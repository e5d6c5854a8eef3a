use crate::kernel::*;
use crate::tensor::Literal;

/// A range of [`CompiledKernel::indices`]: an index in postfix form.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexCode {
    pub start: u32,
    pub end: u32,
}

/// One step of an index in postfix form.
#[derive(Clone, Copy, Debug)]
pub(super) enum IndexStep {
    Constant(i64),
    Variable(u32),
    /// A variable times a number.
    Scaled(u32, i64),
    /// A scalar integer register at a slot.
    Register(u32, DType),
    Add,
    /// Adds a number.
    AddConstant(i64),
    /// Adds a variable times a number.
    AddScaled(u32, i64),
    Multiply,
    FloorDiv,
    Modulo,
    Min,
    Max,
}

/// Where a register's lanes lie: one slot of 64 bits a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots {
    pub at: u32,
    pub lanes: u32,
}

/// An access to memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    pub memory: u32,
    pub dtype: DType,
    pub position: IndexCode,
    pub count: Option<IndexCode>,
    pub value: Slots,
}

/// A matrix: memory, position, row stride, column stride.
#[derive(Clone, Copy, Debug)]
pub(super) struct MatrixCode {
    pub memory: u32,
    pub position: IndexCode,
    pub row_stride: IndexCode,
    pub column_stride: IndexCode,
}

#[derive(Clone, Debug)]
pub(super) struct GemmCode {
    pub dtype: DType,
    pub sizes: [IndexCode; 3],
    pub a: MatrixCode,
    pub b: MatrixCode,
    pub c: MatrixCode,
    pub accumulate: bool,
}

/// Elements of a memory, one for each lane.
#[derive(Clone, Debug)]
pub(super) struct SpacedCode {
    pub memory: u32,
    pub dtype: DType,
    pub position: IndexCode,
    /// Elements from the position to that of each lane.
    pub offsets: Vec<i64>,
    pub value: Slots,
}

/// Matrices of the warps in memory.
#[derive(Clone, Debug)]
pub(super) struct TilesCode {
    pub tiles: Tiles,
    pub dtype: DType,
    pub position: IndexCode,
    pub value: Slots,
}

#[derive(Clone, Debug)]
pub(super) struct CopyCode {
    pub copy: TileCopy,
    pub dtype: DType,
    pub to: IndexCode,
    pub from: IndexCode,
    pub first: IndexCode,
    pub strides: Vec<IndexCode>,
    pub extents: Vec<IndexCode>,
    /// Lines and elements that the source has.
    pub valid: [IndexCode; 2],
}

#[derive(Clone, Debug)]
pub(super) struct RegionCode {
    pub matrix: MatrixCode,
    pub rows: IndexCode,
    pub columns: IndexCode,
}

#[derive(Clone, Debug)]
pub(super) struct LibraryCode {
    pub function: LibraryFunction,
    pub attributes: Vec<i64>,
    pub reads: Vec<RegionCode>,
    pub writes: Vec<RegionCode>,
}

/// A step of the flat form. `d` is the destination; operands are first slots.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Constant {
        d: Slots,
        bits: u64,
    },
    Position {
        d: Slots,
        dtype: DType,
        index: IndexCode,
        step: i64,
    },
    Splat {
        d: Slots,
        a: Slots,
    },
    Copy {
        d: Slots,
        a: u32,
    },
    Unary {
        function: Unary,
        dtype: DType,
        d: Slots,
        a: u32,
    },
    Binary {
        function: Binary,
        dtype: DType,
        d: Slots,
        a: u32,
        b: u32,
    },
    MultiplyAdd {
        dtype: DType,
        d: Slots,
        a: u32,
        b: u32,
        c: u32,
    },
    /// Factors are of those dtypes.
    MultiplyAddGroups {
        dtypes: [DType; 2],
        d: Slots,
        a: u32,
        b: u32,
        c: u32,
    },
    Compare {
        function: Compare,
        dtype: DType,
        d: Slots,
        a: u32,
        b: u32,
    },
    Select {
        d: Slots,
        condition: u32,
        a: u32,
        b: u32,
    },
    Convert {
        from: DType,
        to: DType,
        d: Slots,
        a: u32,
    },
    /// Lanes from `a` and `b` on in turns.
    Interleave {
        d: Slots,
        a: u32,
        b: u32,
    },
    /// Reduces the lanes at `a` into `d`; `scratch` has as many slots as `a`.
    Reduce {
        function: Binary,
        dtype: DType,
        d: u32,
        a: Slots,
        scratch: u32,
    },
    Math {
        function: MathFunction,
        dtype: DType,
        d: Slots,
        a: u32,
        b: u32,
    },
    Load(Access),
    Store(Access),
    Gemm(Box<GemmCode>),
    Library(Box<LibraryCode>),
    LoadSpaced(Box<SpacedCode>),
    StoreSpaced(Box<SpacedCode>),
    LoadTiles(Box<TilesCode>, Side),
    StoreTiles(Box<TilesCode>),
    /// Operands are of that dtype.
    MultiplyTiles {
        dtype: DType,
        d: Slots,
        a: u32,
        b: u32,
        c: u32,
    },
    Copies(Box<CopyCode>),
    CommitCopies,
    AwaitCopies(u32),
    /// Starts a loop: jumps to `exit` where there is no round.
    Begin {
        axis: u32,
        start: IndexCode,
        end: IndexCode,
        limit: u32,
        exit: u32,
    },
    /// Ends a round: jumps to `body` where there is another.
    Next {
        axis: u32,
        limit: u32,
        step: i64,
        body: u32,
    },
    JumpUnless {
        condition: u32,
        target: u32,
    },
    Jump {
        target: u32,
    },
}

/// A kernel in flat form: loops and branches are jumps, registers are slots.
pub(super) struct CompiledKernel<'a> {
    pub kernel: &'a Kernel,
    pub ops: Vec<Op>,
    pub indices: Vec<IndexStep>,
    pub slots: usize,
    /// Dimension parameters, then axes and the limits of loops.
    pub variables: usize,
    pub task_variable: u32,
}

impl<'a> CompiledKernel<'a> {
    /// The flat form of a kernel that the verifier accepts.
    pub fn new(kernel: &'a Kernel) -> Self {
        let mut slots = 0;
        let registers = kernel
            .registers
            .iter()
            .map(|ty| {
                let at = slots;
                slots += ty.lanes;
                Slots { at, lanes: ty.lanes }
            })
            .collect();
        let mut compiler = Compiler {
            kernel,
            ops: vec![],
            indices: vec![],
            registers,
            slots,
            axes: vec![(kernel.task, kernel.dims)],
            variables: kernel.dims + 1,
        };
        compiler.block(&kernel.body);
        CompiledKernel {
            kernel,
            ops: compiler.ops,
            indices: compiler.indices,
            slots: compiler.slots as usize,
            variables: compiler.variables as usize,
            task_variable: kernel.dims,
        }
    }
}

struct Compiler<'a> {
    kernel: &'a Kernel,
    ops: Vec<Op>,
    indices: Vec<IndexStep>,
    registers: Vec<Slots>,
    slots: u32,
    /// The axes in scope and their variables, innermost last.
    axes: Vec<(Axis, u32)>,
    variables: u32,
}

impl Compiler<'_> {
    fn slots(&self, register: Register) -> Slots {
        self.registers[register.0 as usize]
    }

    fn at(&self, register: Register) -> u32 {
        self.slots(register).at
    }

    fn dtype(&self, register: Register) -> DType {
        self.kernel.registers[register.0 as usize].dtype
    }

    fn block(&mut self, statements: &[Statement]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Let(register, instruction) => {
                let op = self.instruction(*register, instruction);
                self.ops.push(op);
            }
            Statement::Store { memory, position, value, count } => {
                let access = self.access(*memory, position, count.as_ref(), *value);
                self.ops.push(Op::Store(access));
            }
            Statement::Prefetch { .. } => {}
            Statement::For(l) => self.for_loop(l),
            Statement::If(branch) => {
                let jump = self.ops.len();
                self.ops.push(Op::Jump { target: 0 });
                self.block(&branch.then);
                self.copies(&branch.results, &branch.then_values);
                let end = self.ops.len();
                self.ops.push(Op::Jump { target: 0 });
                let target = self.ops.len() as u32;
                self.ops[jump] = Op::JumpUnless { condition: self.at(branch.condition), target };
                self.block(&branch.otherwise);
                self.copies(&branch.results, &branch.otherwise_values);
                self.ops[end] = Op::Jump { target: self.ops.len() as u32 };
            }
            Statement::Gemm(gemm) => {
                let code = GemmCode {
                    dtype: self.kernel.memory[gemm.c.memory.0 as usize].dtype,
                    sizes: [self.index(&gemm.m), self.index(&gemm.n), self.index(&gemm.k)],
                    a: self.matrix(&gemm.a),
                    b: self.matrix(&gemm.b),
                    c: self.matrix(&gemm.c),
                    accumulate: gemm.accumulate,
                };
                self.ops.push(Op::Gemm(Box::new(code)));
            }
            Statement::Library(call) => {
                let mut region = |region: &Region| RegionCode {
                    matrix: self.matrix(&region.matrix),
                    rows: self.index(&region.rows),
                    columns: self.index(&region.columns),
                };
                let code = LibraryCode {
                    function: call.function,
                    attributes: call.attributes.clone(),
                    reads: call.reads.iter().map(&mut region).collect(),
                    writes: call.writes.iter().map(&mut region).collect(),
                };
                self.ops.push(Op::Library(Box::new(code)));
            }
            Statement::StoreTiles(tiles, value) => {
                let code = self.tiles(tiles, *value);
                self.ops.push(Op::StoreTiles(Box::new(code)));
            }
            Statement::StoreSpaced(spaced, value) => {
                let code = self.spaced(spaced, *value);
                self.ops.push(Op::StoreSpaced(Box::new(code)));
            }
            Statement::Copy(copy) => {
                let code = CopyCode {
                    copy: (**copy).clone(),
                    dtype: self.kernel.memory[copy.to.0 as usize].dtype,
                    to: self.index(&copy.to_position),
                    from: self.index(&copy.from_position),
                    first: self.index(&copy.first_line),
                    strides: copy.from_strides.iter().map(|stride| self.index(stride)).collect(),
                    extents: copy.from_extents.iter().map(|extent| self.index(extent)).collect(),
                    valid: [self.index(&copy.valid_lines), self.index(&copy.valid_elements)],
                };
                self.ops.push(Op::Copies(Box::new(code)));
            }
            Statement::CommitCopies => self.ops.push(Op::CommitCopies),
            Statement::AwaitCopies { pending } => self.ops.push(Op::AwaitCopies(*pending)),
        }
    }

    /// The results of a loop share the slots of its parameters.
    fn for_loop(&mut self, l: &For) {
        let (start, end) = (self.index(&l.start), self.index(&l.end));
        self.copies(&l.parameters, &l.initial);
        let (axis, limit) = (self.variables, self.variables + 1);
        self.variables += 2;
        let begin = self.ops.len();
        self.ops.push(Op::Begin { axis, start, end, limit, exit: 0 });
        self.axes.push((l.axis, axis));
        self.block(&l.body);
        self.axes.pop();
        if l.next.iter().any(|next| l.parameters.contains(next)) {
            // a parallel copy: one carried value may be another's next one
            let aside: Vec<Slots> = l
                .next
                .iter()
                .map(|&next| {
                    let lanes = self.slots(next).lanes;
                    let at = self.slots;
                    self.slots += lanes;
                    Slots { at, lanes }
                })
                .collect();
            for (&aside, &next) in aside.iter().zip(&l.next) {
                self.ops.push(Op::Copy { d: aside, a: self.at(next) });
            }
            for (aside, &parameter) in aside.iter().zip(&l.parameters) {
                self.ops.push(Op::Copy { d: self.slots(parameter), a: aside.at });
            }
        } else {
            self.copies(&l.parameters, &l.next);
        }
        self.ops.push(Op::Next { axis, limit, step: l.step, body: begin as u32 + 1 });
        self.ops[begin] = Op::Begin { axis, start, end, limit, exit: self.ops.len() as u32 };
        for (result, parameter) in l.results.iter().zip(&l.parameters) {
            self.registers[result.0 as usize] = self.slots(*parameter);
        }
    }

    fn copies(&mut self, to: &[Register], from: &[Register]) {
        for (&to, &from) in to.iter().zip(from) {
            self.ops.push(Op::Copy { d: self.slots(to), a: self.at(from) });
        }
    }

    fn access(&mut self, memory: MemoryId, position: &Index, count: Option<&Index>, value: Register) -> Access {
        Access {
            memory: memory.0,
            dtype: self.kernel.memory[memory.0 as usize].dtype,
            position: self.index(position),
            count: count.map(|count| self.index(count)),
            value: self.slots(value),
        }
    }

    fn tiles(&mut self, tiles: &Tiles, value: Register) -> TilesCode {
        TilesCode {
            tiles: tiles.clone(),
            dtype: self.kernel.memory[tiles.memory.0 as usize].dtype,
            position: self.index(&tiles.position),
            value: self.slots(value),
        }
    }

    fn spaced(&mut self, spaced: &Spaced, value: Register) -> SpacedCode {
        let value = self.slots(value);
        SpacedCode {
            memory: spaced.memory.0,
            dtype: self.kernel.memory[spaced.memory.0 as usize].dtype,
            position: self.index(&spaced.position),
            offsets: (0..value.lanes).map(|lane| spaced.offset(lane)).collect(),
            value,
        }
    }

    fn matrix(&mut self, matrix: &Matrix) -> MatrixCode {
        MatrixCode {
            memory: matrix.memory.0,
            position: self.index(&matrix.position),
            row_stride: self.index(&matrix.row_stride),
            column_stride: self.index(&matrix.column_stride),
        }
    }

    fn instruction(&mut self, register: Register, instruction: &Instruction) -> Op {
        let (d, dtype) = (self.slots(register), self.dtype(register));
        match instruction {
            Instruction::Constant(value) => {
                let literal = Literal::scalar(dtype, *value);
                let mut bits = [0; 8];
                bits[..literal.bytes().len()].copy_from_slice(literal.bytes());
                Op::Constant { d, bits: u64::from_le_bytes(bits) }
            }
            Instruction::Position { index, step } => Op::Position { d, dtype, index: self.index(index), step: *step },
            Instruction::Splat(x) => Op::Splat { d, a: self.slots(*x) },
            Instruction::Bitcast(x) => Op::Copy { d, a: self.at(*x) },
            Instruction::Unary(function, x) => {
                Op::Unary { function: *function, dtype: self.dtype(*x), d, a: self.at(*x) }
            }
            Instruction::Binary(function, a, b) => {
                Op::Binary { function: *function, dtype, d, a: self.at(*a), b: self.at(*b) }
            }
            Instruction::MultiplyAdd(a, b, c) => {
                Op::MultiplyAdd { dtype, d, a: self.at(*a), b: self.at(*b), c: self.at(*c) }
            }
            Instruction::MultiplyAddGroups(a, b, c) => {
                let dtypes = [a, b].map(|factor| self.dtype(*factor));
                Op::MultiplyAddGroups { dtypes, d, a: self.at(*a), b: self.at(*b), c: self.at(*c) }
            }
            Instruction::Compare(function, a, b) => {
                Op::Compare { function: *function, dtype: self.dtype(*a), d, a: self.at(*a), b: self.at(*b) }
            }
            Instruction::Select(condition, a, b) => {
                Op::Select { d, condition: self.at(*condition), a: self.at(*a), b: self.at(*b) }
            }
            Instruction::Convert(x) => Op::Convert { from: self.dtype(*x), to: dtype, d, a: self.at(*x) },
            Instruction::ReduceLanes(kind, x) => {
                let function = match kind {
                    Reduction::Sum => Binary::Add,
                    Reduction::Product => Binary::Multiply,
                    Reduction::Max => Binary::Maximum,
                    Reduction::Min => Binary::Minimum,
                };
                let a = self.slots(*x);
                let scratch = self.slots;
                self.slots += a.lanes;
                Op::Reduce { function, dtype, d: d.at, a, scratch }
            }
            Instruction::Interleave(half, a, b) => {
                let start = half.start(d.lanes);
                Op::Interleave { d, a: self.at(*a) + start, b: self.at(*b) + start }
            }
            Instruction::Load { memory, position, count } => {
                Op::Load(self.access(*memory, position, count.as_ref(), register))
            }
            Instruction::Math(function, operands) => {
                let a = operands.first().map_or(0, |&x| self.at(x));
                let b = operands.get(1).map_or(a, |&x| self.at(x));
                Op::Math { function: *function, dtype, d, a, b }
            }
            Instruction::LoadSpaced(spaced) => Op::LoadSpaced(Box::new(self.spaced(spaced, register))),
            Instruction::LoadTiles(tiles, side) => Op::LoadTiles(Box::new(self.tiles(tiles, register)), *side),
            Instruction::MultiplyTiles(a, b, c) => {
                Op::MultiplyTiles { dtype: self.dtype(*a), d, a: self.at(*a), b: self.at(*b), c: self.at(*c) }
            }
        }
    }

    fn index(&mut self, index: &Index) -> IndexCode {
        let start = self.indices.len() as u32;
        self.index_steps(index);
        IndexCode { start, end: self.indices.len() as u32 }
    }

    fn variable(&self, index: &Index) -> Option<u32> {
        match index {
            Index::Dim(number) => Some(*number),
            Index::Axis(axis) => self.axes.iter().rev().find(|(known, _)| known == axis).map(|(_, variable)| *variable),
            _ => None,
        }
    }

    /// A variable times a number.
    fn scaled(&self, index: &Index) -> Option<(u32, i64)> {
        match index {
            Index::Multiply(a, b) => self.variable(a).zip(b.as_constant()),
            other => self.variable(other).map(|variable| (variable, 1)),
        }
    }

    fn index_steps(&mut self, index: &Index) {
        let step = match index {
            Index::Constant(value) => IndexStep::Constant(*value),
            Index::Register(register) => IndexStep::Register(self.at(*register), self.dtype(*register)),
            Index::Dim(_) | Index::Axis(_) => IndexStep::Variable(self.variable(index).unwrap_or_default()),
            Index::Multiply(..) if self.scaled(index).is_some() => {
                let (variable, factor) = self.scaled(index).unwrap_or_default();
                IndexStep::Scaled(variable, factor)
            }
            Index::Add(a, b) if b.as_constant().is_some() => {
                self.index_steps(a);
                IndexStep::AddConstant(b.as_constant().unwrap_or_default())
            }
            Index::Add(a, b) if self.scaled(b).is_some() => {
                self.index_steps(a);
                let (variable, factor) = self.scaled(b).unwrap_or_default();
                IndexStep::AddScaled(variable, factor)
            }
            Index::Add(a, b) => self.operator(a, b, IndexStep::Add),
            Index::Multiply(a, b) => self.operator(a, b, IndexStep::Multiply),
            Index::FloorDiv(a, b) => self.operator(a, b, IndexStep::FloorDiv),
            Index::Modulo(a, b) => self.operator(a, b, IndexStep::Modulo),
            Index::Min(a, b) => self.operator(a, b, IndexStep::Min),
            Index::Max(a, b) => self.operator(a, b, IndexStep::Max),
        };
        self.indices.push(step);
    }

    fn operator(&mut self, a: &Index, b: &Index, step: IndexStep) -> IndexStep {
        self.index_steps(a);
        self.index_steps(b);
        step
    }
}
