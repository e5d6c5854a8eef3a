//! Makes a failing kernel smaller.

use kc_ir::kernel::{Instruction, Kernel, Register, Statement, verify_kernel};
use kc_ir::tensor::Scalar;

/// A kernel as small as single deletions and replacements by 0 make it, for which `fails` still holds.
pub(super) fn shrink(kernel: &Kernel, fails: &dyn Fn(&Kernel) -> bool) -> Kernel {
    let mut best = kernel.clone();
    loop {
        let statements = count(&best.body);
        let smaller = (0..statements)
            .rev()
            .flat_map(|number| [Change::Delete(number), Change::Zero(number)])
            .filter_map(|change| changed(&best, change))
            .find(|candidate| verify_kernel(candidate).is_ok() && fails(candidate));
        match smaller {
            Some(smaller) => best = smaller,
            None => return best,
        }
    }
}

#[derive(Clone, Copy)]
enum Change {
    /// Deletes the statement of that number, counted in the order of the text.
    Delete(usize),
    /// Makes the results of the statement of that number constants of 0.
    Zero(usize),
}

fn count(statements: &[Statement]) -> usize {
    statements.iter().map(|statement| 1 + statement.blocks().map(count).sum::<usize>()).sum()
}

fn changed(kernel: &Kernel, change: Change) -> Option<Kernel> {
    let mut kernel = kernel.clone();
    let mut number = 0;
    let mut body = std::mem::take(&mut kernel.body);
    let done = apply(&kernel, &mut body, change, &mut number);
    kernel.body = body;
    done.then_some(kernel)
}

fn apply(kernel: &Kernel, statements: &mut Vec<Statement>, change: Change, number: &mut usize) -> bool {
    let mut position = 0;
    while position < statements.len() {
        let here = *number;
        *number += 1;
        match change {
            Change::Delete(wanted) if wanted == here => {
                statements.remove(position);
                return true;
            }
            Change::Zero(wanted) if wanted == here => {
                let statement = &statements[position];
                if statement.results().is_empty() || matches!(statement, Statement::Let(_, Instruction::Constant(_))) {
                    return false;
                }
                let results = statement.results().to_vec();
                let zeros = results.into_iter().map(|register| Statement::Let(register, zero(kernel, register)));
                statements.splice(position..=position, zeros);
                return true;
            }
            Change::Delete(_) | Change::Zero(_) => {}
        }
        let inside = statements[position].blocks_mut().any(|block| apply(kernel, block, change, number));
        if inside {
            return true;
        }
        position += 1;
    }
    false
}

fn zero(kernel: &Kernel, register: Register) -> Instruction {
    let dtype = kernel.registers[register.0 as usize].dtype;
    Instruction::Constant(if dtype.is_float() { Scalar::Float(0.0) } else { Scalar::Int(0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kc_ir::kernel::{parse_kernel, print_kernel};

    #[test]
    fn what_does_not_matter_is_deleted() {
        let kernel = parse_kernel(
            "kernel k(x: f32 read, y: f32 write; dims 0) task t0 {
               %0: f32 = load x[0]
               %1: f32 = sqrt %0
               %2: f32 = negate %1
               for i1 in 0..4 {
                 store y[i1], %2
                 store y[i1 + 4], %1
               }
             }",
        )
        .unwrap();
        let shrunk = shrink(&kernel, &|candidate| print_kernel(candidate).contains("negate"));
        assert_eq!(
            print_kernel(&shrunk),
            "kernel k(x: f32 read, y: f32 write; dims 0) task t0 {\n  unused %0: f32\n  \
             %1: f32 = constant 0.0\n  %2: f32 = negate %1\n}\n"
        );
    }
}
