//! What depends on state tensors and constants alone comes first, in steps of its own: a runtime that finds their results where a call
//! before left them need not repeat them. Folded weights and transposed ones are computed once for many predictions.

use super::cluster::{Role as Part, role};
use kc_ir::kernel::{Access, Launch, Program, Role, Step};
use kc_ir::tensor::{Graph, Op, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Values that are the same in each call and that kernels of others would compute again for each of many elements, such as the factors by
/// which a layer's features are scaled.
pub(super) fn shared(graph: &Graph, constant: &[bool]) -> Vec<Value> {
    /// Elements for which a value is read at least.
    const LEAST: i64 = 16;
    let elements = |value: Value| graph.node(value).ty.as_tensor().and_then(|ty| ty.elements().as_constant());
    let mut shared = BTreeSet::new();
    for value in graph.values().filter(|value| !constant[value.index()]) {
        for &operand in graph.node(value).operands.iter().filter(|operand| constant[operand.index()]) {
            let mut read = operand;
            while matches!(graph.node(read).op, Op::Broadcast(_) | Op::Reshape(_)) {
                read = graph.node(read).operands[0];
            }
            let is_repeated = match (elements(read), elements(value)) {
                (Some(read), Some(all)) => (2..=all / LEAST).contains(&read),
                (read, None) => read.is_some_and(|read| read > 1),
                (None, _) => false,
            };
            if role(&graph.node(read).op) == Part::Elementwise && is_repeated {
                shared.insert(read);
            }
        }
    }
    shared.into_iter().collect()
}

/// What a launch does to its buffers, each as the buffer that it is part of.
fn uses<'p>(program: &'p Program, launch: &'p Launch) -> impl Iterator<Item = (usize, Access)> + 'p {
    program.uses(launch).map(|(buffer, access)| (program.root(buffer).0, access))
}

/// The program with the launches first whose results stay the same while the state does; unchanged where it updates state.
pub(super) fn first(program: Program) -> Program {
    let mut writers: BTreeMap<usize, usize> = BTreeMap::new();
    let mut open: Vec<&Step> = program.steps.iter().collect();
    while let Some(step) = open.pop() {
        if let Step::Launches(launches) = step {
            let written = launches.iter().flat_map(|launch| uses(&program, launch));
            written
                .filter(|(_, access)| *access != Access::Read)
                .for_each(|(buffer, _)| *writers.entry(buffer).or_default() += 1);
        }
        open.extend(step.blocks().into_iter().flatten());
    }
    if writers.keys().any(|&buffer| matches!(program.buffers[buffer].role, Role::State(_))) {
        return program;
    }
    let mut kept: BTreeSet<usize> = BTreeSet::new();
    let mut leading: Vec<Step> = vec![];
    let mut rest: Vec<Step> = vec![];
    for step in &program.steps {
        let Step::Launches(launches) = step else {
            rest.push(step.clone());
            continue;
        };
        let stays = |launch: &Launch| {
            let role = |buffer: usize| &program.buffers[buffer].role;
            let of_state =
                |buffer: usize| kept.contains(&buffer) || matches!(role(buffer), Role::State(_) | Role::Constant(_));
            let mut reads = uses(&program, launch).filter(|(_, access)| *access != Access::Write).peekable();
            let mut writes = uses(&program, launch).filter(|(_, access)| *access != Access::Read);
            // zeros and the like cost less than the memory to keep them
            reads.peek().is_some()
                && reads.all(|(buffer, access)| access == Access::Read && of_state(buffer))
                && writes.all(|(buffer, _)| *role(buffer) == Role::Temporary && writers.get(&buffer) == Some(&1))
                && launch.dims.is_empty()
        };
        let (staying, others): (Vec<Launch>, Vec<Launch>) = launches.iter().cloned().partition(stays);
        for (buffer, access) in staying.iter().flat_map(|launch| uses(&program, launch)) {
            if access == Access::Write {
                kept.insert(buffer);
            }
        }
        leading.extend((!staying.is_empty()).then_some(Step::Launches(staying)));
        rest.extend((!others.is_empty()).then_some(Step::Launches(others)));
    }
    let kept = leading.len();
    leading.extend(rest);
    Program { steps: leading, kept, ..program }
}
