//! Kernel IR to MLIR text. Nothing is scheduled here: loops become `scf.for`, lanewise instructions
//! `arith` and `math` on vectors, loads and stores the LLVM dialect's on plain pointers.
//!
//! A kernel is two functions. `@kernel_N` has the calling convention of `kc_abi::call::KernelFn`; it fetches the pointers and
//! calls `@tasks_N`, whose pointer parameters carry what is known of them (no aliasing, alignment, read only).
//!
//! For a GPU a kernel is one function, `@kernel_N`, and its registers are spread over threads: see [`block`].
//!
//! Registers: `bool` is `i1` (a byte in memory), `f16` and `bf16` are their bits as `i16`, computed in `f32` and rounded after every
//! instruction; integers are signless. Bit for bit the kernel interpreter's results: no fast-math flag is set anywhere.

mod block;
pub mod device;
mod float;
mod groups;
mod index;
mod instruction;
mod spaced;
mod tiles;
mod value;

use crate::cpu::Cpu;
use kc_abi::DType;
use kc_abi::call::ALIGNMENT;
use kc_abi::library::dtype_number;
use kc_ir::kernel::{Access, For, Gemm, If, Index, Kernel, LibraryCall, Matrix, MemoryId, Register, Space, Statement};
use std::collections::HashMap;
use std::fmt::Write;

/// The kernel cannot be translated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TranslateError(pub String);

/// The symbol of the entry point of the kernel of that number.
pub fn entry(number: usize) -> String {
    format!("kernel_{number}")
}

/// The functions of the kernel of that number, as MLIR text for the inside of a module.
pub fn translate(kernel: &Kernel, number: usize, cpu: &Cpu) -> Result<String, TranslateError> {
    if cpu.is_gpu() {
        let (thread, spread) = block::spread(kernel);
        let mut translator = Translator::new(&thread, cpu);
        translator.spread = Some(spread);
        translator.block_task()?;
        return translator.finish_block(number);
    }
    let mut translator = Translator::new(kernel, cpu);
    translator.task_loop()?;
    Ok(translator.finish(number))
}

type Result<T, E = TranslateError> = std::result::Result<T, E>;

/// Values that are computed once in a scope: index expressions and masks.
#[derive(PartialEq, Eq, Hash)]
enum Known {
    Index(Index),
    Mask { count: Index, whole: u32, bits: u32 },
}

struct Translator<'k> {
    kernel: &'k Kernel,
    cpu: &'k Cpu,
    /// Where the kernel is one for a GPU.
    spread: Option<block::Spread>,
    /// Constants and stack slots, before the loop over the tasks.
    prelude: String,
    constants: HashMap<String, String>,
    out: String,
    depth: usize,
    values: u32,
    registers: Vec<Option<String>>,
    axes: HashMap<u32, String>,
    scopes: Vec<HashMap<Known, String>>,
    pointers: Vec<String>,
    gemm_slot: bool,
    /// Words of the arguments of the largest library call.
    library_words: usize,
}

impl<'k> Translator<'k> {
    fn new(kernel: &'k Kernel, cpu: &'k Cpu) -> Self {
        let pointers = kernel.memory.iter().enumerate().map(|(i, memory)| format!("%{}.{i}", identifier(&memory.name)));
        Translator {
            kernel,
            cpu,
            spread: None,
            prelude: String::new(),
            constants: HashMap::new(),
            out: String::new(),
            depth: 2,
            values: 0,
            registers: vec![None; kernel.registers.len()],
            axes: HashMap::new(),
            scopes: vec![HashMap::new()],
            pointers: pointers.collect(),
            gemm_slot: false,
            library_words: 0,
        }
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(TranslateError(message.into()))
    }

