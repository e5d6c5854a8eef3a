//! Indices, as i64.

use super::translate::Translator;
use super::vector::Vector;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::*;
use cranelift_codegen::ir::{InstBuilder, Value};
use kc_ir::kernel::Index;

impl Translator<'_, '_> {
    pub fn index(&mut self, index: &Index) -> Value {
        match index {
            Index::Constant(value) => self.builder.ins().iconst(I64, *value),
            Index::Dim(number) => self.dims[*number as usize],
            Index::Axis(axis) => self.axes[axis],
            Index::Register(register) => {
                let dtype = self.kernel.registers[register.0 as usize].dtype;
                let x = self.register(*register);
                self.resize(&Vector { splat: None, ..x }, I64, dtype.is_signed_integer()).parts[0]
            }
            Index::Add(a, b) => {
                let (a, b) = (self.index(a), self.index(b));
                self.builder.ins().iadd(a, b)
            }
            Index::Multiply(a, b) => match b.as_constant() {
                Some(-1) => {
                    let a = self.index(a);
                    self.builder.ins().ineg(a)
                }
                _ => {
                    let (a, b) = (self.index(a), self.index(b));
                    self.builder.ins().imul(a, b)
                }
            },
            Index::Min(a, b) => {
                let (a, b) = (self.index(a), self.index(b));
                self.builder.ins().smin(a, b)
            }
            Index::Max(a, b) => {
                let (a, b) = (self.index(a), self.index(b));
                self.builder.ins().smax(a, b)
            }
            Index::FloorDiv(a, b) => match power_of_two(b) {
                Some(shift) => {
                    let (a, shift) = (self.index(a), self.integer(I64, shift));
                    self.builder.ins().sshr(a, shift)
                }
                None => {
                    let (a, b) = (self.index(a), self.index(b));
                    let (quotient, remainder) = self.divide(a, b);
                    // where the remainder is below 0, its upper bits are all ones: -1
                    let bits = self.integer(I64, 63);
                    let adjustment = self.builder.ins().sshr(remainder, bits);
                    self.builder.ins().iadd(quotient, adjustment)
                }
            },
            Index::Modulo(a, b) => match power_of_two(b) {
                Some(shift) => {
                    let (a, mask) = (self.index(a), self.integer(I64, (1 << shift) - 1));
                    self.builder.ins().band(a, mask)
                }
                None => {
                    let (a, b) = (self.index(a), self.index(b));
                    let (_, remainder) = self.divide(a, b);
                    let zero = self.integer(I64, 0);
                    let negative = self.builder.ins().icmp(IntCC::SignedLessThan, remainder, zero);
                    let raised = self.builder.ins().iadd(remainder, b);
                    self.builder.ins().select(negative, raised, remainder)
                }
            },
        }
    }

    /// Quotient, rounded toward zero, and remainder.
    fn divide(&mut self, a: Value, b: Value) -> (Value, Value) {
        let quotient = self.builder.ins().sdiv(a, b);
        let product = self.builder.ins().imul(quotient, b);
        (quotient, self.builder.ins().isub(a, product))
    }
}

fn power_of_two(index: &Index) -> Option<i64> {
    let value = index.as_constant()?;
    (value > 0 && value & (value - 1) == 0).then(|| i64::from(value.trailing_zeros()))
}
