//! Functions become parts of those that call them.

use super::{Address, Function, Instruction, Op, Operand, compute};
use std::collections::HashMap;

/// A function as it was read.
pub(super) struct Routine {
    pub(super) function: Function,
    /// Registers of its parameters and results.
    pub(super) parameters: Vec<usize>,
    pub(super) results: Vec<usize>,
}

/// Calls inside of each other that a kernel may have; more are a function that calls itself.
const DEPTH: usize = 32;

/// An entry point without calls.
pub(super) fn inline(entry: Routine, routines: &HashMap<String, Routine>) -> Result<Function, String> {
    let mut function = entry.function;
    let mut instructions = std::mem::take(&mut function.instructions);
    for _ in 0..DEPTH {
        if !instructions.iter().any(|instruction| matches!(instruction.op, Op::Call { .. })) {
            return Ok(Function { instructions, ..function });
        }
        instructions = once(instructions, &mut function, routines)?;
    }
    Err(format!("{} calls functions that call each other", function.name))
}

/// Puts the functions that are called in the place of the calls.
fn once(
    given: Vec<Instruction>,
    function: &mut Function,
    routines: &HashMap<String, Routine>,
) -> Result<Vec<Instruction>, String> {
    let (copy, _) = compute::function(&["mov", "b64"]).ok_or("there is no copy")?;
    let moved = |from: usize, to: usize, line: usize| Instruction {
        guard: None,
        op: Op::Compute {
            function: copy.clone(),
            destination: to,
            operands: [Operand::Register(from), Operand::Value(0), Operand::Value(0)],
        },
        line,
    };
    let mut all = Vec::new();
    // where each instruction comes to lie, and the branches of the caller
    let mut places = Vec::with_capacity(given.len());
    let mut branches = Vec::new();
    for instruction in given {
        places.push(all.len());
        let Instruction { guard, op, line } = instruction;
        match op {
            Op::Call { name, arguments, results } => {
                let called = routines.get(&name).ok_or_else(|| format!("line {line}: there is no function {name}"))?;
                if guard.is_some()
                    || arguments.len() != called.parameters.len()
                    || results.len() != called.results.len()
                {
                    return Err(format!("line {line}: a call of {name} with other parameters, or under a condition"));
                }
                let registers = function.registers;
                let local = function.local_bytes.next_multiple_of(16);
                function.registers += called.function.registers;
                function.local_bytes = local + called.function.local_bytes;
                for (from, to) in arguments.iter().zip(&called.parameters) {
                    all.push(moved(*from, to + registers, line));
                }
                let start = all.len();
                let end = start + called.function.instructions.len();
                for inner in &called.function.instructions {
                    let mut inner = inner.clone();
                    shift(&mut inner, registers, local as u64);
                    match &mut inner.op {
                        Op::Branch(target) => *target += start,
                        Op::Return => inner.op = Op::Branch(end),
                        _ => {}
                    }
                    all.push(inner);
                }
                for (from, to) in called.results.iter().zip(&results) {
                    all.push(moved(from + registers, *to, line));
                }
                if results.is_empty() {
                    all.push(Instruction { guard: None, op: Op::Nothing, line });
                }
            }
            op => {
                if matches!(op, Op::Branch(_)) {
                    branches.push(all.len());
                }
                all.push(Instruction { guard, op, line });
            }
        }
    }
    places.push(all.len());
    for branch in branches {
        if let Op::Branch(target) = &mut all[branch].op {
            *target = places[*target];
        }
    }
    Ok(all)
}

/// The same with other registers, in another part of the thread's memory.
fn shift(instruction: &mut Instruction, registers: usize, local: u64) {
    let operand = |operand: &mut Operand| match operand {
        Operand::Register(number) => *number += registers,
        Operand::Local(place) => *place += local,
        Operand::Value(_) | Operand::Special(..) | Operand::Lane => {}
    };
    let address = |address: &mut Address| operand(&mut address.base);
    let register = |number: &mut usize| *number += registers;
    if let Some((predicate, _)) = &mut instruction.guard {
        register(predicate);
    }
    match &mut instruction.op {
        Op::Compute { destination, operands, .. } => {
            register(destination);
            operands.iter_mut().for_each(operand);
        }
        Op::InsertBits { destination, operands, .. } => {
            register(destination);
            operands.iter_mut().for_each(operand);
        }
        Op::Pack { destination, parts, .. } => {
            register(destination);
            parts.iter_mut().for_each(operand);
        }
        Op::Unpack { destinations, source, .. } => {
            destinations.iter_mut().flatten().for_each(register);
            operand(source);
        }
        Op::Load { destinations, address: place, .. } => {
            destinations.iter_mut().flatten().for_each(register);
            address(place);
        }
        Op::Store { values, address: place, .. } => {
            values.iter_mut().for_each(operand);
            address(place);
        }
        Op::Shuffle { destination, in_range, operands, .. } => {
            register(destination);
            in_range.iter_mut().for_each(register);
            operands.iter_mut().for_each(operand);
        }
        Op::WarpBarrier(members) => operand(members),
        Op::Copy { to, from, given, .. } => {
            address(to);
            address(from);
            operand(given);
        }
        Op::LoadMatrix { destinations, address: place, .. } => {
            destinations.iter_mut().for_each(register);
            address(place);
        }
        Op::MultiplyMatrix { destinations, operands, .. } => {
            destinations.iter_mut().for_each(register);
            operands.iter_mut().for_each(operand);
        }
        Op::Call { arguments, results, .. } => arguments.iter_mut().chain(results).for_each(register),
        Op::Branch(_) | Op::Return | Op::Trap | Op::Barrier | Op::CommitCopies | Op::AwaitCopies(_) | Op::Nothing => {}
    }
}
