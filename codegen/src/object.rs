//! Self-contained objects: entry points as C functions, with their weights, for programs that have neither the runtime nor the
//! compiler. What a session does with a plan is generated code: sizes, places in the workspace, loops, choices, and the launches in
//! their order, on the calling thread.

use crate::mlir::Mlir;
use crate::outside::{self, Call};
use crate::pipeline::Planned;
use crate::{CodegenError, CompileError};
use kc_ir::kernel::Kernel;
use kc_ir::manifest::{self, Entry, Place, Plan, Step};
use kc_ir::tensor::Module;
use kc_ir::{DType, Dim, Symbol};
use kc_runtime::kc_abi::call::ALIGNMENT;
use kc_runtime::kc_abi::{Atom, manifest::Buffer};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// What is emitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectOptions {
    /// What the functions' names start with, an identifier of C.
    pub prefix: String,
    /// The entry points.
    pub entries: Vec<String>,
}

/// An object file and what a C program includes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// ELF, or a WebAssembly object.
    pub bytes: Vec<u8>,
    /// The header.
    pub header: String,
    /// Names of the functions.
    pub functions: Vec<String>,
}

/// The largest extent that a caller may give: all sizes of a plan are checked for it.
const LARGEST_EXTENT: i64 = 1 << 20;

/// The error codes of the functions.
const ERRORS: [(&str, &str); 5] = [
    ("OK", "no error"),
    ("ERROR_EXTENT", "an extent is below 1 or too large"),
    ("ERROR_NULL", "a pointer is null"),
    ("ERROR_ALIGNMENT", "the workspace must start at a multiple of 64 bytes, tensors at multiples of their elements"),
    ("ERROR_WORKSPACE", "the workspace is too small"),
];

/// Objects are compiled from a module whose kernels are planned, with the bytes of each state tensor.
pub(crate) fn emit(
    module: &Module,
    planned: &Planned,
    state: &[Vec<u8>],
    backend: &Mlir,
    options: &ObjectOptions,
) -> Result<Object, CompileError> {
    let wrong = |reason: String| CompileError::from(CodegenError::Object { reason });
    let mut text = String::new();
    let mut functions = vec![format!("{}_version", options.prefix), format!("{}_error", options.prefix)];
    let mut entries = Vec::new();
    for name in &options.entries {
        let entry = planned.entries.iter().find(|entry| entry.name == *name);
        let entry = entry.ok_or_else(|| wrong(format!("the model has no entry point `{name}`")))?;
        entries.push(entry);
    }
    let launched: BTreeSet<usize> =
        entries.iter().flat_map(|entry| manifest::launches(&entry.plan.steps)).map(|launch| launch.kernel).collect();
    let kernels: Vec<Kernel> = launched.iter().map(|&number| planned.kernels[number].clone()).collect();
    if let Some(function) = kernels.iter().find_map(outside) {
        let reason = format!(
            "the model computes {function} with the runtime's library, which a self-contained object does not have; \
             use a package"
        );
        return Err(wrong(reason));
    }
    let numbers: BTreeMap<usize, usize> = launched.iter().enumerate().map(|(new, &old)| (old, new)).collect();
    let updated: BTreeSet<usize> = entries.iter().flat_map(|entry| entry.updates.iter().copied()).collect();
    let used: BTreeSet<usize> = entries
        .iter()
        .flat_map(|entry| &entry.plan.buffers)
        .filter_map(|buffer| match buffer.place {
            Place::State(index) => Some(index),
            _ => None,
        })
        .collect();
    for &index in &used {
        let tensor = &module.state[index];
        let bytes = state.get(index).filter(|bytes| !bytes.is_empty() || tensor.ty.elements().is(0));
        let bytes = bytes.ok_or_else(|| {
            wrong(format!("the package that gives the weights has no tensor `{}` {}", tensor.name, tensor.ty))
        })?;
        global(&mut text, &format!("kc_state_{index}"), bytes, !updated.contains(&index));
    }
    global(&mut text, "kc_constants", &planned.constants, true);
    let version = concat!(env!("CARGO_PKG_VERSION"), "\0");
    global(&mut text, "kc_version", version.as_bytes(), true);
    for (code, (_, message)) in ERRORS.iter().enumerate() {
        global(&mut text, &format!("kc_message_{code}"), &[message.as_bytes(), b"\0"].concat(), true);
    }
    texts(&mut text, &options.prefix);
    for entry in &entries {
        let function = format!("{}_{}", options.prefix, entry.name);
        functions.push(format!("{function}_workspace"));
        functions.push(function.clone());
        Dispatch::new(entry, planned, &numbers).function(&function, &mut text).map_err(wrong)?;
    }
    let bytes = backend.object(&kernels, &text, &functions)?;
    let header = header(module, &entries, &options.prefix, &updated);
    Ok(Object { bytes, header, functions })
}

