//! Loads and stores.

use super::translate::Translator;
use super::vector::{Vector, element_of, integer_of_bytes, part_count, vector_type};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::*;
use cranelift_codegen::ir::{BlockArg, InstBuilder, MemFlagsData, StackSlot, Type, Value};
use kc_ir::DType;
use kc_ir::kernel::{Index, MemoryId, Register};

/// Where an access starts: an address and a number of bytes behind it.
#[derive(Clone, Copy)]
struct Place {
    address: Value,
    offset: i32,
    flags: MemFlagsData,
}

impl Place {
    fn plus(self, bytes: u32) -> Self {
        Place { offset: self.offset + bytes as i32, ..self }
    }
}

/// How many lanes are accessed.
enum Count {
    All,
    /// Fewer than all, known.
    Some(u32),
    /// To be compared with the number of lanes when the kernel runs.
    Dynamic(Value),
}

impl Translator<'_, '_> {
    fn place(&mut self, memory: MemoryId, position: &Index) -> Place {
        let number = memory.0 as usize;
        let bytes = self.kernel.memory[number].dtype.bytes() as i64;
        // what is added last and known goes into the instruction
        let (position, offset) = match position {
            Index::Add(rest, last) => match last.as_constant().and_then(|last| last.checked_mul(bytes)) {
                Some(offset) if offset.unsigned_abs() < 1 << 30 => (&**rest, offset as i32),
                _ => (position, 0),
            },
            Index::Constant(value) => match value.checked_mul(bytes) {
                Some(offset) if offset.unsigned_abs() < 1 << 30 => (&Index::Constant(0), offset as i32),
                _ => (position, 0),
            },
            _ => (position, 0),
        };
        let (base, flags) = (self.bases[number], self.flags[number]);
        if position.as_constant() == Some(0) {
            return Place { address: base, offset, flags };
        }
        let elements = self.index(position);
        let shift = self.integer(I64, i64::from(bytes.trailing_zeros()));
        let scaled = if bytes == 1 { elements } else { self.builder.ins().ishl(elements, shift) };
        Place { address: self.builder.ins().iadd(base, scaled), offset, flags }
    }

    fn count(&mut self, count: Option<&Index>, lanes: u32) -> Count {
        match count {
            None => Count::All,
            Some(Index::Constant(value)) if *value >= i64::from(lanes) => Count::All,
            Some(Index::Constant(value)) => Count::Some((*value).max(0) as u32),
            Some(count) => Count::Dynamic(self.index(count)),
        }
    }

    /// The stack slot through which partial accesses go, large enough for any register.
    fn slot(&self) -> StackSlot {
        self.slot
    }

    fn slot_place(&mut self) -> Place {
        let slot = self.slot();
        let address = self.builder.ins().stack_addr(I64, slot, 0);
        Place { address, offset: 0, flags: self.stack_flags }
    }

    pub fn load(&mut self, memory: MemoryId, position: &Index, count: Option<&Index>, lanes: u32) -> Vector {
        let dtype = self.kernel.memory[memory.0 as usize].dtype;
        let place = self.place(memory, position);
        let element = element_of(dtype);
        let parts = match self.count(count, lanes) {
            Count::All => self.load_parts(place, element, lanes),
            Count::Some(count) => {
                let slot = self.slot_place();
                self.zero(slot, element.bytes() * lanes);
                self.copy_known(place, slot, element.bytes() * count);
                self.load_parts(slot, element, lanes)
            }
            Count::Dynamic(count) => {
                let (full, partial, join) =
                    (self.builder.create_block(), self.builder.create_block(), self.builder.create_block());
                let parts_number = part_count(element, lanes);
                let ty = super::vector::part_type(element, lanes);
                for _ in 0..parts_number {
                    self.builder.append_block_param(join, ty);
                }
                let all = self.integer(I64, i64::from(lanes));
                let enough = self.builder.ins().icmp(IntCC::SignedGreaterThanOrEqual, count, all);
                self.builder.ins().brif(enough, full, &[], partial, &[]);
                self.builder.set_cold_block(partial);
                self.builder.switch_to_block(full);
                let parts = self.load_parts(place, element, lanes);
                self.jump(join, &parts);
                self.builder.switch_to_block(partial);
                let slot = self.slot_place();
                self.zero(slot, element.bytes() * lanes);
                self.copy_counted(place, slot, element, count);
                let parts = self.load_parts(slot, element, lanes);
                self.jump(join, &parts);
                self.builder.switch_to_block(join);
                self.builder.block_params(join).to_vec()
            }
        };
        let loaded = Vector { element, lanes, parts, splat: None };
        match (dtype, lanes) {
            (DType::Bool, 1) => {
                let zero = self.integer(I8, 0);
                let truth = self.builder.ins().icmp(IntCC::NotEqual, loaded.parts[0], zero);
                Vector::scalar(I8, truth)
            }
            (DType::Bool, _) => self.mask_of_bytes(&loaded),
            (_, 1) => Vector::scalar(element, loaded.parts[0]),
            _ => loaded,
        }
    }

