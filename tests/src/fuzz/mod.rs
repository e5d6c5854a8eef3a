//! Random graphs through every runner: [`generate()`] makes one from a seed, [`Oracle::check`] compares a way of executing it
//! with the tensor interpreter, [`Batch`] does so for many at once, [`shrink()`] makes a failing one small.

mod batch;
mod bounds;
mod generate;
mod shrink;

pub use batch::{Batch, Failure, GRAPHS};
pub use generate::generate;
pub use shrink::shrink;

use crate::arrays::{array, literal};
use crate::random::Random;
use crate::runner::{Execution, Runner, load_scheduled, wide_target};
use bounds::Expected;
use kc_ir::tensor::{Argument, Function, Literal, Module, ResultSlot, Scalar, bind_symbols};
use kc_ir::{Dim, TensorType};
use kc_passes::{Target, differentiate};
use kc_runtime::Array;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// What random graphs go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Scheduled as they are, in the kernel interpreter.
    Scheduled,
    /// The same for any CPU.
    ScheduledBaseline,
    /// A runner of the golden suite.
    Run(Runner),
}

impl Way {
    /// In an order in which memory errors show in an interpreter before machine code is run.
    pub const ALL: [Way; 9] = [
        Way::Scheduled,
        Way::ScheduledBaseline,
        Way::Run(Runner::Saturated),
        Way::Run(Runner::Kernels),
        Way::Run(Runner::KernelsBaseline),
        Way::Run(Runner::Cranelift),
        Way::Run(Runner::Eager),
        Way::Run(Runner::Mlir),
        Way::Run(Runner::Xla),
    ];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Way::Scheduled => "scheduled, kernel interpreter",
            Way::ScheduledBaseline => "scheduled, kernel interpreter, baseline",
            Way::Run(runner) => runner.name(),
        }
    }

    /// Whether it takes denormals as zero: XLA sets its threads so on CPUs.
    pub fn flushes_denormals(self) -> bool {
        self == Way::Run(Runner::Xla)
    }

    /// Why it cannot be used on this machine.
    pub fn unavailable(self) -> Option<String> {
        match self {
            Way::Scheduled | Way::ScheduledBaseline => None,
            Way::Run(runner) => runner.unavailable(),
        }
    }

    fn load(self, module: &Module) -> Result<Box<dyn Execution>, String> {
        match self {
            Way::Scheduled => load_scheduled(module, &wide_target()),
            Way::ScheduledBaseline => load_scheduled(module, &Target::baseline()),
            Way::Run(runner) => runner.load(module, 2),
        }
    }
}

/// The values of the batch symbol that a module is run with.
const BATCHES: [usize; 3] = [3, 1, 17];

/// What is right for a module, for each batch.
pub struct Oracle(Vec<(Vec<Array>, Vec<Array>, Expected)>);

impl Oracle {
    /// Interprets the module's function for arguments drawn from a seed.
    pub fn new(module: &Module, seed: u64) -> Result<Oracle, String> {
        Self::drawn(module, seed, 1e-40)
    }

    /// The same for arguments without denormals, for a way that takes them as zero.
    pub fn without_denormals(module: &Module, seed: u64) -> Result<Oracle, String> {
        Self::drawn(module, seed, 0.25)
    }

    fn drawn(module: &Module, seed: u64, smallest: f64) -> Result<Oracle, String> {
        let function = module.functions.first().ok_or("the module has no function")?;
        let differentiated = differentiate(&function.graph).map_err(|error| error.to_string())?;
        let mut random = Random::new(seed);
        let mut cases = Vec::new();
        // in one of eight cases infinities, NaN and denormals are among the numbers
        let special = if random.chance(12) { 15 } else { 0 };
        for batch in BATCHES {
            let mut draw = |ty: &TensorType| draw(ty, batch, (special, smallest), &mut random);
            let inputs: Vec<Literal> = function.inputs.iter().map(|input| draw(&input.ty)).collect::<Result<_, _>>()?;
            let state: Vec<Literal> = module.state.iter().map(|state| draw(&state.ty)).collect::<Result<_, _>>()?;
            let arguments: Vec<Literal> = function
                .arguments
                .iter()
                .map(|argument| match *argument {
                    Argument::Input(index) => inputs[index].clone(),
                    Argument::State(index) => state[index].clone(),
                })
                .collect();
            let expected = Expected::new(&differentiated, &arguments)?;
            let arrays = |literals: &[Literal]| literals.iter().map(array).collect();
            cases.push((arrays(&inputs), arrays(&state), expected));
            let types = function.inputs.iter().map(|input| &input.ty);
            if bind_symbols(types.zip(inputs.iter().map(Literal::shape))).is_empty() {
                break;
            }
        }
        Ok(Oracle(cases))
    }

