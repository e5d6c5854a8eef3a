//! What kernels call outside of their own code.

use kc_ir::DType;
use kc_ir::kernel::{Instruction, Kernel, Statement};
use kc_runtime::kc_abi::call::{Intrinsic, MathFunction};
use kc_runtime::kc_abi::library::LibraryFunction;
use std::collections::BTreeSet;

/// A call through the table of intrinsics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Call {
    Gemm(DType),
    Math(MathFunction),
    Library(LibraryFunction),
}

impl Call {
    /// The table's entry.
    fn entry(self) -> Intrinsic {
        match self {
            Call::Gemm(DType::F64) => Intrinsic::GemmF64,
            Call::Gemm(_) => Intrinsic::GemmF32,
            Call::Math(function) if function.operands() == 2 => Intrinsic::Math2F64,
            Call::Math(_) => Intrinsic::MathF64,
            Call::Library(_) => Intrinsic::Library,
        }
    }
}

/// The calls of a kernel, in the order of its statements.
pub(crate) fn calls(kernel: &Kernel) -> Vec<Call> {
    fn collect(kernel: &Kernel, statements: &[Statement], calls: &mut Vec<Call>) {
        for statement in statements {
            match statement {
                Statement::Let(_, Instruction::Math(function, _)) => calls.push(Call::Math(*function)),
                Statement::Gemm(gemm) => calls.push(Call::Gemm(kernel.memory[gemm.c.memory.0 as usize].dtype)),
                Statement::Library(call) => calls.push(Call::Library(call.function)),
                Statement::For(_)
                | Statement::If(_)
                | Statement::Let(..)
                | Statement::Store { .. }
                | Statement::StoreTiles(..)
                | Statement::StoreSpaced(..)
                | Statement::Copy(_)
                | Statement::Prefetch { .. }
                | Statement::CommitCopies
                | Statement::AwaitCopies { .. } => {}
            }
            statement.blocks().for_each(|block| collect(kernel, block, calls));
        }
    }
    let mut calls = Vec::new();
    collect(kernel, &kernel.body, &mut calls);
    calls
}

/// The names of the table's entries that a kernel calls, in the order of the table.
pub(crate) fn entries(kernel: &Kernel) -> Vec<String> {
    let entries: BTreeSet<Intrinsic> = calls(kernel).into_iter().map(Call::entry).collect();
    entries.into_iter().map(|entry| entry.name().to_owned()).collect()
}

/// The names of the library functions that kernels call, ascending.
pub(crate) fn library_functions(kernels: &[Kernel]) -> Vec<String> {
    let name = |call| match call {
        Call::Library(function) => Some(function.name()),
        Call::Gemm(_) | Call::Math(_) => None,
    };
    let names: BTreeSet<&str> = kernels.iter().flat_map(calls).filter_map(name).collect();
    names.into_iter().map(String::from).collect()
}
