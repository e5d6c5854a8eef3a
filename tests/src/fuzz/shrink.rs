//! Makes a failing module small.

use super::only;
use kc_ir::Dim;
use kc_ir::manifest::{Input, InputRole, Output};
use kc_ir::tensor::{Argument, Builder, Function, Module, Op, ResultSlot, Type, Value, verify_module, with_dims};
use kc_passes::differentiate;
use std::collections::{BTreeMap, BTreeSet};

/// Candidates that are tried at most.
const LIMIT: usize = 600;

/// A module that still fails, with fewer results, nodes and elements.
pub fn shrink(module: &Module, fails: &dyn Fn(&Module) -> bool) -> Module {
    let mut best = module.clone();
    // ops of a derivative can be taken away one by one
    if let Ok(graph) = differentiate(&only(module).graph) {
        let function = Function { graph, ..only(module).clone() };
        let expanded = Module { functions: vec![function], ..module.clone() };
        if fails(&expanded) {
            best = expanded;
        }
    }
    let mut tries = 0;
    'again: loop {
        for change in changes(&best) {
            let Some(candidate) = apply(&best, &change) else { continue };
            if size(&candidate) >= size(&best) || verify_module(&candidate).is_err() {
                continue;
            }
            tries += 1;
            if tries > LIMIT {
                return best;
            }
            if fails(&candidate) {
                best = candidate;
                continue 'again;
            }
        }
        return best;
    }
}

/// Nodes that compute, then nodes, then elements.
fn size(module: &Module) -> (usize, usize, i64) {
    let graph = &only(module).graph;
    let computing = graph.nodes.iter().filter(|node| !matches!(node.op, Op::Parameter(_))).count();
    let elements = graph.nodes.iter().filter_map(|node| node.ty.as_tensor()?.elements().evaluate(&|_| Some(17)));
    (computing + graph.results.len(), graph.nodes.len(), elements.sum())
}

enum Change {
    DropResult(usize),
    /// A result becomes an operand of the op that computes it.
    Result(usize, Value),
    /// A value becomes an operand of the same type.
    Forward(Value, Value),
    /// A value becomes an input.
    Cut(Value),
    /// An extent, everywhere.
    Extent(i64, i64),
}

fn changes(module: &Module) -> Vec<Change> {
    let graph = &only(module).graph;
    let mut changes = vec![];
    if graph.results.len() > 1 {
        changes.extend((0..graph.results.len()).map(Change::DropResult));
    }
    for (index, &result) in graph.results.iter().enumerate() {
        let tensors =
            graph.node(result).operands.iter().filter(|&&operand| graph.node(operand).ty.as_tensor().is_some());
        changes.extend(tensors.map(|&operand| Change::Result(index, operand)));
    }
    for value in graph.values().rev() {
        let node = graph.node(value);
        if matches!(node.op, Op::Parameter(_)) || node.ty.as_tensor().is_none() {
            continue;
        }
        changes.push(Change::Cut(value));
        let same = node.operands.iter().filter(|operand| graph.node(**operand).ty == node.ty);
        changes.extend(same.map(|&operand| Change::Forward(value, operand)));
    }
    let mut extents = BTreeSet::new();
    for node in &graph.nodes {
        if let Type::Tensor(ty) = &node.ty {
            extents.extend(ty.shape.iter().filter_map(Dim::as_constant).filter(|&extent| extent > 1));
        }
    }
    for &extent in extents.iter().rev() {
        changes.extend(
            [1, extent / 2, extent - 1].into_iter().filter(|&new| new >= 1).map(|new| Change::Extent(extent, new)),
        );
    }
    changes
}

