//! Scalar functions in f64 for machines that the runtime's table does not reach.

use super::Translator;
use kc_abi::call::MathFunction;
use std::fmt::Write;

/// What a function is called in [`crate::machine::DEVICE_MATH`].
fn symbol(function: MathFunction) -> String {
    format!("kc_math_{}", function.name())
}

/// Declarations of the functions that the text of kernels calls.
pub fn declarations(text: &str) -> String {
    let mut declared = String::new();
    let is_called = |function: &MathFunction| text.contains(&format!("@{}(", symbol(*function)));
    for function in MathFunction::ALL.iter().copied().filter(is_called) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::DEVICE_MATH;
    use inkwell::context::Context;
    use inkwell::memory_buffer::MemoryBuffer;

    /// `device/` has each of them.
    #[test]
    fn every_function_of_the_table_has_code_for_gpus() {
        let llvm = Context::create();
        let bitcode = MemoryBuffer::create_from_memory_range_copy(DEVICE_MATH, "device math");
        let math = llvm.create_module_from_ir(bitcode).expect("bitcode");
        for &function in MathFunction::ALL {
            let code = math.get_function(&symbol(function));
            assert!(code.is_some_and(|code| code.count_basic_blocks() > 0), "{}", symbol(function));
            assert_eq!(code.map(|code| code.count_params() as usize), Some(function.operands()));
        }
    }
}
