//! Calls through the table of intrinsics.

use super::translate::Translator;
use super::vector::Vector;
use cranelift_codegen::ir::types::*;
use cranelift_codegen::ir::{AbiParam, InstBuilder, MemFlagsData, Signature, StackSlotData, StackSlotKind, Value};
use kc_ir::DType;
use kc_ir::kernel::{Gemm, LibraryCall, Matrix};
use kc_runtime::kc_abi::call::{Environment, GemmArguments, Intrinsics, MathFunction};
use kc_runtime::kc_abi::library::{Region, dtype_number};
use std::mem::{offset_of, size_of};

impl Translator<'_, '_> {
    /// A function of the table, by its offset.
    fn intrinsic(&mut self, offset: usize) -> Value {
        let flags = MemFlagsData::trusted().with_readonly();
        let table_offset = offset_of!(Environment, intrinsics) as i32;
        let table = self.builder.ins().load(I64, flags, self.environment, table_offset);
        self.builder.ins().load(I64, flags, table, offset as i32)
    }

    fn call(&mut self, offset: usize, parameters: &[Value], returns: &[AbiParam]) -> Vec<Value> {
        let function = self.intrinsic(offset);
        let mut signature = Signature::new(self.convention);
        signature.params = parameters.iter().map(|&x| AbiParam::new(self.builder.func.dfg.value_type(x))).collect();
        signature.returns = returns.to_vec();
        let signature = self.builder.import_signature(signature);
        let call = self.builder.ins().call_indirect(signature, function, parameters);
        self.builder.inst_results(call).to_vec()
    }

    pub fn math(&mut self, function: MathFunction, dtype: DType, operands: &[Vector]) -> Vector {
        let number = self.integer(I32, i64::from(function as u32));
        let offset = match operands.len() {
            1 => offset_of!(Intrinsics, math_f64),
            _ => offset_of!(Intrinsics, math2_f64),
        };
        let columns: Vec<Vec<Value>> = operands.iter().map(|x| self.lanes(x, dtype)).collect();
        let lanes = columns.first().map_or(0, Vec::len);
        let results: Vec<Value> = (0..lanes)
            .map(|lane| {
                let mut parameters = vec![number];
                for column in &columns {
                    let x = column[lane];
                    parameters.push(if dtype == DType::F32 { self.builder.ins().fpromote(F64, x) } else { x });
                }
                let result = self.call(offset, &parameters, &[AbiParam::new(F64)])[0];
                if dtype == DType::F32 { self.builder.ins().fdemote(F32, result) } else { result }
            })
            .collect();
        self.assemble(dtype, &results)
    }

    pub fn gemm(&mut self, gemm: &Gemm) {
        let arguments = match self.gemm_slot {
            Some(slot) => slot,
            None => {
                let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size_of::<GemmArguments>() as u32, 3);
                *self.gemm_slot.insert(self.builder.create_sized_stack_slot(data))
            }
        };
        let address = self.builder.ins().stack_addr(I64, arguments, 0);
        for (offset, index) in [
            (offset_of!(GemmArguments, m), &gemm.m),
            (offset_of!(GemmArguments, n), &gemm.n),
            (offset_of!(GemmArguments, k), &gemm.k),
            (offset_of!(GemmArguments, a_row_stride), &gemm.a.row_stride),
            (offset_of!(GemmArguments, a_column_stride), &gemm.a.column_stride),
            (offset_of!(GemmArguments, b_row_stride), &gemm.b.row_stride),
            (offset_of!(GemmArguments, b_column_stride), &gemm.b.column_stride),
            (offset_of!(GemmArguments, c_row_stride), &gemm.c.row_stride),
            (offset_of!(GemmArguments, c_column_stride), &gemm.c.column_stride),
        ] {
            let value = self.index(index);
            self.builder.ins().store(self.stack_flags, value, address, offset as i32);
        }
        for (offset, matrix) in [
            (offset_of!(GemmArguments, a), &gemm.a),
            (offset_of!(GemmArguments, b), &gemm.b),
            (offset_of!(GemmArguments, c), &gemm.c),
        ] {
            let pointer = self.matrix_address(matrix);
            self.builder.ins().store(self.stack_flags, pointer, address, offset as i32);
        }
        let accumulate = self.integer(I64, i64::from(gemm.accumulate));
        let offset = offset_of!(GemmArguments, accumulate) as i32;
        self.builder.ins().store(self.stack_flags, accumulate, address, offset);
        let function = match self.kernel.memory[gemm.c.memory.0 as usize].dtype {
            DType::F64 => offset_of!(Intrinsics, gemm_f64),
            _ => offset_of!(Intrinsics, gemm_f32),
        };
        self.call(function, &[address], &[]);
    }

    /// The regions, then the attributes, in one stack slot.
    pub fn library(&mut self, call: &LibraryCall) {
        let regions = call.regions().count();
        let attributes_at = regions * size_of::<Region>();
        let bytes = (attributes_at + call.attributes.len() * 8) as u32;
        let slot = match self.library_slot {
            Some((slot, known)) if known >= bytes => slot,
            _ => {
                let data = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes.max(8), 3);
                let slot = self.builder.create_sized_stack_slot(data);
                self.library_slot.insert((slot, bytes)).0
            }
        };
        let address = self.builder.ins().stack_addr(I64, slot, 0);
        for (number, region) in call.regions().enumerate() {
            let start = number * size_of::<Region>();
            let pointer = self.matrix_address(&region.matrix);
            let dtype = self.kernel.memory[region.matrix.memory.0 as usize].dtype;
            let fields = [
                (offset_of!(Region, pointer), pointer),
                (offset_of!(Region, rows), self.index(&region.rows)),
                (offset_of!(Region, columns), self.index(&region.columns)),
                (offset_of!(Region, row_stride), self.index(&region.matrix.row_stride)),
                (offset_of!(Region, column_stride), self.index(&region.matrix.column_stride)),
                (offset_of!(Region, dtype), self.integer(I64, dtype_number(dtype))),
            ];
            for (offset, value) in fields {
                self.builder.ins().store(self.stack_flags, value, address, (start + offset) as i32);
            }
        }
        for (number, &attribute) in call.attributes.iter().enumerate() {
            let value = self.integer(I64, attribute);
            self.builder.ins().store(self.stack_flags, value, address, (attributes_at + number * 8) as i32);
        }
        let function = self.integer(I64, i64::from(call.function as u32));
        let count = self.integer(I64, regions as i64);
        let attributes = self.builder.ins().stack_addr(I64, slot, attributes_at as i32);
        self.call(offset_of!(Intrinsics, library), &[function, address, count, attributes], &[]);
    }

    fn matrix_address(&mut self, matrix: &Matrix) -> Value {
        let number = matrix.memory.0 as usize;
        let bytes = self.kernel.memory[number].dtype.bytes() as i64;
        let position = self.index(&matrix.position);
        let shift = self.integer(I64, i64::from(bytes.trailing_zeros()));
        let scaled = self.builder.ins().ishl(position, shift);
        let base = self.bases[number];
        self.builder.ins().iadd(base, scaled)
    }
}
