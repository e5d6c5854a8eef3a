use super::*;

/// Builds the body of a [`Kernel`]. Loops and branches are closed in the order in which they were opened, by taking closures.
#[derive(Clone, Debug)]
pub struct KernelBuilder {
    kernel: Kernel,
    axes: u32,
    /// Statements of the open blocks, innermost last.
    blocks: Vec<Vec<Statement>>,
    /// Loops and branches that are open, innermost last.
    open: Vec<Statement>,
}

/// A moment of building: the registers and axes that are defined then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub(super) registers: u32,
    pub(super) axes: u32,
}

impl KernelBuilder {
    /// A kernel without parameters and with an empty body.
    pub fn new(name: &str) -> Self {
        let kernel =
            Kernel { name: name.to_string(), dims: 0, memory: vec![], task: Axis(0), registers: vec![], body: vec![] };
        KernelBuilder { kernel, axes: 1, blocks: vec![vec![]], open: vec![] }
    }

    /// The finished kernel, with that many dimension parameters.
    pub fn finish(mut self, dims: u32) -> Kernel {
        self.kernel.dims = dims;
        self.kernel.body = self.blocks.pop().unwrap_or_default();
        self.kernel
    }

    /// What is defined so far.
    pub fn mark(&self) -> Mark {
        Mark { registers: self.kernel.registers.len() as u32, axes: self.axes }
    }

    /// The task number.
    pub fn task(&self) -> Index {
        Index::Axis(self.kernel.task)
    }

    /// Adds a buffer parameter. All parameters must be added before any scratch memory.
    pub fn parameter(&mut self, name: &str, dtype: DType, access: Access) -> MemoryId {
        self.memory(name, dtype, Space::Parameter(access))
    }

    /// Adds scratch memory.
    pub fn scratch(&mut self, name: &str, dtype: DType, elements: u64) -> MemoryId {
        self.memory(name, dtype, Space::Scratch { elements })
    }

    fn memory(&mut self, name: &str, dtype: DType, space: Space) -> MemoryId {
        self.kernel.memory.push(Memory { name: name.to_string(), dtype, space, part: false });
        MemoryId(self.kernel.memory.len() as u32 - 1)
    }

    /// Dtype of a memory's elements.
    pub fn memory_dtype(&self, memory: MemoryId) -> DType {
        self.kernel.memory[memory.0 as usize].dtype
    }

    /// Type of a register.
    pub fn register_type(&self, register: Register) -> RegisterType {
        self.kernel.registers[register.0 as usize]
    }

    fn register(&mut self, ty: RegisterType) -> Register {
        self.kernel.registers.push(ty);
        Register(self.kernel.registers.len() as u32 - 1)
    }

    fn push(&mut self, statement: Statement) {
        if let Some(block) = self.blocks.last_mut() {
            block.push(statement);
        }
    }

    /// Adds an instruction whose result has that type.
    pub fn instruction(&mut self, dtype: DType, lanes: u32, instruction: Instruction) -> Register {
        let register = self.register(RegisterType { dtype, lanes });
        self.push(Statement::Let(register, instruction));
        register
    }

    /// A constant in every lane.
    pub fn constant(&mut self, dtype: DType, lanes: u32, value: impl Into<Scalar>) -> Register {
        self.instruction(dtype, lanes, Instruction::Constant(value.into()))
    }

    /// Lanewise function.
    pub fn unary(&mut self, function: Unary, x: Register) -> Register {
        let ty = self.register_type(x);
        let dtype = if function == Unary::IsFinite { DType::Bool } else { ty.dtype };
        self.instruction(dtype, ty.lanes, Instruction::Unary(function, x))
    }

    /// Lanewise function.
    pub fn binary(&mut self, function: Binary, a: Register, b: Register) -> Register {
        let ty = self.register_type(a);
        self.instruction(ty.dtype, ty.lanes, Instruction::Binary(function, a, b))
    }

    /// `a*b + c`.
    pub fn multiply_add(&mut self, a: Register, b: Register, c: Register) -> Register {
        let ty = self.register_type(c);
        self.instruction(ty.dtype, ty.lanes, Instruction::MultiplyAdd(a, b, c))
    }

    /// `a*b + c` by groups of lanes of `a` and `b`.
    pub fn multiply_add_groups(&mut self, a: Register, b: Register, c: Register) -> Register {
        let ty = self.register_type(c);
        self.instruction(ty.dtype, ty.lanes, Instruction::MultiplyAddGroups(a, b, c))
    }

    /// Lanewise comparison.
    pub fn compare(&mut self, function: Compare, a: Register, b: Register) -> Register {
        let lanes = self.register_type(a).lanes;
        self.instruction(DType::Bool, lanes, Instruction::Compare(function, a, b))
    }

    /// Lanewise choice.
    pub fn select(&mut self, condition: Register, on_true: Register, on_false: Register) -> Register {
        let ty = self.register_type(on_true);
        self.instruction(ty.dtype, ty.lanes, Instruction::Select(condition, on_true, on_false))
    }

