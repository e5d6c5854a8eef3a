use super::Execution;
use crate::arrays::{array, literal};
use kc_codegen::{Options, optimise, schedule_function};
use kc_ir::kernel::Program;
use kc_ir::kernel::interpret::run_program;
use kc_ir::tensor::{Argument, Function, Literal, Module, ResultSlot, Scalar, bind_symbols, interpret, verify_module};
use kc_passes::{Target, differentiate};
use kc_runtime::Array;

fn zeros(module: &Module) -> Result<Vec<Literal>, String> {
    verify_module(module).map_err(|error| error.to_string())?;
    let zero = |state: &kc_ir::manifest::StateTensor| {
        let shape = state.ty.constant_shape().ok_or_else(|| format!("`{}` has the type {}", state.name, state.ty))?;
        let shape: Vec<usize> = shape.into_iter().map(|extent| extent as usize).collect();
        let elements = shape.iter().product();
        Ok(Literal::from_scalars(state.ty.dtype, shape, std::iter::repeat_n(Scalar::Int(0), elements)))
    };
    module.state.iter().map(zero).collect()
}

fn position(functions: &[Function], entry: &str) -> Result<usize, String> {
    functions.iter().position(|function| function.name == entry).ok_or_else(|| format!("no entry point `{entry}`"))
}

/// Graphs in the tensor interpreter.
pub struct Graphs {
    functions: Vec<Function>,
    state: Vec<Literal>,
}

impl Graphs {
    pub fn differentiated(module: &Module) -> Result<Self, String> {
        let differentiated = |function: &Function| {
            let graph = differentiate(&function.graph).map_err(|error| format!("{}: {error}", function.name))?;
            Ok(Function { graph, ..function.clone() })
        };
        let functions = module.functions.iter().map(differentiated).collect::<Result<_, String>>()?;
        Ok(Graphs { functions, state: zeros(module)? })
    }

    pub fn saturated(module: &Module, target: &Target) -> Result<Self, String> {
        let saturated = |function: &Function| {
            let optimised = optimise(function, target, &Options::default(), &mut |_, _| {});
            Ok(optimised.map_err(|error| error.to_string())?.function)
        };
        let functions = module.functions.iter().map(saturated).collect::<Result<_, String>>()?;
        Ok(Graphs { functions, state: zeros(module)? })
    }
}

impl Execution for Graphs {
    fn run(&mut self, entry: &str, inputs: &[&Array]) -> Result<Vec<Array>, String> {
        let function = &self.functions[position(&self.functions, entry)?];
        let arguments: Vec<Literal> = function
            .arguments
            .iter()
            .map(|argument| match *argument {
                Argument::State(index) => self.state[index].clone(),
                Argument::Input(index) => literal(inputs[index]),
            })
            .collect();
        let results = interpret(&function.graph, &arguments).map_err(|error| format!("{entry}: {error}"))?;
        let mut outputs = vec![None; function.outputs.len()];
        for (slot, value) in function.results.iter().zip(results) {
            match *slot {
                ResultSlot::State(index) => self.state[index] = value,
                ResultSlot::Output(index) => outputs[index] = Some(array(&value)),
            }
        }
        outputs.into_iter().collect::<Option<_>>().ok_or_else(|| format!("{entry}: an output is missing"))
    }

    fn state(&mut self) -> Result<Vec<Array>, String> {
        Ok(self.state.iter().map(array).collect())
    }

    fn set_state(&mut self, index: usize, value: &Array) -> Result<(), String> {
        self.state[index] = literal(value);
        Ok(())
    }
}

/// Programs in the kernel interpreter.
pub struct Programs {
    functions: Vec<Function>,
    programs: Vec<Program>,
    state: Vec<Literal>,
}

impl Programs {
    pub fn new(module: &Module, target: &Target) -> Result<Self, String> {
        let program = |function: &Function| {
            let optimised = optimise(function, target, &Options::default(), &mut |_, _| {});
            let optimised = optimised.map_err(|error| error.to_string())?;
            schedule_function(&optimised.function, target).map_err(|error| error.to_string())
        };
        let programs = module.functions.iter().map(program).collect::<Result<_, String>>()?;
        Ok(Programs { functions: module.functions.clone(), programs, state: zeros(module)? })
    }
}

impl Programs {
    pub fn scheduled(module: &Module, target: &Target) -> Result<Self, String> {
        let program = |function: &Function| {
            let graph = differentiate(&function.graph).map_err(|error| format!("{}: {error}", function.name))?;
            schedule_function(&Function { graph, ..function.clone() }, target).map_err(|error| error.to_string())
        };
        let programs = module.functions.iter().map(program).collect::<Result<_, String>>()?;
        Ok(Programs { functions: module.functions.clone(), programs, state: zeros(module)? })
    }
}

impl Execution for Programs {
    fn run(&mut self, entry: &str, inputs: &[&Array]) -> Result<Vec<Array>, String> {
        let position = position(&self.functions, entry)?;
        let (function, program) = (&self.functions[position], &self.programs[position]);
        let bound =
            bind_symbols(function.inputs.iter().map(|input| &input.ty).zip(inputs.iter().map(|array| array.shape())));
        let value = |symbol: &kc_ir::Symbol| bound.iter().find(|(known, _)| known == symbol).map(|&(_, value)| value);
        let symbols = program.symbols.iter().map(value).collect::<Option<Vec<_>>>();
        let symbols = symbols.ok_or_else(|| format!("{entry}: a symbol is not bound by the inputs"))?;
        let inputs: Vec<Literal> = inputs.iter().map(|array| literal(array)).collect();
        let outputs = run_program(program, &symbols, &inputs, &mut self.state).map_err(|error| error.to_string())?;
        Ok(outputs.iter().map(array).collect())
    }

    fn state(&mut self) -> Result<Vec<Array>, String> {
        Ok(self.state.iter().map(array).collect())
    }

    fn set_state(&mut self, index: usize, value: &Array) -> Result<(), String> {
        self.state[index] = literal(value);
        Ok(())
    }
}
