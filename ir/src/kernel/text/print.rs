use crate::kernel::*;
use crate::tensor::Scalar;
use std::fmt::Write;

/// The text form of a kernel.
pub fn print_kernel(kernel: &Kernel) -> String {
    let mut printer = Printer { kernel, text: String::new(), indent: 0 };
    printer.kernel();
    printer.text
}

/// The text forms of kernels, with an empty line between them.
pub fn print_kernels(kernels: &[Kernel]) -> String {
    kernels.iter().map(print_kernel).collect::<Vec<_>>().join("\n")
}

/// The text form of an index; the axis `task` is printed as `t`, others as `i`.
pub fn print_index(index: &Index, task: Axis) -> String {
    let mut text = String::new();
    write_index(&mut text, index, task, Level::Sum);
    text
}

/// A name where it is declared: a word as it is, anything else quoted.
pub(super) fn declared_name(name: &str) -> String {
    if is_word(name) { name.to_string() } else { format!("{name:?}") }
}

/// A name where it is used: itself if it is a word that is used once, else its position.
pub(super) fn reference<'a>(names: impl Iterator<Item = &'a str> + Clone, position: usize) -> String {
    match names.clone().nth(position) {
        Some(name) if is_word(name) && names.filter(|other| *other == name).count() == 1 => name.to_string(),
        _ => format!("@{position}"),
    }
}

fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

pub(super) fn scalar_text(value: Scalar) -> String {
    match value {
        Scalar::Int(i) => i.to_string(),
        Scalar::Float(x) if x.is_nan() => "nan".to_string(),
        Scalar::Float(x) => format!("{x:?}"),
    }
}

/// How tightly the surrounding text binds.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Level {
    Sum,
    Product,
    Primary,
}

fn write_index(text: &mut String, index: &Index, task: Axis, level: Level) {
    let (own, operator, a, b) = match index {
        Index::Constant(value) => return text.push_str(&value.to_string()),
        Index::Dim(number) => return text.push_str(&format!("d{number}")),
        Index::Axis(axis) => return text.push_str(&axis_text(*axis, task)),
        Index::Register(register) => return text.push_str(&format!("%{}", register.0)),
        Index::Min(a, b) | Index::Max(a, b) => {
            text.push_str(if matches!(index, Index::Min(..)) { "min(" } else { "max(" });
            write_index(text, a, task, Level::Sum);
            text.push_str(", ");
            write_index(text, b, task, Level::Sum);
            text.push(')');
            return;
        }
        Index::Add(a, b) => (Level::Sum, " + ", a, b),
        Index::Multiply(a, b) => (Level::Product, "*", a, b),
        Index::FloorDiv(a, b) => (Level::Product, "//", a, b),
        Index::Modulo(a, b) => (Level::Product, "%", a, b),
    };
    if level > own {
        text.push('(');
    }
    write_index(text, a, task, own);
    match (own, &**b) {
        (Level::Sum, Index::Constant(c)) if *c < 0 && *c != i64::MIN => {
            text.push_str(" - ");
            text.push_str(&c.unsigned_abs().to_string());
        }
        (Level::Sum, Index::Multiply(x, factor)) if **factor == Index::Constant(-1) && x.as_constant().is_none() => {
            text.push_str(" - ");
            write_index(text, x, task, Level::Product);
        }
        (Level::Sum, b) => {
            text.push_str(operator);
            write_index(text, b, task, Level::Product);
        }
        (_, b) => {
            text.push_str(operator);
            write_index(text, b, task, Level::Primary);
        }
    }
    if level > own {
        text.push(')');
    }
}

fn axis_text(axis: Axis, task: Axis) -> String {
    format!("{}{}", if axis == task { 't' } else { 'i' }, axis.0)
}

struct Printer<'a> {
    kernel: &'a Kernel,
    text: String,
    indent: usize,
}

