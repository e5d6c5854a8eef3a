//! Index expressions and pointers.

use super::value::memory_type;
use super::{Known, Result, Translator};
use kc_ir::kernel::{Index, MemoryId};

impl Translator<'_> {
    /// The pointer to an element.
    pub(super) fn address(&mut self, memory: MemoryId, position: &Index) -> Result<String> {
        let element = memory_type(self.memory_dtype(memory)?, 1);
        let (position, offset) = match position {
            Index::Constant(offset) => (None, *offset),
            Index::Add(a, b) if b.as_constant().is_some() => (Some(&**a), b.as_constant().unwrap_or(0)),
            other => (Some(other), 0),
        };
        let mut pointer = self.pointers[memory.0 as usize].clone();
        if let Some(position) = position {
            let index = self.index(position)?;
            pointer =
                self.op(&format!("llvm.getelementptr {pointer}[{index}] : (!llvm.ptr, i64) -> !llvm.ptr, {element}"));
        }
        if offset != 0 {
            let index = self.i64(offset);
            pointer =
                self.op(&format!("llvm.getelementptr {pointer}[{index}] : (!llvm.ptr, i64) -> !llvm.ptr, {element}"));
        }
        Ok(pointer)
    }

    /// The value of an index expression, an `i64`.
    pub(super) fn index(&mut self, index: &Index) -> Result<String> {
        match index {
            Index::Constant(value) => return Ok(self.i64(*value)),
            Index::Dim(dim) if *dim < self.kernel.dims => return Ok(format!("%d{dim}")),
            Index::Dim(dim) => {
                return self.error(format!("dimension {dim} is not among the {} declared", self.kernel.dims));
            }
            Index::Axis(axis) => {
                return match self.axes.get(&axis.0) {
                    Some(name) => Ok(name.clone()),
                    None => self.error(format!("axis {} is used outside its loop", axis.0)),
                };
            }
            _ => (),
        }
        let key = Known::Index(index.clone());
        if let Some(name) = self.known(&key) {
            return Ok(name);
        }
        let name = self.index_operation(index)?;
        self.remember(key, &name);
        Ok(name)
    }

    fn index_operation(&mut self, index: &Index) -> Result<String> {
        let (a, b, operation) = match index {
            Index::Constant(_) | Index::Dim(_) | Index::Axis(_) => return self.index(index),
            Index::Register(register) => {
                let ty = self.kernel.registers[register.0 as usize];
                let value = self.register(*register)?;
                return Ok(match (ty.dtype.bits(), ty.dtype.is_signed_integer()) {
                    (64, _) => value,
                    (bits, true) => self.op(&format!("arith.extsi {value} : i{bits} to i64")),
                    (bits, false) => self.op(&format!("arith.extui {value} : i{bits} to i64")),
                });
            }
            Index::Add(a, b) => (a, b, "arith.addi"),
            Index::Multiply(a, b) => (a, b, "arith.muli"),
            Index::Min(a, b) => (a, b, "arith.minsi"),
            Index::Max(a, b) => (a, b, "arith.maxsi"),
            Index::FloorDiv(a, b) | Index::Modulo(a, b) => {
                return self.floor_division(a, b, matches!(index, Index::FloorDiv(..)));
            }
        };
        let (a, b) = (self.index(a)?, self.index(b)?);
        Ok(self.op(&format!("{operation} {a}, {b} : i64")))
    }

    /// Quotient or remainder of the division that rounds down, by a divisor above 0.
    fn floor_division(&mut self, a: &Index, b: &Index, quotient: bool) -> Result<String> {
        let x = self.index(a)?;
        if let Some(power) = b.as_constant().filter(|b| *b > 0 && b.count_ones() == 1) {
            let (operation, by) =
                if quotient { ("shrsi", i64::from(power.trailing_zeros())) } else { ("andi", power - 1) };
            let by = self.i64(by);
            return Ok(self.op(&format!("arith.{operation} {x}, {by} : i64")));
        }
        let (y, zero) = (self.index(b)?, self.i64(0));
        let remainder = self.op(&format!("arith.remsi {x}, {y} : i64"));
        let negative = self.op(&format!("arith.cmpi slt, {remainder}, {zero} : i64"));
        if quotient {
            let truncated = self.op(&format!("arith.divsi {x}, {y} : i64"));
            let correction = self.op(&format!("arith.extsi {negative} : i1 to i64"));
            return Ok(self.op(&format!("arith.addi {truncated}, {correction} : i64")));
        }
        let raised = self.op(&format!("arith.addi {remainder}, {y} : i64"));
        Ok(self.op(&format!("arith.select {negative}, {raised}, {remainder} : i64")))
    }
}