    /// Whether any result can be compared.
    pub fn is_known(&self) -> bool {
        self.0.iter().any(|(_, _, expected)| expected.is_known())
    }

    /// Compares a way with what is right; a panic is an error like any other.
    pub fn check(&self, module: &Module, way: Way) -> Result<(), String> {
        quietly(|| self.compare(&mut *way.load(module)?, &module.functions[0], 0..module.state.len()))
    }

    /// Compares a function in execution, which the tensors of the module's state in `own` belong to.
    fn compare(&self, execution: &mut dyn Execution, function: &Function, own: Range<usize>) -> Result<(), String> {
        for (inputs, state, expected) in &self.0 {
            for (index, value) in own.clone().zip(state) {
                execution.set_state(index, value)?;
            }
            let outputs = execution.run(&function.name, &inputs.iter().collect::<Vec<_>>())?;
            let after = execution.state()?;
            let after = &after[own.clone()];
            let mut changed = vec![false; after.len()];
            for (position, slot) in function.results.iter().enumerate() {
                let (what, ours) = match *slot {
                    ResultSlot::Output(index) => (format!("output {index}"), outputs.get(index)),
                    ResultSlot::State(index) => {
                        let index = index - own.start;
                        changed[index] = true;
                        (format!("state {index}"), after.get(index))
                    }
                };
                let ours = ours.ok_or_else(|| format!("{what} is missing"))?;
                expected.compare(position, &literal(ours)).map_err(|message| {
                    let shapes: Vec<&[usize]> = inputs.iter().map(Array::shape).collect();
                    format!("{what} for inputs of the shapes {shapes:?}: {message}")
                })?;
            }
            if let Some(index) = (0..after.len()).find(|&index| !changed[index] && after[index] != state[index]) {
                return Err(format!("state {index} changed, which no result is bound to"));
            }
        }
        Ok(())
    }
}

/// A tensor of small numbers: of floats multiples of 1/4 between -2 and 2, so that sums and products of a few are exact;
/// `special` of 100 are none such, `smallest` among them.
fn draw(
    ty: &TensorType,
    batch: usize,
    (special, smallest): (usize, f64),
    random: &mut Random,
) -> Result<Literal, String> {
    let extent = |dim: &Dim| dim.evaluate(&|_| Some(batch as i64)).and_then(|extent| usize::try_from(extent).ok());
    let shape: Option<Vec<usize>> = ty.shape.iter().map(extent).collect();
    let shape = shape.ok_or_else(|| format!("{ty} has an extent that is not known"))?;
    let elements = shape.iter().product();
    let dtype = ty.dtype;
    let values = (0..elements).map(|_| {
        if dtype.is_float() && special > 0 && random.chance(special) {
            Scalar::Float(random.pick(&[0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, smallest]))
        } else if dtype.is_float() {
            Scalar::Float(random.between(-8, 8) as f64 / 4.0)
        } else if dtype.is_signed_integer() {
            Scalar::Int(random.between(-4, 4).into())
        } else if dtype == kc_ir::DType::Bool {
            Scalar::Int(random.between(0, 1).into())
        } else {
            Scalar::Int(random.between(0, 9).into())
        }
    });
    Ok(Literal::from_scalars(dtype, shape, values.collect::<Vec<_>>()))
}

thread_local! {
    /// Where the panic that is being caught happened.
    static CAUGHT: Cell<Option<Option<String>>> = const { Cell::new(None) };
}

