//! A random module of one function.

mod algebra;
mod composites;
mod control;
mod indexed;
mod ops;
mod scopes;

use crate::random::Random;
use kc_ir::manifest::{Input, InputRole, ModelInfo, Output, StateRole, StateTensor};
use kc_ir::tensor::ops::{Binary, Gradient, Reduction};
use kc_ir::tensor::{Argument, Builder, Function, Module, ResultSlot, Scalar, TypeError, Value};
use kc_ir::{DType, Dim, TensorType};
use kc_passes::differentiate;

/// The module of a seed: a few ops over inputs and state, several results, state that is updated, and in one of three cases
/// derivatives.
pub fn generate(seed: u64) -> Module {
    let mut generator = Generator {
        random: Random::new(seed),
        builder: Builder::new(),
        inputs: vec![],
        arguments: vec![],
        state: vec![],
        pool: vec![],
        depth: 0,
        empty: false,
    };
    generator.random.next();
    generator.empty = generator.random.chance(3);
    let symbolic = generator.random.chance(40);
    let rank = [2, 2, 3, 4, 1][generator.random.below(5)];
    let mut shape: Vec<Dim> = (0..rank).map(|_| generator.extent()).collect();
    if symbolic {
        shape[0] = Dim::symbol("B");
    }
    if generator.random.chance(5) {
        // more than a task takes
        let rows = Dim::constant(generator.random.pick(&[64, 100, 129]));
        let columns = generator.random.pick(if symbolic { &[200, 1030] } else { &[130, 200, 257] });
        shape = vec![if symbolic { Dim::symbol("B") } else { rows }, Dim::constant(columns)];
    }
    let dtype = if generator.random.chance(85) { DType::F32 } else { generator.dtype() };
    // a draw that cannot be typed is another draw
    let _ = generator.parameter(TensorType { dtype, shape });
    let wanted = generator.random.between(2, 10) as usize;
    generator.grow(wanted + 1, 6 * wanted);
    generator.finish()
}

const EXTENTS: [i64; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 33];

#[derive(Clone)]
struct Generator {
    random: Random,
    builder: Builder,
    inputs: Vec<Input>,
    arguments: Vec<Argument>,
    state: Vec<StateTensor>,
    /// What ops may read.
    pool: Vec<Value>,
    /// How many regions are open.
    depth: usize,
    /// Whether some extents are 0.
    empty: bool,
}

type Made = Result<Option<Value>, TypeError>;

impl Generator {
    /// Adds ops until there are so many values to read, or that often has been tried.
    fn grow(&mut self, values: usize, tries: usize) {
        for _ in 0..tries {
            if self.pool.len() >= values {
                break;
            }
            let before = self.clone();
            match self.op() {
                Ok(Some(value)) if self.is_small(value) && !self.pool.contains(&value) => self.pool.push(value),
                // nothing is left of an op that is not wanted
                _ => *self = Generator { random: self.random.clone(), ..before },
            }
        }
    }

    fn extent(&mut self) -> Dim {
        if self.empty && self.random.chance(12) {
            return Dim::constant(0);
        }
        Dim::constant(self.random.pick(&EXTENTS))
    }

    fn dtype(&mut self) -> DType {
        self.random.pick(&[
            DType::F32,
            DType::F64,
            DType::I32,
            DType::I64,
            DType::U32,
            DType::U8,
            DType::I8,
            DType::Bool,
            DType::Bf16,
            DType::F16,
            DType::I16,
            DType::U16,
            DType::U64,
        ])
    }

    fn ty(&self, value: Value) -> TensorType {
        self.builder.tensor_type(value).clone()
    }

    /// Whether a value has elements for every batch, if it should, and not too many.
    fn is_small(&self, value: Value) -> bool {
        let least = if self.empty { 0 } else { 1 };
        if self.ty(value).shape.iter().any(|dim| dim.evaluate(&|_| Some(1)).is_none_or(|extent| extent < least)) {
            return false;
        }
        // a region's values are computed in each round
        let most = if self.depth == 0 { 140_000 } else { 4_000 };
        self.ty(value).elements().evaluate(&|_| Some(17)).is_some_and(|elements| elements <= most)
    }

    /// A new input or state tensor.
    fn parameter(&mut self, ty: TensorType) -> Result<Value, TypeError> {
        let value;
        if ty.constant_shape().is_some() && self.random.chance(40) {
            let name = format!("s{}", self.state.len());
            value = self.builder.parameter(&name, ty.clone())?;
            self.arguments.push(Argument::State(self.state.len()));
            self.state.push(StateTensor { name, role: StateRole::NonTrainable, ty });
        } else {
            let name = format!("x{}", self.inputs.len());
            value = self.builder.parameter(&name, ty.clone())?;
            self.arguments.push(Argument::Input(self.inputs.len()));
            self.inputs.push(Input { name, role: InputRole::Feature, ty, checks: vec![] });
        }
        // an index of no axes has no elements
        if self.empty || !self.ty(value).shape.iter().any(|extent| extent.is(0)) {
            self.pool.push(value);
        }
        Ok(value)
    }

    /// A value that is there, mostly a late one.
    fn any(&mut self) -> Value {
        let count = self.pool.len();
        let recent = count.min(3);
        if self.random.chance(60) {
            self.pool[count - 1 - self.random.below(recent)]
        } else {
            self.random.pick(&self.pool)
        }
    }

    fn any_where(&mut self, suits: impl Fn(&TensorType) -> bool) -> Option<Value> {
        for _ in 0..8 {
            let value = self.any();
            if suits(self.builder.tensor_type(value)) {
                return Some(value);
            }
        }
        None
    }

    fn any_float(&mut self) -> Option<Value> {
        self.any_where(|ty| ty.dtype.is_float())
    }