    /// Lanewise conversion; nothing is added where the dtype is that already.
    pub fn convert(&mut self, dtype: DType, x: Register) -> Register {
        let ty = self.register_type(x);
        if ty.dtype == dtype { x } else { self.instruction(dtype, ty.lanes, Instruction::Convert(x)) }
    }

    /// Lanewise reinterpretation of bits.
    pub fn bitcast(&mut self, dtype: DType, x: Register) -> Register {
        let lanes = self.register_type(x).lanes;
        self.instruction(dtype, lanes, Instruction::Bitcast(x))
    }

    /// A scalar, or a register's lanes in turn, in so many lanes; nothing is added where it has as many.
    pub fn splat(&mut self, lanes: u32, x: Register) -> Register {
        let ty = self.register_type(x);
        if lanes == ty.lanes { x } else { self.instruction(ty.dtype, lanes, Instruction::Splat(x)) }
    }

    /// The lanes reduced to a scalar; nothing is added for one lane.
    pub fn reduce_lanes(&mut self, kind: Reduction, x: Register) -> Register {
        let ty = self.register_type(x);
        if ty.lanes == 1 { x } else { self.instruction(ty.dtype, 1, Instruction::ReduceLanes(kind, x)) }
    }

    /// Lanes of a half of both operands in turns.
    pub fn interleave(&mut self, half: Half, a: Register, b: Register) -> Register {
        let ty = self.register_type(a);
        self.instruction(ty.dtype, ty.lanes, Instruction::Interleave(half, a, b))
    }

    /// Transposes a square of as many registers as each has lanes: lane `i` of register `j` becomes lane `j` of register `i`.
    pub fn transpose(&mut self, mut rows: Vec<Register>) -> Vec<Register> {
        // each round moves the highest bit of a register's number below the lowest bit of the lane's
        let mut rounds = rows.len();
        while rounds > 1 {
            let (low, high) = rows.split_at(rows.len() / 2);
            let pairs: Vec<(Register, Register)> = low.iter().copied().zip(high.iter().copied()).collect();
            rows = pairs
                .into_iter()
                .flat_map(|(a, b)| [Half::Low, Half::High].map(|half| self.interleave(half, a, b)))
                .collect();
            rounds /= 2;
        }
        rows
    }

    /// Reads `lanes` elements, or the first `count` of them.
    pub fn load(&mut self, memory: MemoryId, position: Index, lanes: u32, count: Option<Index>) -> Register {
        let dtype = self.memory_dtype(memory);
        self.instruction(dtype, lanes, Instruction::Load { memory, position, count })
    }

    /// Writes a value, or the first `count` lanes of it.
    pub fn store(&mut self, memory: MemoryId, position: Index, value: Register, count: Option<Index>) {
        self.push(Statement::Store { memory, position, value, count });
    }

    /// Says that an element will be read or written soon.
    pub fn prefetch(&mut self, memory: MemoryId, position: Index) {
        self.push(Statement::Prefetch { memory, position });
    }

    /// Opens a loop; returns its variable and the carried values. [`close_loop`](Self::close_loop) ends it.
    pub fn open_loop(
        &mut self,
        start: impl Into<Index>,
        end: impl Into<Index>,
        step: i64,
        initial: &[Register],
    ) -> (Index, Vec<Register>) {
        let axis = Axis(self.axes);
        self.axes += 1;
        let parameters: Vec<Register> = initial.iter().map(|&r| self.register(self.register_type(r))).collect();
        self.blocks.push(vec![]);
        self.open.push(Statement::For(For {
            axis,
            start: start.into(),
            end: end.into(),
            step,
            independent: false,
            parameters: parameters.clone(),
            initial: initial.to_vec(),
            body: vec![],
            next: vec![],
            results: vec![],
        }));
        (Index::Axis(axis), parameters)
    }

    /// Says that the rounds of the innermost open loop, which carries nothing, are independent.
    pub fn independent(&mut self) {
        if let Some(Statement::For(open)) = self.open.last_mut() {
            open.independent = true;
        }
    }

    /// Ends the innermost open loop with the carried values of the next round; returns those after the loop.
    ///
    /// # Panics
    /// Where the innermost open statement is no loop.
    pub fn close_loop(&mut self, next: Vec<Register>) -> Vec<Register> {
        let Some(Statement::For(mut open)) = self.open.pop() else { panic!("no loop is open") };
        open.body = self.blocks.pop().unwrap_or_default();
        open.next = next;
        open.results = open.initial.clone().iter().map(|&r| self.register(self.register_type(r))).collect();
        let results = open.results.clone();
        self.push(Statement::For(open));
        results
    }