    fn line(&mut self, text: &str) {
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// Emits an operation with one result and gives its name.
    fn op(&mut self, text: &str) -> String {
        self.values += 1;
        let name = format!("%{}", self.values);
        self.line(&format!("{name} = {text}"));
        name
    }

    /// A constant of the prelude, given what follows `arith.constant`.
    fn constant_text(&mut self, text: String) -> String {
        if let Some(name) = self.constants.get(&text) {
            return name.clone();
        }
        let name = format!("%c{}", self.constants.len());
        let _ = writeln!(self.prelude, "    {name} = arith.constant {text}");
        self.constants.insert(text, name.clone());
        name
    }

    fn i64(&mut self, value: i64) -> String {
        self.constant_text(format!("{value} : i64"))
    }

    fn register(&self, register: Register) -> Result<String> {
        match self.registers.get(register.0 as usize) {
            Some(Some(name)) => Ok(name.clone()),
            _ => self.error(format!("register {} is used before it has a value", register.0)),
        }
    }

    fn register_list(&self, registers: &[Register]) -> Result<Vec<String>> {
        registers.iter().map(|&register| self.register(register)).collect()
    }

    fn define(&mut self, register: Register, name: String) -> Result<()> {
        match self.registers.get_mut(register.0 as usize) {
            Some(slot) => {
                *slot = Some(name);
                Ok(())
            }
            None => self.error(format!("register {} has no type", register.0)),
        }
    }

    fn known(&self, key: &Known) -> Option<String> {
        self.scopes.iter().rev().find_map(|scope| scope.get(key)).cloned()
    }

    fn remember(&mut self, key: Known, name: &str) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(key, name.to_string());
        }
    }

    fn memory_dtype(&self, memory: MemoryId) -> Result<DType> {
        match self.kernel.memory.get(memory.0 as usize) {
            Some(memory) => Ok(memory.dtype),
            None => self.error(format!("memory {} is not declared", memory.0)),
        }
    }

    /// Statements of a nested region.
    fn region(&mut self, statements: &[Statement]) -> Result<()> {
        self.depth += 1;
        self.scopes.push(HashMap::new());
        for statement in statements {
            self.statement(statement)?;
        }
        Ok(())
    }

    /// Ends a nested region with the values that it gives.
    fn end_region(&mut self, values: &[Register]) -> Result<()> {
        if !values.is_empty() {
            let names = self.register_list(values)?.join(", ");
            let types = self.type_list(values);
            self.line(&format!("scf.yield {names} : {types}"));
        }
        self.scopes.pop();
        self.depth -= 1;
        Ok(())
    }

    fn type_list(&self, registers: &[Register]) -> String {
        let types: Vec<String> =
            registers.iter().map(|register| value::register_type(self.kernel.registers[register.0 as usize])).collect();
        types.join(", ")
    }

    fn task_loop(&mut self) -> Result<()> {
        let one = self.i64(1);
        let task = "%task".to_string();
        self.axes.insert(self.kernel.task.0, task.clone());
        self.line(&format!("scf.for {task} = %first_task to %end_task step {one} : i64 {{"));
        let kernel = self.kernel;
        self.region(&kernel.body)?;
        self.end_region(&[])?;
        self.line("}");
        Ok(())
    }

    fn statement(&mut self, statement: &Statement) -> Result<()> {
        match statement {
            Statement::Let(register, instruction) => {
                let name = self.instruction(*register, instruction)?;
                self.define(*register, name)
            }
            Statement::Store { memory, position, value, count } => {
                self.store(*memory, position, *value, count.as_ref())
            }
            Statement::Prefetch { memory, position } => self.prefetch(*memory, position),
            Statement::For(f) => self.for_loop(f),
            Statement::If(branch) => self.branch(branch),
            Statement::Gemm(gemm) => self.gemm(gemm),
            Statement::Library(call) => self.library(call),
            Statement::StoreTiles(tiles, value) => self.store_tiles(tiles, *value),
            Statement::StoreSpaced(spaced, value) => self.store_spaced(spaced, *value),
            Statement::Copy(copy) => self.copy(copy),
            Statement::CommitCopies => self.commit_copies(),
            Statement::AwaitCopies { pending } => self.await_copies(*pending),
        }
    }

    fn for_loop(&mut self, f: &For) -> Result<()> {
        self.before_independent(f);
        let (start, end, step) = (self.index(&f.start)?, self.index(&f.end)?, self.i64(f.step));
        let initial = self.register_list(&f.initial)?;
        let axis = format!("%i{}", f.axis.0);
        self.axes.insert(f.axis.0, axis.clone());
        self.values += 1;
        let results = format!("%{}", self.values);
        let mut carried = Vec::new();
        for (&parameter, initial) in f.parameters.iter().zip(&initial) {
            let name = format!("%r{}", parameter.0);
            carried.push(format!("{name} = {initial}"));
            self.define(parameter, name)?;
        }
        let range = format!("scf.for {axis} = {start} to {end} step {step}");
        if carried.is_empty() {
            self.line(&format!("{range} : i64 {{"));
        } else {
            let (count, carried, types) = (carried.len(), carried.join(", "), self.type_list(&f.parameters));
            self.line(&format!("{results}:{count} = {range} iter_args({carried}) -> ({types}) : i64 {{"));
        }
        let before = self.enter_loop(f);
        self.region(&f.body)?;
        self.end_region(&f.next)?;
        self.leave_loop(f, before);
        self.line("}");
        self.axes.remove(&f.axis.0);
        self.define_results(&f.results, &results)
    }

    fn branch(&mut self, branch: &If) -> Result<()> {
        let condition = self.register(branch.condition)?;
        self.values += 1;
        let results = format!("%{}", self.values);
        if branch.results.is_empty() {
            self.line(&format!("scf.if {condition} {{"));
        } else {
            let (count, types) = (branch.results.len(), self.type_list(&branch.results));
            self.line(&format!("{results}:{count} = scf.if {condition} -> ({types}) {{"));
        }
        let before = self.pending_marks();
        self.region(&branch.then)?;
        self.end_region(&branch.then_values)?;
        let first = self.second_side(before);
        if !branch.otherwise.is_empty() || !branch.results.is_empty() {
            self.line("} else {");
            self.region(&branch.otherwise)?;
            self.end_region(&branch.otherwise_values)?;
        }
        self.line("}");
        self.join_sides(first);
        self.define_results(&branch.results, &results)
    }

    fn define_results(&mut self, registers: &[Register], results: &str) -> Result<()> {
        for (i, &register) in registers.iter().enumerate() {
            self.define(register, format!("{results}#{i}"))?;
        }
        Ok(())
    }

    /// The function at that byte offset of the intrinsics' table.
    fn intrinsic(&mut self, offset: i64) -> String {
        let table = self.op("llvm.load %environment : !llvm.ptr -> !llvm.ptr");
        let offset = self.i64(offset);
        let entry = self.op(&format!("llvm.getelementptr {table}[{offset}] : (!llvm.ptr, i64) -> !llvm.ptr, i8"));
        self.op(&format!("llvm.load {entry} : !llvm.ptr -> !llvm.ptr"))
    }

    fn gemm(&mut self, gemm: &Gemm) -> Result<()> {
        if self.cpu.is_gpu() {
            return self.error("a matrix product of the runtime's library, which a GPU does not have");
        }
        let offset = match self.memory_dtype(gemm.c.memory)? {
            DType::F32 => 8,
            DType::F64 => 16,
            other => return self.error(format!("a matrix product in {other}, expected f32 or f64")),
        };
        self.gemm_slot = true;
        let mut fields = Vec::new();
        for extent in [&gemm.m, &gemm.n, &gemm.k] {
            fields.push((self.index(extent)?, "i64"));
        }
        for matrix in [&gemm.a, &gemm.b, &gemm.c] {
            let Matrix { memory, position, row_stride, column_stride } = matrix;
            fields.push((self.address(*memory, position)?, "!llvm.ptr"));
            fields.push((self.index(row_stride)?, "i64"));
            fields.push((self.index(column_stride)?, "i64"));
        }
        fields.push((self.i64(i64::from(gemm.accumulate)), "i64"));
        for (i, (name, ty)) in fields.iter().enumerate() {
            let slot = self.op(&format!("llvm.getelementptr %gemm[{i}] : (!llvm.ptr) -> !llvm.ptr, i64"));
            self.line(&format!("llvm.store {name}, {slot} : {ty}, !llvm.ptr"));
        }
        let function = self.intrinsic(offset);
        self.line(&format!("llvm.call {function}(%gemm) : !llvm.ptr, (!llvm.ptr) -> ()"));
        Ok(())
    }

    /// The regions, six words each, then the attributes, in one stack slot.
    fn library(&mut self, call: &LibraryCall) -> Result<()> {
        if self.cpu.is_gpu() {
            let name = call.function.name();
            return self.error(format!("a call of the runtime's function `{name}`, which a GPU does not have"));
        }
        let mut fields = Vec::new();
        for region in call.regions() {
            let Matrix { memory, position, row_stride, column_stride } = &region.matrix;
            fields.push((self.address(*memory, position)?, "!llvm.ptr"));
            for index in [&region.rows, &region.columns, row_stride, column_stride] {
                fields.push((self.index(index)?, "i64"));
            }
            let dtype = self.memory_dtype(*memory)?;
            fields.push((self.i64(dtype_number(dtype)), "i64"));
        }
        let attributes_at = fields.len();
        for &attribute in &call.attributes {
            fields.push((self.i64(attribute), "i64"));
        }
        self.library_words = self.library_words.max(fields.len());
        for (i, (name, ty)) in fields.iter().enumerate() {
            let slot = self.op(&format!("llvm.getelementptr %library[{i}] : (!llvm.ptr) -> !llvm.ptr, i64"));
            self.line(&format!("llvm.store {name}, {slot} : {ty}, !llvm.ptr"));
        }
        let attributes =
            self.op(&format!("llvm.getelementptr %library[{attributes_at}] : (!llvm.ptr) -> !llvm.ptr, i64"));
        let (number, count) = (self.i64(i64::from(call.function as u32)), self.i64(call.regions().count() as i64));
        let function = self.intrinsic(48);
        self.line(&format!(
            "llvm.call {function}({number}, %library, {count}, {attributes}) : !llvm.ptr, (i64, !llvm.ptr, i64, !llvm.ptr) -> ()"
        ));
        Ok(())
    }

    /// The functions around the body.
    fn finish(self, number: usize) -> String {
        let kernel = self.kernel;
        let attributes = self.cpu.function_attributes();
        let mut parameters = Vec::new();
        let mut fetch = String::new();
        let mut arguments = Vec::new();
        let (scratch, _) = kernel.scratch_layout();
        let mut scratch = scratch.into_iter();
        for (i, memory) in kernel.memory.iter().enumerate() {
            let pointer = &self.pointers[i];
            let access = match memory.space {
                Space::Parameter(Access::Read) => ", llvm.readonly",
                Space::Parameter(Access::Write | Access::ReadWrite) | Space::Scratch { .. } => "",
            };
            // elements of sequences lie anywhere
            let alignment = match memory.space {
                Space::Parameter(_) => memory.dtype.bytes(),
                Space::Scratch { .. } => ALIGNMENT,
            };
            parameters.push(format!("{pointer}: !llvm.ptr {{llvm.noalias, llvm.align = {alignment} : i64{access}}}"));
            arguments.push((pointer.clone(), "!llvm.ptr"));
            let _ = match memory.space {
                Space::Parameter(_) => writeln!(
                    fetch,
                    "    %slot_{i} = llvm.getelementptr %buffers[{i}] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr\n    \
                     {pointer} = llvm.load %slot_{i} : !llvm.ptr -> !llvm.ptr"
                ),
                Space::Scratch { .. } => {
                    let offset = scratch.next().unwrap_or(0);
                    writeln!(
                        fetch,
                        "    %base_{i} = llvm.getelementptr %environment[8] : (!llvm.ptr) -> !llvm.ptr, i8\n    \
                         %scratch_{i} = llvm.load %base_{i} : !llvm.ptr -> !llvm.ptr\n    \
                         %offset_{i} = arith.constant {offset} : i64\n    \
                         {pointer} = llvm.getelementptr %scratch_{i}[%offset_{i}] : (!llvm.ptr, i64) -> !llvm.ptr, i8"
                    )
                }
            };
        }
        for dim in 0..kernel.dims {
            parameters.push(format!("%d{dim}: i64"));
            arguments.push((format!("%d{dim}"), "i64"));
            let _ = writeln!(
                fetch,
                "    %dim_{dim} = llvm.getelementptr %dims[{dim}] : (!llvm.ptr) -> !llvm.ptr, i64\n    \
                 %d{dim} = llvm.load %dim_{dim} : !llvm.ptr -> i64"
            );
        }
        parameters.extend(["%first_task: i64", "%end_task: i64", "%environment: !llvm.ptr"].map(String::from));
        arguments.extend(
            [("%first_task", "i64"), ("%end_task", "i64"), ("%environment", "!llvm.ptr")]
                .map(|(a, b)| (a.to_string(), b)),
        );
        let names: Vec<&str> = arguments.iter().map(|(name, _)| name.as_str()).collect();
        let types: Vec<&str> = arguments.iter().map(|(_, ty)| *ty).collect();
        let mut slot = String::new();
        if self.library_words > 0 {
            let _ = writeln!(
                slot,
                "    %library_slots = arith.constant 1 : i64\n    \
                 %library = llvm.alloca %library_slots x !llvm.array<{} x i64> {{alignment = 8 : i64}} : (i64) -> !llvm.ptr",
                self.library_words
            );
        }
        if self.gemm_slot {
            slot.push_str(
                "    %gemm_slots = arith.constant 1 : i64\n    \
             %gemm = llvm.alloca %gemm_slots x !llvm.array<13 x i64> {alignment = 8 : i64} : (i64) -> !llvm.ptr\n",
            );
        }
        format!(
            "  // {name}\n  llvm.func internal @tasks_{number}({parameters}) attributes {{{attributes}}} {{\n{slot}{prelude}{out}    llvm.return\n  }}\n  \
             llvm.func @{entry}(%buffers: !llvm.ptr, %dims: !llvm.ptr, %first_task: i64, %end_task: i64, %environment: !llvm.ptr) attributes {{{attributes}}} {{\n\
             {fetch}    llvm.call @tasks_{number}({names}) : ({types}) -> ()\n    llvm.return\n  }}\n",
            entry = entry(number),
            name = identifier(&kernel.name),
            parameters = parameters.join(", "),
            prelude = self.prelude,
            out = self.out,
            names = names.join(", "),
            types = types.join(", "),
        )
    }
}

/// A name with only letters, digits and underscores, that does not start with a digit.
fn identifier(name: &str) -> String {
    let start = if name.starts_with(|c: char| c.is_ascii_digit()) { "_" } else { "" };
    start.chars().chain(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })).collect()
}
