//! The interpreter against compiled code.

use super::{Execute, Subject};
use kc_ir::DType;
use kc_ir::kernel::interpret::{MultiplyAddRounding, run_kernel_rounding};
use kc_ir::kernel::{Kernel, Space, print_kernel};
use kc_ir::tensor::{Literal, Scalar};
use std::ops::Range;

/// A kernel and what it is executed on.
#[derive(Clone, Debug)]
pub struct Case {
    /// The kernel.
    pub kernel: Kernel,
    /// Bytes of each buffer parameter.
    pub buffers: Vec<Vec<u8>>,
    /// Value of each dimension parameter.
    pub dims: Vec<i64>,
    /// The tasks.
    pub tasks: Range<i64>,
}

impl Case {
    /// The buffers after the interpreter has executed the tasks.
    pub fn interpreted(&self, rounding: MultiplyAddRounding) -> Result<Vec<Vec<u8>>, String> {
        let mut buffers = self.buffers.clone();
        run_kernel_rounding(&self.kernel, rounding, &mut buffers, &self.dims, self.tasks.clone())
            .map_err(|error| error.to_string())?;
        Ok(buffers)
    }

    /// Executes the kernel, which is that number of the loaded ones, and compares each buffer with the expected bytes.
    pub(super) fn compare(&self, loaded: &dyn Execute, number: usize, expected: &[Vec<u8>]) -> Result<(), String> {
        let mut buffers = self.buffers.clone();
        loaded.run(number, &self.kernel, &mut buffers, &self.dims, self.tasks.clone())?;
        for ((given, expected), memory) in buffers.iter().zip(expected).zip(&self.kernel.memory) {
            difference(memory.dtype, given, expected).map_err(|error| format!("`{}`{error}", memory.name))?;
        }
        Ok(())
    }
}

/// Executes a case with the interpreter and with a back end's code. An error shows the kernel and the first difference.
pub fn check(backend: &dyn Subject, case: &Case) -> Result<(), String> {
    let expected = case.interpreted(backend.rounding())?;
    let loaded = backend.load(std::slice::from_ref(&case.kernel))?;
    case.compare(&*loaded, 0, &expected).map_err(|error| format!("{}: {error}\n{}", backend.name(), describe(case)))
}

/// The case as text: the kernel, its dimensions and tasks.
pub(super) fn describe(case: &Case) -> String {
    let tasks = format!("{}..{}", case.tasks.start, case.tasks.end);
    format!("{}# dims {:?}, tasks {tasks}\n", print_kernel(&case.kernel), case.dims)
}

/// The first element that differs; a NaN is equal to a NaN.
pub(super) fn difference(dtype: DType, given: &[u8], expected: &[u8]) -> Result<(), String> {
    if given == expected {
        return Ok(());
    }
    let (Some(left), Some(right)) = (literal(dtype, given), literal(dtype, expected)) else {
        return Err(format!(" has {} bytes, expected {}", given.len(), expected.len()));
    };
    for (position, (left, right)) in left.scalars().zip(right.scalars()).enumerate() {
        let equal = match (left, right) {
            (Scalar::Float(a), Scalar::Float(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
            (a, b) => a == b,
        };
        if !equal {
            return Err(format!("[{position}] is {left:?}, expected {right:?}"));
        }
    }
    Ok(())
}

fn literal(dtype: DType, bytes: &[u8]) -> Option<Literal> {
    Literal::from_bytes(dtype, vec![bytes.len() / dtype.bytes()], bytes)
}

/// Whether the memory is a buffer that the kernel writes.
pub(super) fn is_output(space: Space) -> bool {
    !matches!(space, Space::Parameter(kc_ir::kernel::Access::Read) | Space::Scratch { .. })
}