    fn any_with_rank(&mut self, rank: std::ops::RangeInclusive<usize>) -> Option<Value> {
        self.any_where(|ty| rank.contains(&ty.rank()))
    }

    /// A tensor of a type: one that is there, a constant, a smaller one to be broadcast, or a new one.
    fn of_type(&mut self, ty: &TensorType) -> Result<Value, TypeError> {
        if self.random.chance(50)
            && let Some(value) = self.any_where(|other| other == ty)
        {
            return Ok(value);
        }
        if self.random.chance(25) {
            let scalar = match ty.dtype {
                dtype if dtype.is_float() => Scalar::Float(self.random.between(-4, 4) as f64 / 2.0),
                DType::Bool => Scalar::Int(self.random.between(0, 1).into()),
                _ => Scalar::Int(self.random.between(1, 5).into()),
            };
            return self.builder.splat(ty.dtype, scalar, &ty.shape);
        }
        if self.random.chance(40) {
            let axes: Vec<usize> = (0..ty.rank()).filter(|_| self.random.chance(50)).collect();
            let shape =
                axes.iter().map(|&axis| if self.random.chance(20) { Dim::constant(1) } else { ty.shape[axis].clone() });
            let smaller = TensorType { dtype: ty.dtype, shape: shape.collect() };
            let value = self.parameter(smaller)?;
            return self.builder.broadcast(value, &ty.shape, &axes);
        }
        self.parameter(ty.clone())
    }

    fn permutation(&mut self, rank: usize) -> Vec<usize> {
        self.random.shuffled((0..rank).collect())
    }

    fn some_axes(&mut self, rank: usize) -> Vec<usize> {
        let axes: Vec<usize> = (0..rank).filter(|_| self.random.chance(45)).collect();
        if axes.is_empty() && rank > 0 { vec![self.random.below(rank)] } else { axes }
    }

    /// Chooses results, and perhaps takes derivatives.
    fn finish(mut self) -> Module {
        let mut used = vec![false; self.builder.graph().nodes.len()];
        for node in &self.builder.graph().nodes {
            node.operands.iter().for_each(|operand| used[operand.index()] = true);
        }
        let loose: Vec<Value> = self.pool.iter().copied().filter(|value| !used[value.index()]).collect();
        let mut chosen: Vec<Value> = loose.into_iter().rev().take(3).collect();
        if chosen.is_empty() || self.random.chance(30) {
            chosen.push(self.any());
        }
        if self.random.chance(35)
            && let Ok(Some(derivatives)) = self.derivatives(&chosen)
        {
            if self.random.chance(60) {
                chosen.truncate(1);
            }
            chosen.extend(derivatives);
        }
        let mut results = vec![];
        let mut slots = vec![];
        for (index, state) in self.state.iter().enumerate() {
            let fitting: Vec<Value> =
                self.pool.iter().copied().filter(|&value| *self.builder.tensor_type(value) == state.ty).collect();
            if let Some(&value) = fitting.last().filter(|_| self.random.chance(70)) {
                let value = if self.random.chance(70) { value } else { self.random.pick(&fitting) };
                results.push(value);
                slots.push(ResultSlot::State(index));
            }
        }
        let mut outputs = vec![];
        for value in chosen {
            slots.push(ResultSlot::Output(outputs.len()));
            outputs.push(Output { name: format!("y{}", outputs.len()), ty: self.builder.tensor_type(value).clone() });
            results.push(value);
        }
        let function = Function {
            name: "call".to_string(),
            inputs: self.inputs,
            outputs,
            arguments: self.arguments,
            results: slots,
            graph: self.builder.finish(results),
        };
        Module { model: ModelInfo::default(), state: self.state, functions: vec![function] }
    }

    /// The derivatives of the sum of the squares of all floating-point values among `of` by the parameters, and perhaps those of
    /// the derivatives; `None` where an op has none.
    fn derivatives(&mut self, of: &[Value]) -> Result<Option<Vec<Value>>, TypeError> {
        let before = self.builder.clone();
        let mut derivatives = of.to_vec();
        let orders = if self.random.chance(20) { 2 } else { 1 };
        for order in 0..orders {
            let Some(of) = self.gradient(&derivatives)? else { break };
            if differentiate(&self.builder.clone().finish(of.clone())).is_err() {
                self.builder = before;
                return Ok(None);
            }
            derivatives = if order == 0 { of } else { [derivatives, of].concat() };
        }
        Ok(Some(derivatives).filter(|derivatives| *derivatives != of))
    }

    fn gradient(&mut self, of: &[Value]) -> Result<Option<Vec<Value>>, TypeError> {
        let mut total: Option<Value> = None;
        for &value in of {
            let ty = self.ty(value);
            if !ty.dtype.is_float() {
                continue;
            }
            let value = if ty.dtype == DType::F32 { value } else { self.builder.convert(DType::F32, value)? };
            let weighted = self.builder.binary(Binary::Multiply, value, value)?;
            let axes: Vec<usize> = (0..ty.rank()).collect();
            let sum = self.builder.reduce(Reduction::Sum, &axes, weighted)?;
            total = Some(match total {
                Some(total) => self.builder.binary(Binary::Add, total, sum)?,
                None => sum,
            });
        }
        let parameters = self.builder.graph().parameters.clone();
        let by: Vec<Value> = parameters.into_iter().filter(|&value| self.ty(value).dtype.is_float()).collect();
        let Some(total) = total.filter(|_| !by.is_empty()) else { return Ok(None) };
        let operands: Vec<Value> = std::iter::once(total).chain(by).collect();
        let tuple = self.builder.add(Gradient {}, &operands)?;
        self.builder.projections(tuple).map(Some)
    }
}