/// What a kernel calls outside of its own code.
fn outside(kernel: &Kernel) -> Option<String> {
    outside::calls(kernel).first().map(|call| match call {
        Call::Library(function) => format!("`{}`", function.name()),
        Call::Math(function) => format!("`{}`", function.name()),
        Call::Gemm(_) => "matrix products".to_owned(),
    })
}

/// Bytes of the object's data.
fn global(text: &mut String, name: &str, bytes: &[u8], constant: bool) {
    // an empty array has no address of its own
    let bytes = if bytes.is_empty() { &[0] } else { bytes };
    let mut literal = String::with_capacity(3 * bytes.len());
    for byte in bytes {
        let _ = write!(literal, "\\{byte:02X}");
    }
    let constant = if constant { "constant " } else { "" };
    let _ = writeln!(
        text,
        "  llvm.mlir.global internal {constant}@{name}(\"{literal}\") {{addr_space = 0 : i32, alignment = {ALIGNMENT} : i64}} : !llvm.array<{} x i8>",
        bytes.len()
    );
}

/// The functions that give texts.
fn texts(text: &mut String, prefix: &str) {
    let _ = writeln!(
        text,
        "  llvm.func @{prefix}_version() -> !llvm.ptr {{\n    %text = llvm.mlir.addressof @kc_version : !llvm.ptr\n    llvm.return %text : !llvm.ptr\n  }}"
    );
    let _ = writeln!(
        text,
        "  llvm.func @{prefix}_error(%code: i32) -> !llvm.ptr {{\n    %last = llvm.mlir.addressof @kc_message_{} : !llvm.ptr",
        ERRORS.len() - 1
    );
    let mut chosen = "%last".to_owned();
    for code in (0..ERRORS.len() - 1).rev() {
        let _ = writeln!(
            text,
            "    %number{code} = arith.constant {code} : i32\n    %is{code} = arith.cmpi eq, %code, %number{code} : i32\n    \
             %text{code} = llvm.mlir.addressof @kc_message_{code} : !llvm.ptr\n    \
             %chosen{code} = llvm.select %is{code}, %text{code}, {chosen} : i1, !llvm.ptr"
        );
        chosen = format!("%chosen{code}");
    }
    let _ = writeln!(text, "    llvm.return {chosen} : !llvm.ptr\n  }}");
}

/// An entry point as generated code.
struct Dispatch<'a> {
    entry: &'a Entry,
    plan: &'a Plan,
    kernels: &'a [Kernel],
    numbers: &'a BTreeMap<usize, usize>,
    out: String,
    values: usize,
    depth: usize,
    symbols: Vec<(Symbol, String)>,
    /// Pointers of the arena's slots.
    slots: Vec<String>,
}

type Built<T> = Result<T, String>;