/// Makes an error of a panic, which is not printed.
fn quietly(body: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match CAUGHT.take() {
            Some(_) => CAUGHT.set(Some(Some(info.to_string()))),
            None => usual(info),
        }));
    });
    CAUGHT.set(Some(None));
    let result = catch_unwind(AssertUnwindSafe(body));
    let panic = CAUGHT.take().flatten().unwrap_or_default();
    result.unwrap_or(Err(panic))
}

/// The only function of a module.
fn only(module: &Module) -> &Function {
    &module.functions[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use kc_ir::manifest::{Input, InputRole, Output};
    use kc_ir::tensor::composites::Composite;
    use kc_ir::tensor::ops::{Binary, Compare, Reverse, Unary};
    use kc_ir::tensor::{Builder, Graph, Op, TypeError};
    use std::collections::BTreeSet;

    fn module(function: Binary) -> Result<Module, TypeError> {
        let ty = TensorType::new(kc_ir::DType::F32, [Dim::symbol("B"), Dim::constant(5)]);
        let mut builder = Builder::new();
        let x = builder.parameter("x0", ty.clone())?;
        let reversed = builder.add(Reverse { axes: vec![1] }, &[x])?;
        let y = builder.binary(function, x, reversed)?;
        let function = Function {
            name: "call".into(),
            inputs: vec![Input { name: "x0".into(), role: InputRole::Feature, ty: ty.clone(), checks: vec![] }],
            outputs: vec![Output { name: "y0".into(), ty }],
            arguments: vec![Argument::Input(0)],
            results: vec![ResultSlot::Output(0)],
            graph: builder.finish(vec![y]),
        };
        Ok(Module { functions: vec![function], ..Module::default() })
    }

    #[test]
    fn a_graph_that_computes_something_else_is_found() {
        let (right, wrong) = (module(Binary::Add).expect("typed"), module(Binary::Subtract).expect("typed"));
        for seed in 0..10 {
            let oracle = Oracle::new(&right, seed).expect("it can be interpreted");
            assert_eq!(oracle.check(&right, Way::Scheduled), Ok(()));
            let message = oracle.check(&wrong, Way::Scheduled).expect_err("another function");
            assert!(message.contains("elements are wrong"), "{message}");
        }
    }

    #[test]
    fn a_failing_graph_becomes_small() {
        let contains = |module: &Module| only(module).graph.nodes.iter().any(|node| matches!(node.op, Op::Reverse(_)));
        let large = (0..).map(generate).find(|module| contains(module) && only(module).graph.nodes.len() > 8);
        let small = shrink(&large.expect("one of many"), &contains);
        let graph = &only(&small).graph;
        assert_eq!((graph.nodes.len(), graph.results.len()), (2, 1), "{:?}", graph.nodes);
        assert!(graph.tensor_type(graph.results[0]).shape.iter().all(|dim| dim.as_constant().is_none_or(|n| n == 1)));
    }

    /// The names of a graph's ops and of those in its regions, of elementwise functions and composites their own.
    fn names(graph: &Graph, known: &mut BTreeSet<String>) {
        for node in &graph.nodes {
            known.insert(node.op.operation().name().to_string());
            node.op.operation().regions().into_iter().for_each(|region| names(region.graph(), known));
        }
    }

    #[test]
    fn every_op_and_composite_is_drawn() {
        let groups = ["unary", "binary", "compare", "composite"];
        let mut missing: BTreeSet<String> = Op::names().filter(|name| !groups.contains(&name.as_str())).collect();
        missing.extend(Unary::ALL.iter().map(|function| function.text().to_string()));
        missing.extend(Binary::ALL.iter().map(|function| function.text().to_string()));
        missing.extend(Compare::ALL.iter().map(|function| function.text().to_string()));
        missing.extend(Composite::names());
        for seed in 0..2_000 {
            let mut drawn = BTreeSet::new();
            names(&only(&generate(seed)).graph, &mut drawn);
            missing.retain(|name| !drawn.contains(name));
        }
        assert_eq!(missing, BTreeSet::new());
    }

    #[test]
    fn a_seed_gives_one_module() {
        assert_eq!(generate(11), generate(11));
        assert_ne!(generate(11), generate(12));
    }
}
