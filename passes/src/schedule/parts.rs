//! Kernels for a GPU read and write as many bytes at a time as a buffer's alignment admits. What a launch gives a part of, an element of a
//! sequence that a loop goes through, may start anywhere.

use crate::Target;
use kc_ir::Dim;
use kc_ir::kernel::{Program, launches};

/// Bytes that every buffer's start is a multiple of.
const ALIGNMENT: usize = 16;

/// The program whose kernels know which of their parameters may start anywhere.
pub(super) fn mark(mut program: Program, target: &Target) -> Program {
    if target.block_threads == 1 {
        return program;
    }
    let starts_anywhere = |buffer: usize| {
        let (_, start) = program.root(buffer);
        let elements = ALIGNMENT / program.buffers[buffer].ty.dtype.bytes();
        start.exact_div(&Dim::constant(elements as i64)).is_none()
    };
    let mut marked = vec![];
    for launch in launches(&program.steps) {
        let parameters = launch.buffers.iter().enumerate().filter(|(_, buffer)| starts_anywhere(**buffer));
        marked.extend(parameters.map(|(parameter, _)| (launch.kernel, parameter)));
    }
    for (kernel, parameter) in marked {
        program.kernels[kernel].memory[parameter].part = true;
    }
    program
}