    pub fn store(&mut self, memory: MemoryId, position: &Index, value: Register, count: Option<&Index>) {
        let dtype = self.kernel.memory[memory.0 as usize].dtype;
        let mut value = self.register(value);
        if dtype == DType::Bool && value.lanes > 1 {
            let bytes = self.mask(&value, I8);
            value = self.map(&bytes, |t, part| {
                let one = t.integer(I8X16, 1);
                t.builder.ins().band(part, one)
            });
        }
        let place = self.place(memory, position);
        match self.count(count, value.lanes) {
            Count::All => self.store_parts(place, &value),
            Count::Some(count) => {
                let slot = self.slot_place();
                self.store_parts(slot, &value);
                self.copy_known(slot, place, value.element.bytes() * count);
            }
            Count::Dynamic(count) => {
                let (full, partial, join) =
                    (self.builder.create_block(), self.builder.create_block(), self.builder.create_block());
                let all = self.integer(I64, i64::from(value.lanes));
                let enough = self.builder.ins().icmp(IntCC::SignedGreaterThanOrEqual, count, all);
                self.builder.ins().brif(enough, full, &[], partial, &[]);
                self.builder.set_cold_block(partial);
                self.builder.switch_to_block(full);
                self.store_parts(place, &value);
                self.jump(join, &[]);
                self.builder.switch_to_block(partial);
                let slot = self.slot_place();
                self.store_parts(slot, &value);
                self.copy_counted(slot, place, value.element, count);
                self.jump(join, &[]);
                self.builder.switch_to_block(join);
            }
        }
    }

    fn load_at(&mut self, ty: Type, place: Place) -> Value {
        self.builder.ins().load(ty, place.flags, place.address, place.offset)
    }

    fn store_at(&mut self, value: Value, place: Place) {
        self.builder.ins().store(place.flags, value, place.address, place.offset);
    }

    fn load_parts(&mut self, place: Place, element: Type, lanes: u32) -> Vec<Value> {
        if lanes == 1 {
            return vec![self.load_at(element, place)];
        }
        let (bytes, ty) = (element.bytes() * lanes, vector_type(element));
        if bytes < 16 {
            let whole = integer_of_bytes(bytes);
            let value = self.load_at(whole, place);
            let vector = if whole == I16 {
                let wide = self.builder.ins().uextend(I32, value);
                self.builder.ins().scalar_to_vector(I32X4, wide)
            } else {
                self.builder.ins().scalar_to_vector(vector_type(whole), value)
            };
            return vec![self.cast(ty, vector)];
        }
        (0..bytes / 16).map(|part| self.load_at(ty, place.plus(part * 16))).collect()
    }

    fn store_parts(&mut self, place: Place, value: &Vector) {
        let bytes = value.element.bytes() * value.lanes;
        if value.lanes > 1 && bytes < 16 {
            let whole = integer_of_bytes(bytes);
            let vector = self.cast(vector_type(whole), value.parts[0]);
            let low = self.builder.ins().extractlane(vector, 0u8);
            self.store_at(low, place);
            return;
        }
        for (number, &part) in (0..).zip(&value.parts) {
            self.store_at(part, place.plus(number * 16));
        }
    }

    fn zero(&mut self, place: Place, bytes: u32) {
        for (ty, at) in pieces(bytes) {
            let zero = self.integer(ty, 0);
            self.store_at(zero, place.plus(at));
        }
    }

    fn copy_known(&mut self, from: Place, to: Place, bytes: u32) {
        for (ty, at) in pieces(bytes) {
            let value = self.load_at(ty, from.plus(at));
            self.store_at(value, to.plus(at));
        }
    }

    /// Copies `count` elements one by one; none where it is below 1.
    fn copy_counted(&mut self, from: Place, to: Place, element: Type, count: Value) {
        let (body, exit) = (self.builder.create_block(), self.builder.create_block());
        let zero = self.integer(I64, 0);
        let some = self.builder.ins().icmp(IntCC::SignedGreaterThan, count, zero);
        self.builder.ins().brif(some, body, &[BlockArg::from(zero)], exit, &[]);
        let number = self.builder.append_block_param(body, I64);
        self.builder.set_cold_block(body);
        self.builder.switch_to_block(body);
        let shift = self.integer(I64, i64::from(element.bytes().trailing_zeros()));
        let bytes = self.builder.ins().ishl(number, shift);
        let source = Place { address: self.builder.ins().iadd(from.address, bytes), ..from };
        let value = self.load_at(element, source);
        let target = Place { address: self.builder.ins().iadd(to.address, bytes), ..to };
        self.store_at(value, target);
        let one = self.integer(I64, 1);
        let next = self.builder.ins().iadd(number, one);
        let more = self.builder.ins().icmp(IntCC::SignedLessThan, next, count);
        self.builder.ins().brif(more, body, &[BlockArg::from(next)], exit, &[]);
        self.builder.switch_to_block(exit);
    }
}

/// Types and offsets of as few accesses as make up that many bytes.
fn pieces(bytes: u32) -> impl Iterator<Item = (Type, u32)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let ty = [I64X2, I64, I32, I16, I8].into_iter().find(|ty| at + ty.bytes() <= bytes)?;
        at += ty.bytes();
        Some((ty, at - ty.bytes()))
    })
}