impl<'a> Dispatch<'a> {
    fn new(entry: &'a Entry, planned: &'a Planned, numbers: &'a BTreeMap<usize, usize>) -> Self {
        let symbols = entry.symbols.iter().map(|symbol| (symbol.clone(), format!("%extent_{}", symbol.0))).collect();
        Dispatch {
            entry,
            plan: &entry.plan,
            kernels: &planned.kernels,
            numbers,
            out: String::new(),
            values: 0,
            depth: 2,
            symbols,
            slots: vec![],
        }
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(&"  ".repeat(self.depth));
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn op(&mut self, text: &str) -> String {
        let name = format!("%v{}", self.values);
        self.values += 1;
        self.line(&format!("{name} = {text}"));
        name
    }

    fn i64(&mut self, value: i64) -> String {
        self.op(&format!("arith.constant {value} : i64"))
    }

    fn binary(&mut self, operation: &str, a: &str, b: &str) -> String {
        self.op(&format!("arith.{operation} {a}, {b} : i64"))
    }

    /// A dimension's value.
    fn dim(&mut self, dim: &Dim) -> Built<String> {
        let mut sum: Option<String> = None;
        for term in dim.terms() {
            let mut product = self.i64(term.coefficient);
            for atom in &term.atoms {
                let factor = match atom {
                    Atom::Symbol(symbol) => {
                        let known = self.symbols.iter().rev().find(|(known, _)| known == symbol);
                        known.map(|(_, value)| value.clone()).ok_or_else(|| format!("`{symbol}` has no value"))?
                    }
                    Atom::FloorDiv(dividend, divisor) => {
                        let (dividend, divisor) = (self.dim(dividend)?, self.dim(divisor)?);
                        let one = self.i64(1);
                        let divisor = self.binary("maxsi", &divisor, &one);
                        let (quotient, zero) = (self.binary("divsi", &dividend, &divisor), self.i64(0));
                        let remainder = self.binary("remsi", &dividend, &divisor);
                        let negative = self.op(&format!("arith.cmpi slt, {remainder}, {zero} : i64"));
                        let correction = self.op(&format!("arith.extsi {negative} : i1 to i64"));
                        self.binary("addi", &quotient, &correction)
                    }
                };
                product = self.binary("muli", &product, &factor);
            }
            sum = Some(match sum {
                Some(sum) => self.binary("addi", &sum, &product),
                None => product,
            });
        }
        Ok(sum.unwrap_or_else(|| self.i64(0)))
    }

    /// Where each slot starts, and then the end of all, each a multiple of [`ALIGNMENT`].
    fn slot_offsets(&mut self) -> Built<Vec<String>> {
        let mut offsets = vec![self.i64(0)];
        for members in &self.plan.slots {
            let mut largest = self.i64(0);
            for member in members {
                let member = self.dim(member)?;
                largest = self.binary("maxsi", &largest, &member);
            }
            let (over, mask) = (self.i64(ALIGNMENT as i64 - 1), self.i64(-(ALIGNMENT as i64)));
            let raised = self.binary("addi", &largest, &over);
            let rounded = self.binary("andi", &raised, &mask);
            let start = offsets[offsets.len() - 1].clone();
            offsets.push(self.binary("addi", &start, &rounded));
        }
        Ok(offsets)
    }

    fn scratch_bytes(&self) -> i64 {
        let launches = manifest::launches(&self.plan.steps);
        launches.iter().map(|launch| self.kernels[launch.kernel].scratch_layout().1 as i64).max().unwrap_or(0)
    }

    /// All sizes at the largest extents, so that generated arithmetic does not overflow.
    fn check_sizes(&self) -> Built<()> {
        let dims = self.plan.slots.iter().flatten().chain(self.plan.buffers.iter().map(|buffer| &buffer.elements));
        let value_of = |symbol: &Symbol| self.entry.symbols.contains(symbol).then_some(LARGEST_EXTENT);
        for dim in dims {
            let size = dim.evaluate(&value_of).and_then(|value| value.checked_mul(8));
            if size.is_none_or(|size| size > i64::MAX / 1024) {
                return Err(format!("a buffer of {dim} elements is too large for extents up to {LARGEST_EXTENT}"));
            }
        }
        Ok(())
    }

    fn function(mut self, name: &str, text: &mut String) -> Built<()> {
        self.check_sizes()?;
        let extents: Vec<String> = self.symbols.iter().map(|(_, value)| format!("{value}: i64")).collect();
        // how much memory it needs
        let offsets = self.slot_offsets()?;
        let scratch = self.i64(self.scratch_bytes());
        let bytes = self.binary("addi", &offsets[offsets.len() - 1], &scratch);
        self.line(&format!("llvm.return {bytes} : i64"));
        let _ = write!(text, "  llvm.func @{name}_workspace({}) -> i64 {{\n{}  }}\n", extents.join(", "), self.out);
        self.out.clear();

        let parameters: Vec<String> = extents
            .into_iter()
            .chain((0..self.entry.inputs.len()).map(|i| format!("%input_{i}: !llvm.ptr")))
            .chain((0..self.entry.outputs.len()).map(|i| format!("%output_{i}: !llvm.ptr")))
            .chain(["%workspace: !llvm.ptr".to_owned(), "%workspace_bytes: i64".to_owned()])
            .collect();
        let code = self.checks()?;
        let ok = self.op("arith.constant 0 : i32");
        let good = self.op(&format!("arith.cmpi eq, {code}, {ok} : i32"));
        self.line(&format!("scf.if {good} {{"));
        self.depth += 1;
        let offsets = self.slot_offsets()?;
        for offset in &offsets {
            let slot = self.op(&format!("llvm.getelementptr %workspace[{offset}] : (!llvm.ptr, i64) -> !llvm.ptr, i8"));
            self.slots.push(slot);
        }
        // the kernels' scratch memory is behind the slots; there is no table of intrinsics
        let scratch = self.slots[self.slots.len() - 1].clone();
        let place = self.op("llvm.getelementptr %environment[8] : (!llvm.ptr) -> !llvm.ptr, i8");
        let null = self.op("llvm.mlir.zero : !llvm.ptr");
        self.line(&format!("llvm.store {null}, %environment : !llvm.ptr, !llvm.ptr"));
        self.line(&format!("llvm.store {scratch}, {place} : !llvm.ptr, !llvm.ptr"));
        self.steps(&self.plan.steps)?;
        self.depth -= 1;
        self.line("}");
        self.line(&format!("llvm.return {code} : i32"));
        let launches = manifest::launches(&self.plan.steps);
        let most = |count: usize| count.max(1);
        let buffers = most(launches.iter().map(|launch| launch.buffers.len()).max().unwrap_or(0));
        let dims = most(launches.iter().map(|launch| launch.dims.len()).max().unwrap_or(0));
        let _ = write!(
            text,
            "  llvm.func @{name}({}) -> i32 {{\n    %one = arith.constant 1 : i64\n    \
             %buffers = llvm.alloca %one x !llvm.array<{buffers} x ptr> {{alignment = 8 : i64}} : (i64) -> !llvm.ptr\n    \
             %dims = llvm.alloca %one x !llvm.array<{dims} x i64> {{alignment = 8 : i64}} : (i64) -> !llvm.ptr\n    \
             %environment = llvm.alloca %one x !llvm.array<2 x i64> {{alignment = 8 : i64}} : (i64) -> !llvm.ptr\n{}  }}\n",
            parameters.join(", "),
            self.out
        );
        Ok(())
    }

    /// The error code of the arguments, 0 where they are good.
    fn checks(&mut self) -> Built<String> {
        let mut code = self.op("arith.constant 0 : i32");
        let fail = |dispatch: &mut Self, code: String, bad: String, number: usize| {
            let number = dispatch.op(&format!("arith.constant {number} : i32"));
            dispatch.op(&format!("arith.select {bad}, {number}, {code} : i32"))
        };
        // the last that fails is the one that is told: the workspace's size, which needs good extents, comes first
        let offsets = self.slot_offsets()?;
        let scratch = self.i64(self.scratch_bytes());
        let needed = self.binary("addi", &offsets[offsets.len() - 1], &scratch);
        let bad = self.op(&format!("arith.cmpi slt, %workspace_bytes, {needed} : i64"));
        code = fail(self, code, bad, 4);
        let tensors = self.entry.inputs.iter().map(|input| input.ty.dtype).enumerate();
        let mut pointers: Vec<(String, usize)> =
            tensors.map(|(i, dtype)| (format!("%input_{i}"), dtype.bytes())).collect();
        let outputs = self.entry.outputs.iter().enumerate();
        pointers.extend(outputs.map(|(i, output)| (format!("%output_{i}"), output.ty.dtype.bytes())));
        pointers.push(("%workspace".to_owned(), ALIGNMENT));
        for (pointer, alignment) in &pointers {
            let address = self.op(&format!("llvm.ptrtoint {pointer} : !llvm.ptr to i64"));
            let (mask, zero) = (self.i64(*alignment as i64 - 1), self.i64(0));
            let rest = self.binary("andi", &address, &mask);
            let bad = self.op(&format!("arith.cmpi ne, {rest}, {zero} : i64"));
            code = fail(self, code, bad, 3);
        }
        for (pointer, _) in &pointers {
            let null = self.op("llvm.mlir.zero : !llvm.ptr");
            let bad = self.op(&format!("llvm.icmp \"eq\" {pointer}, {null} : !llvm.ptr"));
            code = fail(self, code, bad, 2);
        }
        for (_, extent) in self.symbols.clone() {
            let (one, most) = (self.i64(1), self.i64(LARGEST_EXTENT));
            for (predicate, bound) in [("slt", one), ("sgt", most)] {
                let bad = self.op(&format!("arith.cmpi {predicate}, {extent}, {bound} : i64"));
                code = fail(self, code, bad, 1);
            }
        }
        Ok(code)
    }

    /// The pointer to a buffer's first element.
    fn pointer(&mut self, index: usize) -> Built<String> {
        let Buffer { dtype, place, offset, .. } = self.plan.buffers[index].clone();
        let base = match place {
            Place::Input(i) => format!("%input_{i}"),
            Place::Output(i) => format!("%output_{i}"),
            Place::Slot(i) => self.slots[i].clone(),
            Place::State(i) => self.op(&format!("llvm.mlir.addressof @kc_state_{i} : !llvm.ptr")),
            Place::Constant(at) => {
                let start = self.op("llvm.mlir.addressof @kc_constants : !llvm.ptr");
                let at = self.i64(at as i64);
                self.op(&format!("llvm.getelementptr {start}[{at}] : (!llvm.ptr, i64) -> !llvm.ptr, i8"))
            }
        };
        if offset.is(0) {
            return Ok(base);
        }
        let (offset, width) = (self.dim(&offset)?, self.i64(dtype.bytes() as i64));
        let bytes = self.binary("muli", &offset, &width);
        Ok(self.op(&format!("llvm.getelementptr {base}[{bytes}] : (!llvm.ptr, i64) -> !llvm.ptr, i8")))
    }

    /// The number in a buffer of one element, as an `i64`.
    fn scalar(&mut self, index: usize) -> Built<String> {
        let dtype = self.plan.buffers[index].dtype;
        let pointer = self.pointer(index)?;
        let bits = dtype.bits();
        let value =
            self.op(&format!("llvm.load {pointer} {{alignment = {} : i64}} : !llvm.ptr -> i{bits}", dtype.bytes()));
        Ok(match (bits, dtype.is_signed_integer()) {
            (64, true) => value,
            (64, false) => {
                let most = self.i64(i64::MAX);
                self.binary("minui", &value, &most)
            }
            (_, true) => self.op(&format!("arith.extsi {value} : i{bits} to i64")),
            (_, false) => self.op(&format!("arith.extui {value} : i{bits} to i64")),
        })
    }

    fn steps(&mut self, steps: &[Step]) -> Built<()> {
        for step in steps {
            match step {
                Step::Launches(launches) => {
                    for launch in launches {
                        self.launch(launch)?;
                    }
                }
                Step::Loop { counter, rounds, steps } => {
                    let (zero, rounds, one) = (self.i64(0), self.dim(rounds)?, self.i64(1));
                    let axis = format!("%round_{}", self.values);
                    self.line(&format!("scf.for {axis} = {zero} to {rounds} step {one} : i64 {{"));
                    self.symbols.push((counter.clone(), axis));
                    self.block(steps)?;
                    self.symbols.pop();
                    self.line("}");
                }
                Step::While { condition, holds, steps } => {
                    self.line("scf.while : () -> () {");
                    self.depth += 1;
                    self.steps(condition)?;
                    let (value, zero) = (self.scalar(*holds)?, self.i64(0));
                    let goes_on = self.op(&format!("arith.cmpi ne, {value}, {zero} : i64"));
                    self.line(&format!("scf.condition({goes_on})"));
                    self.depth -= 1;
                    self.line("} do {");
                    self.depth += 1;
                    self.steps(steps)?;
                    self.line("scf.yield");
                    self.depth -= 1;
                    self.line("}");
                }
                Step::Branch { index, branches } => {
                    let (index, zero) = (self.scalar(*index)?, self.i64(0));
                    let last = self.i64(branches.len() as i64 - 1);
                    let index = self.binary("maxsi", &index, &zero);
                    let index = self.binary("minsi", &index, &last);
                    for (number, steps) in branches.iter().enumerate() {
                        let number = self.i64(number as i64);
                        let taken = self.op(&format!("arith.cmpi eq, {index}, {number} : i64"));
                        self.line(&format!("scf.if {taken} {{"));
                        self.block(steps)?;
                        self.line("}");
                    }
                }
            }
        }
        Ok(())
    }

    fn block(&mut self, steps: &[Step]) -> Built<()> {
        self.depth += 1;
        self.steps(steps)?;
        self.depth -= 1;
        Ok(())
    }

    fn launch(&mut self, launch: &manifest::Launch) -> Built<()> {
        for (i, &buffer) in launch.buffers.iter().enumerate() {
            let pointer = self.pointer(buffer)?;
            let slot = self.op(&format!("llvm.getelementptr %buffers[{i}] : (!llvm.ptr) -> !llvm.ptr, !llvm.ptr"));
            self.line(&format!("llvm.store {pointer}, {slot} : !llvm.ptr, !llvm.ptr"));
        }
        for (i, dim) in launch.dims.iter().enumerate() {
            let value = self.dim(dim)?;
            let slot = self.op(&format!("llvm.getelementptr %dims[{i}] : (!llvm.ptr) -> !llvm.ptr, i64"));
            self.line(&format!("llvm.store {value}, {slot} : i64, !llvm.ptr"));
        }
        let (zero, tasks) = (self.i64(0), self.dim(&launch.tasks)?);
        let kernel = self.numbers[&launch.kernel];
        self.line(&format!(
            "llvm.call @kernel_{kernel}(%buffers, %dims, {zero}, {tasks}, %environment) : (!llvm.ptr, !llvm.ptr, i64, i64, !llvm.ptr) -> ()"
        ));
        Ok(())
    }
}

/// The C type of an element.
fn c_type(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "double",
        DType::F32 => "float",
        DType::F16 | DType::Bf16 | DType::U16 => "uint16_t",
        DType::I8 => "int8_t",
        DType::I16 => "int16_t",
        DType::I32 => "int32_t",
        DType::I64 => "int64_t",
        DType::U8 | DType::Bool => "uint8_t",
        DType::U32 => "uint32_t",
        DType::U64 => "uint64_t",
    }
}

