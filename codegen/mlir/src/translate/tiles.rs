//! Fragments of matrices in a warp's registers, products of tensor cores, and copies that go on beside: see `kc_ir::kernel::fragment`.

use super::value::lane_type;
use super::{Result, Translator};
use kc_abi::DType;
use kc_ir::kernel::fragment::HELD;
use kc_ir::kernel::{Lines, Register, Side, TileCopy, Tiles};
use std::fmt::Write;

/// Bytes that one instruction copies beside, the most first.
const PIECES: [i64; 3] = [16, 8, 4];

/// Elements of a fragment's 16 bytes of a line.
const LINE: i64 = 8;

impl Translator<'_> {
    /// An `i64` that only depends on the thread, computed once; `compute` gets a function that adds an operation.
    pub(super) fn of_thread(
        &mut self,
        key: String,
        compute: impl FnOnce(&mut dyn FnMut(&str) -> String) -> String,
    ) -> String {
        if let Some(name) = self.constants.get(&key) {
            return name.clone();
        }
        let number = self.constants.len();
        let (mut text, mut count) = (String::new(), 0);
        let name = compute(&mut |operation| {
            let name = format!("%t{number}_{count}");
            count += 1;
            let _ = writeln!(text, "    {name} = {operation} : i64");
            name
        });
        self.prelude.push_str(&text);
        self.constants.insert(key, name.clone());
        name
    }

    /// Elements from the first warp's matrix to what a thread touches of its own: `line` and `place` name the bits of the thread's number within
    /// its warp that choose the line and the place on it, each with what one of the lowest bit is worth.
    fn thread_offset(&mut self, tiles: &Tiles, line: &[(u32, i64)], place: &[(u32, i64)]) -> Result<String> {
        let powers = [tiles.across, 1 << tiles.across.trailing_zeros()];
        if powers[0] != powers[1] {
            return self.error(format!("{} warps beside each other; expected a power of two", tiles.across));
        }
        let key = format!("offset {} {} {:?} {line:?} {place:?}", tiles.stride, tiles.across, tiles.steps);
        let mut terms: Vec<(u32, i64, i64)> = vec![];
        for (bits, worth) in [(line, tiles.stride), (place, 1)] {
            terms.extend(bits.iter().map(|&(bit, each)| (bit, 1, each * worth)));
        }
        let columns = i64::from(tiles.across.trailing_zeros());
        Ok(self.of_thread(key, |add| {
            let constant = |value: i64, add: &mut dyn FnMut(&str) -> String| add(&format!("arith.constant {value}"));
            let mut sum = constant(0, add);
            let mut term = |shift: i64, mask: i64, factor: i64, add: &mut dyn FnMut(&str) -> String| {
                let [shift, mask, factor] = [shift, mask, factor].map(|value| constant(value, add));
                let part = add(&format!("arith.shrui %thread, {shift}"));
                let part = add(&format!("arith.andi {part}, {mask}"));
                let part = add(&format!("arith.muli {part}, {factor}"));
                sum = add(&format!("arith.addi {sum}, {part}"));
            };
            for (bit, mask, factor) in terms {
                term(bit.into(), mask, factor, add);
            }
            term(5, tiles.across - 1, tiles.steps[1], add);
            term(5 + columns, i64::MAX, tiles.steps[0], add);
            sum
        }))
    }

    /// The pointer to what a thread touches in shared memory.
    fn tile_pointer(&mut self, tiles: &Tiles, offset: &str) -> Result<String> {
        let element = lane_type(self.memory_dtype(tiles.memory)?);
        let pointer = format!("{}.shared", self.pointers[tiles.memory.0 as usize]);
        let position = self.index(&tiles.position)?;
        let pointer = self
            .op(&format!("llvm.getelementptr {pointer}[{offset}] : (!llvm.ptr<3>, i64) -> !llvm.ptr<3>, {element}"));
        Ok(self
            .op(&format!("llvm.getelementptr {pointer}[{position}] : (!llvm.ptr<3>, i64) -> !llvm.ptr<3>, {element}")))
    }

    fn check_fragment(&self, register: Register) -> Result<()> {
        if !self.cpu.is_gpu() {
            return self.error("matrices of tensor cores, which only GPUs have");
        }
        match self.kernel.registers[register.0 as usize].lanes {
            lanes if lanes as usize == HELD => Ok(()),
            lanes => self.error(format!("a thread has {lanes} elements of a fragment, expected {HELD}")),
        }
    }

    pub(super) fn load_tiles(&mut self, register: Register, tiles: &Tiles, side: Side) -> Result<String> {
        self.check_fragment(register)?;
        let dtype = self.memory_dtype(tiles.memory)?;
        let divisor = self.spread.as_ref().map_or(1, |spread| spread.divisor(&tiles.position));
        let of_line = [divisor, tiles.stride, tiles.steps[0], tiles.steps[1]];
        if dtype.bytes() != 2 || of_line.iter().any(|elements| elements % LINE != 0) {
            return self.error(format!("tiles of {dtype} that start at no multiple of {LINE} elements of two bytes"));
        }
        self.access(tiles.memory, &tiles.position, 0, false);
        // thread t gives the address of a line: of matrix t / 8 of four of 8 by 8 elements
        let transposed = (side == Side::Left) == (tiles.lines == Lines::Columns);
        let (line, place) = if tiles.lines == Lines::Rows { (3, 4) } else { (4, 3) };
        let offset = self.thread_offset(tiles, &[(0, 1), (1, 2), (2, 4), (line, 8)], &[(place, 8)])?;
        let pointer = self.tile_pointer(tiles, &offset)?;
        let four = "!llvm.struct<(i32, i32, i32, i32)>";
        let transposed = if transposed { ".trans" } else { "" };
        let words = self.op(&format!(
            "llvm.call_intrinsic \"llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4{transposed}.b16.p3\"({pointer}) : (!llvm.ptr<3>) -> {four}"
        ));
        let parts: Vec<String> =
            (0..4).map(|word| self.op(&format!("llvm.extractvalue {words}[{word}] : {four}"))).collect();
        let words = self.op(&format!("vector.from_elements {} : vector<4xi32>", parts.join(", ")));
        Ok(self.op(&format!("vector.bitcast {words} : vector<4xi32> to vector<8xi16>")))
    }

    /// Two products of 16 by 8 elements side by side.
    pub(super) fn multiply_tiles(&mut self, a: Register, b: Register, c: Register) -> Result<String> {
        self.check_fragment(c)?;
        let dtype = self.kernel.registers[a.0 as usize].dtype;
        if dtype == DType::F32 {
            return self.multiply_tf32_tiles(a, b, c);
        }
        let (name, word) = match dtype {
            DType::Bf16 => ("bf16", "i32"),
            DType::F16 => ("f32.f32", "vector<2xf16>"),
            other => return self.error(format!("a product of tiles of {other}, expected f16, bf16 or f32")),
        };
        let mut operands = vec![];
        for register in [a, b] {
            let value = self.register(register)?;
            let words = self.op(&format!("vector.bitcast {value} : vector<8xi16> to vector<4xi32>"));
            let mut parts = vec![];
            for number in 0..4 {
                let mut part = self.op(&format!("vector.extract {words}[{number}] : i32 from vector<4xi32>"));
                if word != "i32" {
                    part = self.op(&format!("llvm.bitcast {part} : i32 to {word}"));
                }
                parts.push(part);
            }
            operands.push(parts);
        }
        let sums = self.register(c)?;
        let four = "!llvm.struct<(f32, f32, f32, f32)>";
        let mut results = vec![];
        for half in 0..2 {
            let mut arguments = [&operands[0][..], &operands[1][2 * half..2 * half + 2]].concat();
            for number in 0..4 {
                let place = 4 * half + number;
                arguments.push(self.op(&format!("vector.extract {sums}[{place}] : f32 from vector<8xf32>")));
            }
            let types = [vec![word; 6], vec!["f32"; 4]].concat().join(", ");
            let product = self.op(&format!(
                "llvm.call_intrinsic \"llvm.nvvm.mma.m16n8k16.row.col.{name}\"({}) : ({types}) -> {four}",
                arguments.join(", ")
            ));
            for number in 0..4 {
                results.push(self.op(&format!("llvm.extractvalue {product}[{number}] : {four}")));
            }
        }
        Ok(self.op(&format!("vector.from_elements {} : vector<8xf32>", results.join(", "))))
    }

    /// Four products of 16 by 8 and 8 by 8 elements. An instruction's summed values are any eight, of both operands the same: here the neighbours
    /// that a thread has are those that the instruction wants four apart.
    fn multiply_tf32_tiles(&mut self, a: Register, b: Register, c: Register) -> Result<String> {
        let mut rounded = vec![];
        for register in [a, b] {
            let value = self.register(register)?;
            let mut lanes = vec![];
            for lane in 0..HELD {
                let x = self.op(&format!("vector.extract {value}[{lane}] : f32 from vector<8xf32>"));
                lanes.push(self.op(&format!("llvm.call_intrinsic \"llvm.nvvm.f2tf32.rna\"({x}) : (f32) -> i32")));
            }
            rounded.push(lanes);
        }
        let sums = self.register(c)?;
        let four = "!llvm.struct<(f32, f32, f32, f32)>";
        let types = [vec!["i32"; 6], vec!["f32"; 4]].concat().join(", ");
        let mut results = vec![];
        for columns in 0..2 {
            let mut held: Vec<String> = (0..4)
                .map(|number| {
                    self.op(&format!("vector.extract {sums}[{}] : f32 from vector<8xf32>", 4 * columns + number))
                })
                .collect();
            for summed in 0..2 {
                let left = [0, 2, 1, 3].map(|element| rounded[0][4 * summed + element].clone());
                let right = [0, 1].map(|element| rounded[1][4 * columns + 2 * summed + element].clone());
                let arguments = [&left[..], &right[..], &held[..]].concat().join(", ");
                let product = self.op(&format!(
                    "llvm.call_intrinsic \"llvm.nvvm.mma.m16n8k8.row.col.tf32\"({arguments}) : ({types}) -> {four}"
                ));
                held =
                    (0..4).map(|number| self.op(&format!("llvm.extractvalue {product}[{number}] : {four}"))).collect();
            }
            results.extend(held);
        }
        Ok(self.op(&format!("vector.from_elements {} : vector<8xf32>", results.join(", "))))
    }

    pub(super) fn store_tiles(&mut self, tiles: &Tiles, value: Register) -> Result<()> {
        self.check_fragment(value)?;
        let divisor = self.spread.as_ref().map_or(1, |spread| spread.divisor(&tiles.position));
        if [divisor, tiles.stride, tiles.steps[0], tiles.steps[1]].iter().any(|elements| elements % 2 != 0) {
            return self.error("tiles of sums that start at odd places");
        }
        self.access(tiles.memory, &tiles.position, 0, true);
        let value = self.register(value)?;
        let offset = self.thread_offset(tiles, &[(2, 1), (3, 2), (4, 4)], &[(0, 2), (1, 4)])?;
        let pointer = self.tile_pointer(tiles, &offset)?;
        for pair in 0..4 {
            let [row, column] = [8 * (pair % 2), 8 * (pair / 2)];
            let within = self.i64(row * tiles.stride + column);
            let place =
                self.op(&format!("llvm.getelementptr {pointer}[{within}] : (!llvm.ptr<3>, i64) -> !llvm.ptr<3>, f32"));
            let [low, high] = [2 * pair, 2 * pair + 1]
                .map(|lane| self.op(&format!("vector.extract {value}[{lane}] : f32 from vector<8xf32>")));
            let both = self.op(&format!("vector.from_elements {low}, {high} : vector<2xf32>"));
            self.line(&format!("llvm.store {both}, {place} {{alignment = 8 : i64}} : vector<2xf32>, !llvm.ptr<3>"));
        }
        Ok(())
    }

    /// Each thread copies pieces of lines. What writes shared memory needs no barrier here: that is the statement's rule.
    pub(super) fn copy(&mut self, copy: &TileCopy) -> Result<()> {
        let Some(spread) = &self.spread else { return self.error("copies that go on beside, which only GPUs have") };
        let (threads, dtype) = (i64::from(spread.threads), self.memory_dtype(copy.to)?);
        let size = dtype.bytes() as i64;
        let places = [&copy.to_position, &copy.from_position].into_iter().chain(&copy.from_strides);
        let places: Vec<i64> = places.map(|index| spread.divisor(index)).collect();
        let fits = |bytes: &i64| {
            let elements = bytes / size;
            let mut all = places.iter().chain([&copy.to_stride, &copy.elements]);
            elements > 0 && all.all(|place| place % elements == 0)
        };
        let starts_anywhere = self.kernel.memory[copy.from.0 as usize].part;
        let bytes = PIECES.into_iter().find(fits).filter(|_| !starts_anywhere);
        let held = bytes.map_or(1, |bytes| bytes / size);
        let across = copy.elements / held;
        if threads % across != 0 || copy.lines * across % threads != 0 {
            let TileCopy { lines, elements, .. } = copy;
            return self.error(format!("a copy of {lines} lines of {elements} elements by {threads} threads"));
        }
        self.access(copy.from, &copy.from_position, 0, false);
        let element = self.of_thread(format!("copied element {across} {held}"), |add| {
            let [last, held] = [across - 1, held].map(|value| add(&format!("arith.constant {value}")));
            let place = add(&format!("arith.andi %thread, {last}"));
            add(&format!("arith.muli {place}, {held}"))
        });
        let line = self.of_thread(format!("copied line {across}"), |add| {
            let shift = add(&format!("arith.constant {}", across.trailing_zeros()));
            add(&format!("arith.shrui %thread, {shift}"))
        });
        let ty = lane_type(dtype);
        let [to_position, from_position, first_line, valid_lines, valid_elements] =
            [&copy.to_position, &copy.from_position, &copy.first_line, &copy.valid_lines, &copy.valid_elements]
                .map(|index| self.index(index));
        let (to_position, from_position, first_line) = (to_position?, from_position?, first_line?);
        let (valid_lines, valid_elements) = (valid_lines?, valid_elements?);
        let strides = copy.from_strides.iter().map(|stride| self.index(stride)).collect::<Result<Vec<_>>>()?;
        let extents = copy.from_extents.iter().map(|extent| self.index(extent)).collect::<Result<Vec<_>>>()?;
        let [zero, held_constant, size_constant] = [0, held, size].map(|value| self.i64(value));
        // elements of the thread's piece that each line has
        let rest = self.op(&format!("arith.subi {valid_elements}, {element} : i64"));
        let rest = self.op(&format!("arith.maxsi {rest}, {zero} : i64"));
        let valid = self.op(&format!("arith.minsi {rest}, {held_constant} : i64"));
        let to_stride = self.i64(copy.to_stride);
        let to = format!("{}.shared", self.pointers[copy.to.0 as usize]);
        let from = self.pointers[copy.from.0 as usize].clone();
        for number in 0..copy.lines * across / threads {
            let first = self.i64(number * threads / across);
            let line = self.op(&format!("arith.addi {line}, {first} : i64"));
            let offset = self.op(&format!("arith.muli {line}, {to_stride} : i64"));
            let offset = self.op(&format!("arith.addi {offset}, {element} : i64"));
            let offset = self.op(&format!("arith.addi {offset}, {to_position} : i64"));
            let to = self.op(&format!("llvm.getelementptr {to}[{offset}] : (!llvm.ptr<3>, i64) -> !llvm.ptr<3>, {ty}"));
            // the line's number is not negative
            let mut rest = self.op(&format!("arith.addi {line}, {first_line} : i64"));
            let mut offset = self.op(&format!("arith.addi {element}, {from_position} : i64"));
            for (axis, stride) in strides.iter().enumerate().rev() {
                let mut along = rest.clone();
                if axis > 0 {
                    along = self.op(&format!("arith.remui {rest}, {} : i64", extents[axis - 1]));
                    rest = self.op(&format!("arith.divui {rest}, {} : i64", extents[axis - 1]));
                }
                let part = self.op(&format!("arith.muli {along}, {stride} : i64"));
                offset = self.op(&format!("arith.addi {offset}, {part} : i64"));
            }
            let from = self.op(&format!("llvm.getelementptr {from}[{offset}] : (!llvm.ptr, i64) -> !llvm.ptr, {ty}"));
            let has_line = self.op(&format!("arith.cmpi slt, {line}, {valid_lines} : i64"));
            let valid = self.op(&format!("arith.select {has_line}, {valid}, {zero} : i64"));
            let Some(bytes) = bytes else {
                self.copy_element(&to, &from, &valid, ty);
                continue;
            };
            let given = self.op(&format!("arith.muli {valid}, {size_constant} : i64"));
            let given = self.op(&format!("arith.trunci {given} : i64 to i32"));
            let from = self.op(&format!("llvm.addrspacecast {from} : !llvm.ptr to !llvm.ptr<1>"));
            // past the nearest cache, where a piece is as long as that admits
            let cache = if bytes == 16 { "cg" } else { "ca" };
            self.line(&format!(
                "llvm.call_intrinsic \"llvm.nvvm.cp.async.{cache}.shared.global.{bytes}.s\"({to}, {from}, {given}) : (!llvm.ptr<3>, !llvm.ptr<1>, i32) -> ()"
            ));
        }
        if bytes.is_none() {
            // threads with and without an element go on together, as products need them
            let all = self.int_constant(32, -1, 1);
            self.line(&format!("llvm.call_intrinsic \"llvm.nvvm.bar.warp.sync\"({all}) : (i32) -> ()"));
        }
        Ok(())
    }

    /// An element that no instruction copies beside.
    fn copy_element(&mut self, to: &str, from: &str, valid: &str, ty: &str) {
        let zero = self.i64(0);
        let is_there = self.op(&format!("arith.cmpi sgt, {valid}, {zero} : i64"));
        let value = self.op(&format!("scf.if {is_there} -> ({ty}) {{"));
        let read = self.op(&format!("llvm.load {from} : !llvm.ptr -> {ty}"));
        self.line(&format!("scf.yield {read} : {ty}"));
        self.line("} else {");
        let none = if ty == "f32" { "0.0" } else { "0" };
        let none = self.constant_text(format!("{none} : {ty}"));
        self.line(&format!("scf.yield {none} : {ty}"));
        self.line("}");
        self.line(&format!("llvm.store {value}, {to} : {ty}, !llvm.ptr<3>"));
    }

    pub(super) fn commit_copies(&mut self) -> Result<()> {
        if !self.cpu.is_gpu() {
            return self.error("copies that go on beside, which only GPUs have");
        }
        self.line("llvm.call_intrinsic \"llvm.nvvm.cp.async.commit.group\"() : () -> ()");
        Ok(())
    }

    /// Each thread waits for its own copies, then for the others'.
    pub(super) fn await_copies(&mut self, pending: u32) -> Result<()> {
        if !self.cpu.is_gpu() {
            return self.error("copies that go on beside, which only GPUs have");
        }
        let pending = self.int_constant(32, pending.into(), 1);
        self.line(&format!("llvm.call_intrinsic \"llvm.nvvm.cp.async.wait.group\"({pending}) : (i32) -> ()"));
        self.barrier();
        if let Some(spread) = &mut self.spread {
            spread.pending.clear();
        }
        Ok(())
    }
}