impl Printer<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(&"  ".repeat(self.indent));
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn kernel(&mut self) {
        let kernel = self.kernel;
        let mut header = format!("kernel {}(", declared_name(&kernel.name));
        let mut before: Option<bool> = None;
        for memory in &kernel.memory {
            let scratch = matches!(memory.space, Space::Scratch { .. });
            header.push_str(match before {
                None => "",
                Some(before) if before == scratch => ", ",
                Some(_) => "; ",
            });
            let (name, dtype) = (declared_name(&memory.name), memory.dtype);
            let _ = match memory.space {
                Space::Parameter(access) => {
                    let part = if memory.part { " part" } else { "" };
                    write!(header, "{name}: {dtype} {}{part}", access.text())
                }
                Space::Scratch { elements } => write!(header, "scratch {name}: {dtype}[{elements}]"),
            };
            before = Some(scratch);
        }
        if before.is_some() {
            header.push_str("; ");
        }
        let _ = write!(header, "dims {}) task {} {{", kernel.dims, axis_text(kernel.task, kernel.task));
        self.line(&header);
        self.indent += 1;
        let unused: Vec<String> = self.unused_registers().into_iter().map(|register| self.typed(register)).collect();
        if !unused.is_empty() {
            self.line(&format!("unused {}", unused.join(", ")));
        }
        self.block(&kernel.body);
        self.indent -= 1;
        self.line("}");
    }

    fn unused_registers(&self) -> Vec<Register> {
        let mut defined = vec![false; self.kernel.registers.len()];
        mark_definitions(&self.kernel.body, &mut defined);
        (0..defined.len() as u32).map(Register).filter(|r| !defined[r.0 as usize]).collect()
    }

    fn typed(&self, register: Register) -> String {
        match self.kernel.registers.get(register.0 as usize) {
            Some(ty) => format!("%{}: {ty}", register.0),
            None => format!("%{}: ?", register.0),
        }
    }

    fn index(&self, index: &Index) -> String {
        print_index(index, self.kernel.task)
    }

    fn memory(&self, memory: MemoryId) -> String {
        reference(self.kernel.memory.iter().map(|m| m.name.as_str()), memory.0 as usize)
    }

    fn block(&mut self, statements: &[Statement]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    fn results(&self, results: &[Register]) -> String {
        match results {
            [] => String::new(),
            _ => format!("({}) = ", results.iter().map(|&r| self.typed(r)).collect::<Vec<_>>().join(", ")),
        }
    }

    fn nested(&mut self, statements: &[Statement], values: &[Register]) {
        self.indent += 1;
        self.block(statements);
        if !values.is_empty() {
            self.line(&format!("yield {}", registers(values)));
        }
        self.indent -= 1;
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Let(register, instruction) => {
                let line = format!("{} = {}", self.typed(*register), self.instruction(instruction));
                self.line(&line);
            }
            Statement::Store { memory, position, value, count } => {
                let target = format!("{}[{}]", self.memory(*memory), self.index(position));
                let line = format!("store {target}, %{}{}", value.0, self.count(count));
                self.line(&line);
            }
            Statement::Prefetch { memory, position } => {
                let line = format!("prefetch {}[{}]", self.memory(*memory), self.index(position));
                self.line(&line);
            }
            Statement::For(l) => {
                let step = if l.step == 1 { String::new() } else { format!(" step {}", l.step) };
                let independent = if l.independent { " independent" } else { "" };
                let carried: Vec<String> =
                    l.parameters.iter().zip(&l.initial).map(|(p, i)| format!("%{} = %{}", p.0, i.0)).collect();
                let carry = if carried.is_empty() { String::new() } else { format!(" carry ({})", carried.join(", ")) };
                let line = format!(
                    "{}for {} in {}..{}{step}{independent}{carry} {{",
                    self.results(&l.results),
                    axis_text(l.axis, self.kernel.task),
                    self.index(&l.start),
                    self.index(&l.end),
                );
                self.line(&line);
                self.nested(&l.body, &l.next);
                self.line("}");
            }
            Statement::If(branch) => {
                let line = format!("{}if %{} {{", self.results(&branch.results), branch.condition.0);
                self.line(&line);
                self.nested(&branch.then, &branch.then_values);
                if !branch.otherwise.is_empty() || !branch.otherwise_values.is_empty() {
                    self.line("} else {");
                    self.nested(&branch.otherwise, &branch.otherwise_values);
                }
                self.line("}");
            }
            Statement::Gemm(gemm) => {
                let line = format!(
                    "gemm {} {} {} * {} size {} by {} by {}",
                    self.matrix(&gemm.c),
                    if gemm.accumulate { "+=" } else { "=" },
                    self.matrix(&gemm.a),
                    self.matrix(&gemm.b),
                    self.index(&gemm.m),
                    self.index(&gemm.n),
                    self.index(&gemm.k),
                );
                self.line(&line);
            }
            Statement::Library(call) => {
                let regions = |regions: &[Region]| {
                    regions.iter().map(|region| self.region(region)).collect::<Vec<_>>().join(", ")
                };
                let attributes: Vec<String> = call.attributes.iter().map(|value| value.to_string()).collect();
                let line = format!(
                    "library {}({}) to ({}){}",
                    call.function.name(),
                    regions(&call.reads),
                    regions(&call.writes),
                    if attributes.is_empty() { String::new() } else { format!(" with {}", attributes.join(", ")) },
                );
                self.line(&line);
            }
            Statement::StoreTiles(tiles, value) => {
                let line = format!("store_tiles {}, %{}", self.tiles(tiles), value.0);
                self.line(&line);
            }
            Statement::StoreSpaced(spaced, value) => {
                let line = format!("store_spaced {}, %{}", self.spaced(spaced), value.0);
                self.line(&line);
            }
            Statement::Copy(copy) => {
                let strides = copy.from_strides.iter().map(|stride| format!("stride {}", self.index(stride)));
                let extents = copy.from_extents.iter().map(|extent| format!(", {} ", self.index(extent)));
                let axes: String =
                    [String::new()].into_iter().chain(extents).zip(strides).map(|(a, b)| a + &b).collect();
                let line = format!(
                    "copy {}[{} stride {}] = {}[{} line {} {axes}] size {} by {} of {} by {}",
                    self.memory(copy.to),
                    self.index(&copy.to_position),
                    copy.to_stride,
                    self.memory(copy.from),
                    self.index(&copy.from_position),
                    self.index(&copy.first_line),
                    copy.lines,
                    copy.elements,
                    self.index(&copy.valid_lines),
                    self.index(&copy.valid_elements),
                );
                self.line(&line);
            }
            Statement::CommitCopies => self.line("commit_copies"),
            Statement::AwaitCopies { pending } => self.line(&format!("await_copies {pending}")),
        }
    }

    fn tiles(&self, tiles: &Tiles) -> String {
        let Tiles { memory, position, lines, stride, across, steps } = tiles;
        let (memory, position) = (self.memory(*memory), self.index(position));
        format!("{memory}[{position} {} {stride}] warps {across} steps {}, {}", lines.text(), steps[0], steps[1])
    }

    fn spaced(&self, spaced: &Spaced) -> String {
        let Spaced { memory, position, steps } = spaced;
        let steps: Vec<String> = steps.iter().map(i64::to_string).collect();
        format!("{}[{} steps {}]", self.memory(*memory), self.index(position), steps.join(", "))
    }

    fn region(&self, region: &Region) -> String {
        format!("{} size {} by {}", self.matrix(&region.matrix), self.index(&region.rows), self.index(&region.columns))
    }

    fn matrix(&self, matrix: &Matrix) -> String {
        let strides = format!("{}, {}", self.index(&matrix.row_stride), self.index(&matrix.column_stride));
        format!("{}[{} strides {strides}]", self.memory(matrix.memory), self.index(&matrix.position))
    }

    fn count(&self, count: &Option<Index>) -> String {
        count.as_ref().map(|count| format!(" count {}", self.index(count))).unwrap_or_default()
    }

    fn instruction(&self, instruction: &Instruction) -> String {
        match instruction {
            Instruction::Constant(value) => format!("constant {}", scalar_text(*value)),
            Instruction::Position { index, step } => format!("position {} step {step}", self.index(index)),
            Instruction::Splat(x) => format!("splat %{}", x.0),
            Instruction::Unary(function, x) => format!("{} %{}", function.text(), x.0),
            Instruction::Binary(function, a, b) => format!("{} %{}, %{}", function.text(), a.0, b.0),
            Instruction::MultiplyAdd(a, b, c) => format!("multiply_add {}", registers(&[*a, *b, *c])),
            Instruction::MultiplyAddGroups(a, b, c) => format!("multiply_add_groups {}", registers(&[*a, *b, *c])),
            Instruction::Compare(function, a, b) => format!("{} %{}, %{}", function.text(), a.0, b.0),
            Instruction::Select(condition, a, b) => format!("select {}", registers(&[*condition, *a, *b])),
            Instruction::Convert(x) => format!("convert %{}", x.0),
            Instruction::Bitcast(x) => format!("bitcast %{}", x.0),
            Instruction::ReduceLanes(kind, x) => format!("reduce_{} %{}", reduction_text(*kind), x.0),
            Instruction::Interleave(half, a, b) => format!("{} %{}, %{}", half.interleave_text(), a.0, b.0),
            Instruction::Load { memory, position, count } => {
                format!("load {}[{}]{}", self.memory(*memory), self.index(position), self.count(count))
            }
            Instruction::Math(function, operands) => format!("math {}({})", function.name(), registers(operands)),
            Instruction::LoadSpaced(spaced) => format!("load_spaced {}", self.spaced(spaced)),
            Instruction::LoadTiles(tiles, side) => format!("load_{} {}", side_text(*side), self.tiles(tiles)),
            Instruction::MultiplyTiles(a, b, c) => format!("multiply_tiles {}", registers(&[*a, *b, *c])),
        }
    }
}

fn registers(registers: &[Register]) -> String {
    registers.iter().map(|r| format!("%{}", r.0)).collect::<Vec<_>>().join(", ")
}

pub(super) fn reduction_text(kind: Reduction) -> &'static str {
    match kind {
        Reduction::Sum => "sum",
        Reduction::Product => "product",
        Reduction::Max => "max",
        Reduction::Min => "min",
    }
}

fn side_text(side: Side) -> &'static str {
    match side {
        Side::Left => "left_tiles",
        Side::Right => "right_tiles",
        Side::Sums => "sum_tiles",
    }
}

/// Marks the registers that the statements define.
fn mark_definitions(statements: &[Statement], defined: &mut [bool]) {
    let mut define = |registers: &[Register]| {
        for register in registers {
            if let Some(flag) = defined.get_mut(register.0 as usize) {
                *flag = true;
            }
        }
    };
    for statement in statements {
        define(statement.results());
        if let Statement::For(l) = statement {
            define(&l.parameters);
        }
    }
    statements.iter().flat_map(Statement::blocks).for_each(|block| mark_definitions(block, defined));
}