    /// Opens a branch on a scalar bool, and its first side. [`open_otherwise`](Self::open_otherwise) follows.
    pub fn open_branch(&mut self, condition: Register) {
        self.blocks.push(vec![]);
        self.open.push(Statement::If(If {
            condition,
            then: vec![],
            then_values: vec![],
            otherwise: vec![],
            otherwise_values: vec![],
            results: vec![],
        }));
    }

    /// Ends the first side of the innermost open branch with its values and opens the other side.
    ///
    /// # Panics
    /// Where the innermost open statement is no branch.
    pub fn open_otherwise(&mut self, then_values: Vec<Register>) {
        let then = self.blocks.pop().unwrap_or_default();
        let Some(Statement::If(open)) = self.open.last_mut() else { panic!("no branch is open") };
        open.then = then;
        open.then_values = then_values;
        self.blocks.push(vec![]);
    }

    /// Ends the innermost open branch with the other side's values, of the same types; returns the chosen ones.
    ///
    /// # Panics
    /// Where the innermost open statement is no branch.
    pub fn close_branch(&mut self, otherwise_values: Vec<Register>) -> Vec<Register> {
        let Some(Statement::If(mut open)) = self.open.pop() else { panic!("no branch is open") };
        open.otherwise = self.blocks.pop().unwrap_or_default();
        open.otherwise_values = otherwise_values;
        open.results = open.then_values.clone().iter().map(|&r| self.register(self.register_type(r))).collect();
        let results = open.results.clone();
        self.push(Statement::If(open));
        results
    }

    /// A loop that carries values: `body` gets the loop variable and the carried values and returns the next ones; the
    /// carried values after the loop are returned.
    pub fn for_carrying(
        &mut self,
        start: impl Into<Index>,
        end: impl Into<Index>,
        step: i64,
        initial: &[Register],
        body: impl FnOnce(&mut Self, Index, &[Register]) -> Vec<Register>,
    ) -> Vec<Register> {
        let (axis, carried) = self.open_loop(start, end, step, initial);
        let next = body(self, axis, &carried);
        self.close_loop(next)
    }

    /// A loop that carries nothing.
    pub fn for_each(
        &mut self,
        start: impl Into<Index>,
        end: impl Into<Index>,
        step: i64,
        body: impl FnOnce(&mut Self, Index),
    ) {
        self.for_carrying(start, end, step, &[], |builder, axis, _| {
            body(builder, axis);
            vec![]
        });
    }

    /// A branch on a scalar bool; both sides return values of the same types, and the chosen ones are returned.
    pub fn branch(
        &mut self,
        condition: Register,
        then: impl FnOnce(&mut Self) -> Vec<Register>,
        otherwise: impl FnOnce(&mut Self) -> Vec<Register>,
    ) -> Vec<Register> {
        self.open_branch(condition);
        let values = then(self);
        self.open_otherwise(values);
        let values = otherwise(self);
        self.close_branch(values)
    }

    /// Reads a fragment of that many lanes.
    pub fn load_tiles(&mut self, tiles: Tiles, side: Side, lanes: u32) -> Register {
        let dtype = self.memory_dtype(tiles.memory);
        self.instruction(dtype, lanes, Instruction::LoadTiles(Box::new(tiles), side))
    }

    /// `a*b + c` of fragments.
    pub fn multiply_tiles(&mut self, a: Register, b: Register, c: Register) -> Register {
        let ty = self.register_type(c);
        self.instruction(ty.dtype, ty.lanes, Instruction::MultiplyTiles(a, b, c))
    }

    /// Writes a fragment of sums.
    pub fn store_tiles(&mut self, tiles: Tiles, value: Register) {
        self.push(Statement::StoreTiles(Box::new(tiles), value));
    }

    /// Reads for each of so many lanes an element of its own.
    pub fn load_spaced(&mut self, spaced: Spaced, lanes: u32) -> Register {
        let dtype = self.memory_dtype(spaced.memory);
        self.instruction(dtype, lanes, Instruction::LoadSpaced(Box::new(spaced)))
    }

    /// Writes each lane to a place of its own.
    pub fn store_spaced(&mut self, spaced: Spaced, value: Register) {
        self.push(Statement::StoreSpaced(Box::new(spaced), value));
    }

    /// Starts a copy.
    pub fn copy(&mut self, copy: TileCopy) {
        self.push(Statement::Copy(Box::new(copy)));
    }

    /// Makes the copies that were started since the last time a group.
    pub fn commit_copies(&mut self) {
        self.push(Statement::CommitCopies);
    }

    /// Waits for all groups of copies but the last `pending` ones.
    pub fn await_copies(&mut self, pending: u32) {
        self.push(Statement::AwaitCopies { pending });
    }

    /// A matrix product by the runtime's library.
    pub fn gemm(&mut self, gemm: Gemm) {
        self.push(Statement::Gemm(Box::new(gemm)));
    }

    /// A call of another function of the runtime's library.
    pub fn library(&mut self, call: LibraryCall) {
        self.push(Statement::Library(Box::new(call)));
    }
}