/// The module after a change, without what is not needed any more; `None` where it cannot be typed.
fn apply(module: &Module, change: &Change) -> Option<Module> {
    let function = only(module);
    let graph = &function.graph;
    let mut forwarded: BTreeMap<Value, Value> = BTreeMap::new();
    let mut cut = BTreeSet::new();
    let mut kept: Vec<usize> = (0..graph.results.len()).collect();
    let mut extent = None;
    let mut given = graph.results.clone();
    match *change {
        Change::DropResult(index) => {
            kept.remove(index);
        }
        Change::Result(index, operand) => given[index] = operand,
        Change::Forward(value, operand) => {
            forwarded.insert(value, operand);
        }
        Change::Cut(value) => {
            cut.insert(value);
        }
        Change::Extent(old, new) => extent = Some((old, new)),
    }
    let dim = |dim: &Dim| match extent {
        Some((old, new)) if dim.is(old) => Dim::constant(new),
        _ => dim.clone(),
    };
    let resolve = |value: Value| forwarded.get(&value).copied().unwrap_or(value);
    let mut live = BTreeSet::new();
    let mut open: Vec<Value> = kept.iter().map(|&index| resolve(given[index])).collect();
    while let Some(value) = open.pop() {
        if live.insert(value) && !cut.contains(&value) {
            open.extend(graph.node(value).operands.iter().map(|&operand| resolve(operand)));
        }
    }

    let mut new = Rebuilt { module: Module { model: module.model.clone(), ..Module::default() }, ..Rebuilt::default() };
    let mut values: BTreeMap<Value, Value> = BTreeMap::new();
    for value in graph.values().filter(|value| live.contains(value)) {
        let node = graph.node(value);
        let made = match &node.op {
            Op::Parameter(parameter) => match function.arguments[parameter.index] {
                Argument::Input(index) => {
                    let ty = with_dims(&node.op, &dim);
                    new.input(Some(&function.inputs[index]), &ty)?
                }
                Argument::State(index) => {
                    let place = new.state(module, index, &dim);
                    new.arguments.push(Argument::State(place));
                    let state = &new.module.state[place];
                    new.builder.parameter(&state.name, state.ty.clone()).ok()?
                }
            },
            _ if cut.contains(&value) => {
                let ty = node.ty.as_tensor()?.clone();
                new.input(None, &kc_ir::tensor::ops::Parameter { index: 0, name: String::new(), ty }.into())?
            }
            op => {
                let operands: Vec<Value> = node.operands.iter().map(|&operand| values[&resolve(operand)]).collect();
                new.builder.add(with_dims(op, &dim), &operands).ok()?
            }
        };
        values.insert(value, made);
    }
    let mut results = vec![];
    let mut slots = vec![];
    let mut outputs = vec![];
    for index in kept {
        let value = values[&resolve(given[index])];
        results.push(value);
        slots.push(match function.results[index] {
            ResultSlot::State(state) => {
                let place = new.state(module, state, &dim);
                (new.module.state[place].ty == *new.builder.tensor_type(value)).then_some(())?;
                ResultSlot::State(place)
            }
            ResultSlot::Output(_) => {
                outputs
                    .push(Output { name: format!("y{}", outputs.len()), ty: new.builder.tensor_type(value).clone() });
                ResultSlot::Output(outputs.len() - 1)
            }
        });
    }
    let Rebuilt { mut module, builder, inputs, arguments, .. } = new;
    module.functions.push(Function {
        name: function.name.clone(),
        inputs,
        outputs,
        arguments,
        results: slots,
        graph: builder.finish(results),
    });
    Some(module)
}

#[derive(Default)]
struct Rebuilt {
    module: Module,
    builder: Builder,
    inputs: Vec<Input>,
    arguments: Vec<Argument>,
    places: BTreeMap<usize, usize>,
}

impl Rebuilt {
    fn input(&mut self, known: Option<&Input>, op: &Op) -> Option<Value> {
        let Op::Parameter(parameter) = op else { return None };
        let name = format!("x{}", self.inputs.len());
        self.arguments.push(Argument::Input(self.inputs.len()));
        let role = known.map_or(InputRole::Feature, |input| input.role);
        self.inputs.push(Input { name: name.clone(), role, ty: parameter.ty.clone(), checks: vec![] });
        self.builder.parameter(&name, parameter.ty.clone()).ok()
    }

    /// The place of a state tensor of the module before.
    fn state(&mut self, module: &Module, index: usize, dim: &dyn Fn(&Dim) -> Dim) -> usize {
        let Rebuilt { module: new, places, .. } = self;
        *places.entry(index).or_insert_with(|| {
            let mut state = module.state[index].clone();
            state.name = format!("s{}", new.state.len());
            state.ty.shape.iter_mut().for_each(|extent| *extent = dim(extent));
            new.state.push(state);
            new.state.len() - 1
        })
    }
}