/// A name of C, made of another.
fn c_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn header(module: &Module, entries: &[&Entry], prefix: &str, updated: &BTreeSet<usize>) -> String {
    let upper = prefix.to_uppercase();
    let mut text = format!(
        "/* The model `{}`, compiled by kc {}. Tensors are dense and row-major. */\n#ifndef {upper}_H\n#define {upper}_H\n\n\
         #include <stdint.h>\n\n#ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n",
        module.model.name.replace("*/", "* /"),
        env!("CARGO_PKG_VERSION")
    );
    for (code, (name, message)) in ERRORS.iter().enumerate() {
        let _ = writeln!(text, "/* {message} */\n#define {upper}_{name} {code}");
    }
    let _ = write!(
        text,
        "\n/* The version of kc that compiled the model. */\nconst char *{prefix}_version(void);\n\n\
         /* What an error code means. */\nconst char *{prefix}_error(int32_t code);\n"
    );
    for entry in entries {
        let function = format!("{prefix}_{}", entry.name);
        let extents: Vec<String> =
            entry.symbols.iter().map(|symbol| format!("int64_t {}", c_name(&symbol.0))).collect();
        let mut parameters = extents.clone();
        let mut lines = String::new();
        for (i, input) in entry.inputs.iter().enumerate() {
            parameters.push(format!("const {} *input_{i}", c_type(input.ty.dtype)));
            let _ = writeln!(lines, "   input_{i}: `{}`, {}", input.name.replace("*/", "* /"), input.ty);
        }
        for (i, output) in entry.outputs.iter().enumerate() {
            parameters.push(format!("{} *output_{i}", c_type(output.ty.dtype)));
            let _ = writeln!(lines, "   output_{i}: `{}`, {}", output.name.replace("*/", "* /"), output.ty);
        }
        parameters.extend(["void *workspace".to_owned(), "int64_t workspace_bytes".to_owned()]);
        let threads = if entry.updates.iter().any(|index| updated.contains(index)) {
            "It changes the object's state: one thread at a time."
        } else {
            "Any number of threads may call it, each with a workspace of its own."
        };
        let extents = if extents.is_empty() { "void".to_owned() } else { extents.join(", ") };
        let _ = write!(
            text,
            "\n/* Bytes of workspace that {function} needs; extents from 1 to {LARGEST_EXTENT}. */\n\
             int64_t {function}_workspace({extents});\n\n\
             /* Returns {upper}_OK or an error code. {threads}\n{lines}   workspace: memory that starts at a multiple of {ALIGNMENT} bytes */\n\
             int32_t {function}({});\n",
            parameters.join(", ")
        );
    }
    text + "\n#ifdef __cplusplus\n}\n#endif\n#endif\n"
}
