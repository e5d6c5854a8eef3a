use super::compile::CompiledKernel;
use super::machine::Machine;
use super::{InterpretError, MultiplyAddRounding};
use crate::kernel::*;
use crate::tensor::Literal;
use kc_abi::{Dim, TensorType};
use std::collections::BTreeMap;

/// Executes a program: `symbols` are the values of its unknown extents in order, `inputs` its inputs by number; `state` is
/// updated in place. The outputs are returned by number.
pub fn run_program(
    program: &Program,
    symbols: &[i64],
    inputs: &[Literal],
    state: &mut [Literal],
) -> Result<Vec<Literal>, InterpretError> {
    verify_program(program)?;
    let runner = Runner { program, symbols };
    if symbols.len() != program.symbols.len() {
        return runner
            .fail("arguments", format!("got {} values of symbols, expected {}", symbols.len(), program.symbols.len()));
    }
    let mut storages = BTreeMap::new();
    for (number, buffer) in program.buffers.iter().enumerate() {
        let bytes = runner.initial(number, buffer, inputs, state)?;
        storages.entry(Storage::of(number, &buffer.role)).or_insert(bytes);
    }
    let kernels: Vec<CompiledKernel> = program.kernels.iter().map(CompiledKernel::new).collect();
    for launch in program.steps.iter().flat_map(|step| &step.launches) {
        runner.launch(launch, &kernels, &mut storages)?;
    }
    let mut outputs: BTreeMap<usize, Literal> = BTreeMap::new();
    for (number, buffer) in program.buffers.iter().enumerate() {
        let bytes = || storages.get(&Storage::of(number, &buffer.role)).cloned().unwrap_or_default();
        match buffer.role {
            Role::Output(index) => {
                outputs.insert(index, runner.literal(number, &buffer.ty, bytes())?);
            }
            Role::State(index) => state[index] = runner.literal(number, &buffer.ty, bytes())?,
            Role::Input(_) | Role::Temporary | Role::Constant(_) => {}
        }
    }
    if let Some(missing) = (0..outputs.len()).find(|index| !outputs.contains_key(index)) {
        return runner.fail("outputs", format!("output {missing} has no buffer"));
    }
    Ok(outputs.into_values().collect())
}

/// What bytes a buffer stands for: buffers with the same input, output or state share them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Storage {
    Input(usize),
    Output(usize),
    State(usize),
    Own(usize),
}

impl Storage {
    fn of(number: usize, role: &Role) -> Self {
        match role {
            Role::Input(index) => Storage::Input(*index),
            Role::Output(index) => Storage::Output(*index),
            Role::State(index) => Storage::State(*index),
            Role::Temporary | Role::Constant(_) => Storage::Own(number),
        }
    }
}

struct Runner<'a> {
    program: &'a Program,
    symbols: &'a [i64],
}

impl Runner<'_> {
    fn fail<T>(&self, place: &str, message: String) -> Result<T, InterpretError> {
        Err(InterpretError::Arguments { place: format!("program `{}`, {place}", self.program.name), message })
    }

    fn extent(&self, place: &str, dim: &Dim) -> Result<i64, InterpretError> {
        let value = dim.evaluate(&|symbol| {
            let position = self.program.symbols.iter().position(|known| known == symbol)?;
            self.symbols.get(position).copied()
        });
        match value {
            Some(value) => Ok(value),
            None => self.fail(place, format!("`{dim}` has no value: a symbol is unknown, or it is too large")),
        }
    }

    fn shape(&self, number: usize, ty: &TensorType) -> Result<Vec<usize>, InterpretError> {
        let place = format!("buffer {number}");
        ty.shape
            .iter()
            .map(|dim| {
                let extent = self.extent(&place, dim)?;
                usize::try_from(extent).or_else(|_| self.fail(&place, format!("the extent `{dim}` is {extent}")))
            })
            .collect()
    }

    fn literal(&self, number: usize, ty: &TensorType, bytes: Vec<u8>) -> Result<Literal, InterpretError> {
        match Literal::from_bytes(ty.dtype, self.shape(number, ty)?, bytes) {
            Some(literal) => Ok(literal),
            None => self.fail(&format!("buffer {number}"), format!("its bytes are not those of {ty}")),
        }
    }

    fn initial(
        &self,
        number: usize,
        buffer: &Buffer,
        inputs: &[Literal],
        state: &[Literal],
    ) -> Result<Vec<u8>, InterpretError> {
        let place = format!("buffer {number}");
        let shape = self.shape(number, &buffer.ty)?;
        let (what, index, given) = match &buffer.role {
            Role::Input(index) => ("input", *index, inputs.get(*index)),
            Role::State(index) => ("state", *index, state.get(*index)),
            Role::Constant(literal) => ("constant", number, Some(literal)),
            Role::Output(_) | Role::Temporary => {
                let bytes =
                    shape.iter().try_fold(buffer.ty.dtype.bytes(), |product, &extent| product.checked_mul(extent));
                return match bytes.filter(|&bytes| bytes < isize::MAX as usize) {
                    Some(bytes) => Ok(vec![0xff; bytes]),
                    None => self.fail(&place, format!("{} is too large", buffer.ty)),
                };
            }
        };
        match given {
            Some(literal) if literal.dtype() == buffer.ty.dtype && literal.shape() == shape => {
                Ok(literal.bytes().to_vec())
            }
            Some(literal) => {
                let expected = TensorType::new(buffer.ty.dtype, shape);
                self.fail(&place, format!("{what} {index} is {}, expected {expected}", literal.ty()))
            }
            None => self.fail(&place, format!("{what} {index} is missing")),
        }
    }

    fn launch(
        &self,
        launch: &Launch,
        kernels: &[CompiledKernel],
        storages: &mut BTreeMap<Storage, Vec<u8>>,
    ) -> Result<(), InterpretError> {
        let code = &kernels[launch.kernel];
        let place = format!("launch of `{}`", code.kernel.name);
        let dims = launch.dims.iter().map(|dim| self.extent(&place, dim)).collect::<Result<Vec<_>, _>>()?;
        let tasks = self.extent(&place, &launch.tasks)?;
        let storage = |number: &usize| Storage::of(*number, &self.program.buffers[*number].role);
        // a buffer that is read by several parameters is copied for the others; the verifier admits no writes there
        let mut buffers: Vec<Vec<u8>> = Vec::with_capacity(launch.buffers.len());
        for (position, number) in launch.buffers.iter().enumerate() {
            let earlier = launch.buffers[..position].iter().position(|other| storage(other) == storage(number));
            let bytes = match earlier {
                Some(earlier) => buffers[earlier].clone(),
                None => storages.get_mut(&storage(number)).map(std::mem::take).unwrap_or_default(),
            };
            buffers.push(bytes);
        }
        let result = Machine::new(code, MultiplyAddRounding::default(), &dims)
            .and_then(|mut machine| machine.run(&mut buffers, 0..tasks));
        for (position, (number, bytes)) in launch.buffers.iter().zip(buffers).enumerate() {
            if !launch.buffers[..position].iter().any(|other| storage(other) == storage(number)) {
                storages.insert(storage(number), bytes);
            }
        }
        result
    }
}
