//! Scalar functions in f64 for machines that the runtime's table does not reach.

use super::Translator;
use kc_abi::call::MathFunction;
use std::fmt::Write;

/// Every function of the table.
fn functions() -> impl Iterator<Item = MathFunction> {
    (0..=MathFunction::Rem as u32).filter_map(MathFunction::from_number)
}

/// What a function is called in [`crate::machine::DEVICE_MATH`].
fn symbol(function: MathFunction) -> String {
    format!("kc_math_{}", function.name())
}

/// Declarations of the functions that the text of kernels calls.
pub fn declarations(text: &str) -> String {
    let mut declared = String::new();
    for function in functions().filter(|&function| text.contains(&format!("@{}(", symbol(function)))) {
        let operands = vec!["f64"; function.operands()].join(", ");
        let _ = writeln!(declared, "  llvm.func @{}({operands}) -> f64", symbol(function));
    }
    declared
}

impl Translator<'_> {
    /// A function of the table in f64, without the table: the runtime's own, linked with the kernels.
    pub(super) fn device_math(&mut self, function: MathFunction, operands: &[String]) -> String {
        let types = vec!["f64"; operands.len()].join(", ");
        self.op(&format!("llvm.call @{}({}) : ({types}) -> f64", symbol(function), operands.join(", ")))
    }
}
