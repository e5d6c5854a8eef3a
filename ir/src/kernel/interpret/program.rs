use super::compile::CompiledKernel;
use super::machine::Machine;
use super::{InterpretError, MultiplyAddRounding};
use crate::kernel::*;
use crate::tensor::Literal;
use kc_abi::{Dim, Symbol, TensorType};
use std::collections::BTreeMap;
use std::ops::Range;

/// Executes a program: `symbols` are the values of its unknown extents in order, `inputs` its inputs by number; `state` is
/// updated in place. The outputs are returned by number.
pub fn run_program(
    program: &Program,
    symbols: &[i64],
    inputs: &[Literal],
    state: &mut [Literal],
) -> Result<Vec<Literal>, InterpretError> {
    verify_program(program)?;
    let mut runner = Runner { program, symbols, counters: vec![], storages: BTreeMap::new() };
    if symbols.len() != program.symbols.len() {
        return runner
            .fail("arguments", format!("got {} values of symbols, expected {}", symbols.len(), program.symbols.len()));
    }
    for (number, buffer) in program.buffers.iter().enumerate() {
        if let Some(storage) = Storage::of(number, &buffer.role) {
            let bytes = runner.initial(number, buffer, inputs, state)?;
            runner.storages.entry(storage).or_insert(bytes);
        }
    }
    let kernels: Vec<CompiledKernel> = program.kernels.iter().map(CompiledKernel::new).collect();
    runner.steps(&program.steps, &kernels)?;
    let mut outputs: BTreeMap<usize, Literal> = BTreeMap::new();
    for (number, buffer) in program.buffers.iter().enumerate() {
        let bytes = || {
            let storage = Storage::of(number, &buffer.role);
            storage.and_then(|storage| runner.storages.get(&storage)).cloned().unwrap_or_default()
        };
        match buffer.role {
            Role::Output(index) => {
                outputs.insert(index, runner.literal(number, &buffer.ty, bytes())?);
            }
            Role::State(index) => state[index] = runner.literal(number, &buffer.ty, bytes())?,
            Role::Input(_) | Role::Temporary | Role::Constant(_) | Role::Part { .. } => {}
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
    /// `None` for a part of another buffer.
    fn of(number: usize, role: &Role) -> Option<Self> {
        match role {
            Role::Input(index) => Some(Storage::Input(*index)),
            Role::Output(index) => Some(Storage::Output(*index)),
            Role::State(index) => Some(Storage::State(*index)),
            Role::Temporary | Role::Constant(_) => Some(Storage::Own(number)),
            Role::Part { .. } => None,
        }
    }
}

struct Runner<'a> {
    program: &'a Program,
    symbols: &'a [i64],
    /// The rounds of the loops around.
    counters: Vec<(&'a Symbol, i64)>,
    storages: BTreeMap<Storage, Vec<u8>>,
}

/// Bytes of a storage.
#[derive(Clone)]
struct Bytes {
    storage: Storage,
    range: Range<usize>,
}

impl<'a> Runner<'a> {
    fn fail<T>(&self, place: &str, message: String) -> Result<T, InterpretError> {
        Err(InterpretError::Arguments { place: format!("program `{}`, {place}", self.program.name), message })
    }

    fn extent(&self, place: &str, dim: &Dim) -> Result<i64, InterpretError> {
        let value = dim.evaluate(&|symbol| {
            let counter = self.counters.iter().find(|(counter, _)| *counter == symbol).map(|(_, round)| *round);
            counter.or_else(|| {
                let position = self.program.symbols.iter().position(|known| known == symbol)?;
                self.symbols.get(position).copied()
            })
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
            Role::Output(_) | Role::Temporary | Role::Part { .. } => {
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

    /// Where a buffer lies now.
    fn bytes(&self, number: usize) -> Result<Bytes, InterpretError> {
        let place = format!("buffer {number}");
        let (root, offset) = self.program.root(number);
        let Some(storage) = Storage::of(root, &self.program.buffers[root].role) else {
            return self.fail(&place, "it lies nowhere".to_string());
        };
        let available = self.storages.get(&storage).map_or(0, Vec::len);
        let ty = &self.program.buffers[number].ty;
        let (start, elements) = (self.extent(&place, &offset)?, self.extent(&place, &ty.elements())?);
        let byte = |elements: i64| usize::try_from(elements).ok()?.checked_mul(ty.dtype.bytes());
        match (byte(start), start.checked_add(elements).and_then(byte)) {
            (Some(start), Some(end)) if start <= end && end <= available => Ok(Bytes { storage, range: start..end }),
            _ => self.fail(&place, format!("{elements} elements from {start} do not lie in buffer {root}")),
        }
    }

    /// The number in a scalar buffer.
    fn scalar(&self, number: usize) -> Result<i128, InterpretError> {
        let place = self.bytes(number)?;
        let bytes = self.storages[&place.storage][place.range].to_vec();
        let ty = &self.program.buffers[number].ty;
        match Literal::from_bytes(ty.dtype, vec![], bytes) {
            Some(literal) => Ok(literal.get(0).to_i128()),
            None => self.fail(&format!("buffer {number}"), format!("its bytes are not those of {ty}")),
        }
    }

    fn steps(&mut self, steps: &'a [Step], kernels: &[CompiledKernel]) -> Result<(), InterpretError> {
        for step in steps {
            match step {
                Step::Launches(launches) => launches.iter().try_for_each(|launch| self.launch(launch, kernels))?,
                Step::Loop { counter, rounds, steps } => {
                    for round in 0..self.extent("loop", rounds)? {
                        self.counters.push((counter, round));
                        self.steps(steps, kernels)?;
                        self.counters.pop();
                    }
                }
                Step::While { condition, holds, steps } => loop {
                    self.steps(condition, kernels)?;
                    if self.scalar(*holds)? == 0 {
                        break;
                    }
                    self.steps(steps, kernels)?;
                },
                Step::Branch { index, branches } => {
                    let index = self.scalar(*index)?.clamp(0, branches.len() as i128 - 1);
                    self.steps(&branches[index as usize], kernels)?;
                }
            }
        }
        Ok(())
    }

    fn launch(&mut self, launch: &Launch, kernels: &[CompiledKernel]) -> Result<(), InterpretError> {
        let code = &kernels[launch.kernel];
        let place = format!("launch of `{}`", code.kernel.name);
        let dims = launch.dims.iter().map(|dim| self.extent(&place, dim)).collect::<Result<Vec<_>, _>>()?;
        let tasks = self.extent(&place, &launch.tasks)?;
        let places = launch.buffers.iter().map(|&number| self.bytes(number)).collect::<Result<Vec<_>, _>>()?;
        let writes: Vec<bool> =
            code.kernel.memory.iter().map(|memory| memory.space != Space::Parameter(Access::Read)).collect();
        for (position, own) in places.iter().enumerate() {
            let other = places[..position].iter().zip(&writes).position(|(other, other_writes)| {
                let overlap = other.storage == own.storage
                    && other.range.start < own.range.end
                    && own.range.start < other.range.end;
                overlap && (*other_writes || writes[position])
            });
            if let Some(other) = other {
                let (a, b) = (launch.buffers[other], launch.buffers[position]);
                return self.fail(&place, format!("buffers {a} and {b} overlap, and one is written"));
            }
        }
        // memory that one parameter has whole is lent to it, other memory is copied
        let is_whole = |own: &Bytes| {
            own.range.len() == self.storages[&own.storage].len()
                && places.iter().filter(|other| other.storage == own.storage).count() == 1
        };
        let whole: Vec<bool> = places.iter().map(is_whole).collect();
        let mut buffers: Vec<Vec<u8>> = Vec::with_capacity(places.len());
        for (own, whole) in places.iter().zip(&whole) {
            let storage = self.storages.get_mut(&own.storage);
            buffers.push(match storage {
                Some(bytes) if *whole => std::mem::take(bytes),
                Some(bytes) => bytes[own.range.clone()].to_vec(),
                None => vec![],
            });
        }
        let result = Machine::new(code, MultiplyAddRounding::default(), &dims)
            .and_then(|mut machine| machine.run(&mut buffers, 0..tasks));
        for (position, (own, bytes)) in places.into_iter().zip(buffers).enumerate() {
            let Some(storage) = self.storages.get_mut(&own.storage) else { continue };
            if whole[position] {
                *storage = bytes;
            } else if writes[position] {
                storage[own.range].copy_from_slice(&bytes);
            }
        }
        result
    }
}
