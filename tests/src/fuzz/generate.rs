//! A random module of one function.

use super::random::Random;
use kc_ir::manifest::{Input, InputRole, ModelInfo, Output, StateRole, StateTensor};
use kc_ir::tensor::composites::{LogSoftmax, Relu, Softmax};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Argument, Builder, Function, Literal, Module, ResultSlot, Scalar, TypeError, Value};
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
    };
    generator.random.next();
    let symbolic = generator.random.chance(40);
    let rank = [2, 2, 3, 4, 1][generator.random.below(5)];
    let mut shape: Vec<Dim> = (0..rank).map(|_| generator.extent()).collect();
    if symbolic {
        shape[0] = Dim::symbol("B");
    }
    if generator.random.chance(8) {
        // more than a task takes
        let rows = Dim::constant(generator.random.pick(&[64, 100, 129]));
        let columns = Dim::constant(generator.random.pick(&[200, 257, 1030]));
        shape = vec![if symbolic { Dim::symbol("B") } else { rows }, columns];
    }
    let dtype = if generator.random.chance(85) { DType::F32 } else { generator.dtype() };
    // a draw that cannot be typed is another draw
    let _ = generator.parameter(TensorType { dtype, shape });
    let wanted = generator.random.between(2, 11) as usize;
    for _ in 0..6 * wanted {
        if generator.pool.len() > wanted {
            break;
        }
        let before = generator.clone();
        match generator.op() {
            Ok(Some(value)) if generator.is_small(value) && !generator.pool.contains(&value) => {
                generator.pool.push(value);
            }
            // nothing is left of an op that is not wanted
            _ => generator = Generator { random: generator.random, ..before },
        }
    }
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
}

type Made = Result<Option<Value>, TypeError>;

impl Generator {
    fn extent(&mut self) -> Dim {
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
        ])
    }

    fn ty(&self, value: Value) -> TensorType {
        self.builder.tensor_type(value).clone()
    }

    /// Whether a value has elements for every batch, and not too many.
    fn is_small(&self, value: Value) -> bool {
        if self.ty(value).shape.iter().any(|dim| dim.evaluate(&|_| Some(1)).is_none_or(|extent| extent < 1)) {
            return false;
        }
        self.ty(value).elements().evaluate(&|_| Some(17)).is_some_and(|elements| elements <= 140_000)
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
        self.pool.push(value);
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

    /// Adds an op of a random kind; `None` where nothing suits it.
    fn op(&mut self) -> Made {
        match self.random.below(100) {
            0..12 => self.unary(),
            12..32 => self.binary(),
            32..36 => self.choice(),
            36..39 => {
                let (x, dtype) = (self.any(), self.dtype());
                self.builder.convert(dtype, x).map(Some)
            }
            39..49 => self.reduction(),
            49..52 => self.centred(),
            52..56 => self.composite(),
            56..64 => self.contraction(),
            64..70 => self.convolution(),
            70..74 => self.window(),
            74..76 => self.scatter(),
            76..80 => self.reshape(),
            80..84 => {
                let x = self.any();
                let permutation = self.permutation(self.ty(x).rank());
                self.builder.transpose(x, &permutation).map(Some)
            }
            84..87 => self.slice(),
            87..89 => {
                let x = self.any();
                let axes = self.some_axes(self.ty(x).rank());
                self.builder.add(Reverse { axes }, &[x]).map(Some)
            }
            89..92 => self.pad(),
            92..95 => self.concatenate(),
            95..97 => self.broadcast(),
            97..98 => self.random_bits(),
            _ => self.source(),
        }
    }

    fn unary(&mut self) -> Made {
        const EXACT: [Unary; 6] = [Unary::Negate, Unary::Abs, Unary::Sign, Unary::Floor, Unary::Ceil, Unary::RoundEven];
        const SMOOTH: [Unary; 11] = [
            Unary::Exp,
            Unary::Expm1,
            Unary::Tanh,
            Unary::Logistic,
            Unary::Sin,
            Unary::Cos,
            Unary::Atan,
            Unary::Erf,
            Unary::Erfc,
            Unary::Asinh,
            Unary::IsFinite,
        ];
        const BITS: [Unary; 6] =
            [Unary::Negate, Unary::Abs, Unary::Sign, Unary::Not, Unary::PopulationCount, Unary::CountLeadingZeros];
        let x = self.any();
        let dtype = self.ty(x).dtype;
        let function = match dtype {
            _ if dtype.is_float() && self.random.chance(60) => self.random.pick(&EXACT),
            _ if dtype.is_float() => self.random.pick(&SMOOTH),
            _ => self.random.pick(&BITS),
        };
        if self.random.chance(10) && dtype.is_float() {
            // of what is at least 1
            let square = self.builder.binary(Binary::Multiply, x, x)?;
            let one = self.builder.splat_like(1.0, square)?;
            let positive = self.builder.binary(Binary::Add, square, one)?;
            let function = self.random.pick(&[Unary::Sqrt, Unary::Rsqrt, Unary::Log]);
            return self.builder.unary(function, positive).map(Some);
        }
        self.builder.unary(function, x).map(Some)
    }

    fn binary(&mut self) -> Made {
        const FLOAT: [Binary; 9] = [
            Binary::Add,
            Binary::Add,
            Binary::Subtract,
            Binary::Multiply,
            Binary::Multiply,
            Binary::Maximum,
            Binary::Minimum,
            Binary::Divide,
            Binary::Add,
        ];
        let x = self.any();
        let ty = self.ty(x);
        let function = if ty.dtype.is_float() { self.random.pick(&FLOAT) } else { self.random.pick(Binary::ALL) };
        // integer powers grow beyond what is interesting
        if function == Binary::Power {
            return Ok(None);
        }
        let y = self.of_type(&ty)?;
        if self.random.chance(50) {
            self.builder.binary(function, x, y).map(Some)
        } else {
            self.builder.binary(function, y, x).map(Some)
        }
    }

    fn choice(&mut self) -> Made {
        let x = self.any();
        let ty = self.ty(x);
        let y = self.of_type(&ty)?;
        let condition = match self.any_where(|other| other.dtype == DType::Bool && other.shape == ty.shape) {
            Some(condition) => condition,
            None => {
                let function = self.random.pick(Compare::ALL);
                self.builder.compare(function, x, y)?
            }
        };
        if self.random.chance(30) {
            return Ok(Some(condition));
        }
        let z = self.of_type(&ty)?;
        self.builder.select(condition, x, z).map(Some)
    }

    fn reduction(&mut self) -> Made {
        let x = self.any();
        let ty = self.ty(x);
        if ty.rank() == 0 {
            return Ok(None);
        }
        if self.random.chance(15) {
            let axis = self.random.below(ty.rank());
            let (kind, dtype) =
                (self.random.pick(&[Extremum::Max, Extremum::Min]), self.random.pick(&[DType::I32, DType::I64]));
            return self.builder.add(ArgReduce { kind, axis, dtype }, &[x]).map(Some);
        }
        let kind =
            self.random.pick(&[Reduction::Sum, Reduction::Sum, Reduction::Max, Reduction::Min, Reduction::Product]);
        let axes = self.some_axes(ty.rank());
        self.builder.reduce(kind, &axes, x).map(Some)
    }

    /// What depends on a reduction of itself, as a normalisation does.
    fn centred(&mut self) -> Made {
        let Some(x) = self.any_float() else { return Ok(None) };
        let rank = self.ty(x).rank();
        if rank == 0 {
            return Ok(None);
        }
        let axes = self.some_axes(rank);
        let kind = self.random.pick(&[Reduction::Sum, Reduction::Max]);
        let middle = self.builder.reduce_keep(kind, &axes, x)?;
        let centred = self.builder.binary(Binary::Subtract, x, middle)?;
        if self.random.chance(50) {
            return Ok(Some(centred));
        }
        let square = self.builder.binary(Binary::Multiply, centred, centred)?;
        let spread = self.builder.reduce_keep(Reduction::Sum, &axes, square)?;
        let one = self.builder.splat_like(1.0, spread)?;
        let positive = self.builder.binary(Binary::Add, spread, one)?;
        let scale = self.builder.unary(Unary::Rsqrt, positive)?;
        self.builder.binary(Binary::Multiply, centred, scale).map(Some)
    }

    fn composite(&mut self) -> Made {
        let Some(x) = self.any_float() else { return Ok(None) };
        let rank = self.ty(x).rank();
        match self.random.below(3) {
            0 => self.builder.add(Relu {}, &[x]).map(Some),
            _ if rank == 0 => Ok(None),
            1 => {
                let axis = self.random.below(rank);
                self.builder.add(Softmax { axis }, &[x]).map(Some)
            }
            _ => {
                let axis = self.random.below(rank);
                self.builder.add(LogSoftmax { axis }, &[x]).map(Some)
            }
        }
    }

    fn contraction(&mut self) -> Made {
        let Some(x) = self.any_where(|ty| ty.rank() >= 1 && ty.dtype != DType::Bool) else { return Ok(None) };
        let ty = self.ty(x);
        let axes = self.permutation(ty.rank());
        let batches = if ty.rank() > 2 && self.random.chance(40) { 1 + self.random.below(ty.rank() - 2) } else { 0 };
        let contracted = 1 + usize::from(ty.rank() > batches + 1 && self.random.chance(20));
        let (lhs_batch, rest) = axes.split_at(batches);
        let lhs_contract = &rest[..contracted.min(rest.len())];
        // the other side: its axes in any order
        let free = self.random.below(3);
        let mut shape: Vec<(usize, Dim)> = vec![];
        for (part, axes) in [lhs_batch, lhs_contract].into_iter().enumerate() {
            shape.extend(axes.iter().enumerate().map(|(i, &axis)| (10 * part + i, ty.shape[axis].clone())));
        }
        for i in 0..free {
            let extent = self.extent();
            shape.push((20 + i, extent));
        }
        let shape = if self.random.chance(60) { shape } else { self.random.shuffled(shape) };
        let place = |label: usize| shape.iter().position(|(other, _)| *other == label).unwrap_or(0);
        let op = DotGeneral {
            lhs_batch: lhs_batch.to_vec(),
            rhs_batch: (0..lhs_batch.len()).map(place).collect(),
            lhs_contract: lhs_contract.to_vec(),
            rhs_contract: (0..lhs_contract.len()).map(|i| place(10 + i)).collect(),
        };
        let other = TensorType { dtype: ty.dtype, shape: shape.iter().map(|(_, dim)| dim.clone()).collect() };
        let y = match self.any_where(|known| *known == other) {
            Some(y) => y,
            None => self.parameter(other)?,
        };
        let product = self.builder.add(op, &[x, y])?;
        if self.random.chance(50) {
            return Ok(Some(product));
        }
        // a bias along the last axis, and perhaps an activation
        let ty = self.ty(product);
        let Some(last) = ty.shape.last().cloned() else { return Ok(Some(product)) };
        let bias = self.parameter(TensorType { dtype: ty.dtype, shape: vec![last] })?;
        let bias = self.builder.broadcast(bias, &ty.shape, &[ty.rank() - 1])?;
        let sum = self.builder.binary(Binary::Add, product, bias)?;
        if ty.dtype.is_float() && self.random.chance(50) {
            return self.builder.add(Relu {}, &[sum]).map(Some);
        }
        Ok(Some(sum))
    }

    fn convolution(&mut self) -> Made {
        let found = self.any_where(|ty| (3..=4).contains(&ty.rank()) && ty.dtype.is_float());
        let x = match found {
            Some(x) => x,
            None => {
                let shape = [self.random.between(1, 3), self.random.between(3, 9), self.random.between(3, 9), 4];
                self.parameter(TensorType::new(DType::F32, shape))?
            }
        };
        let ty = self.ty(x);
        let spatial = ty.rank() - 2;
        let axes = if self.random.chance(70) {
            ConvolutionAxes::channels_last(spatial)
        } else {
            ConvolutionAxes::channels_first(spatial)
        };
        let Some(features) = ty.shape[axes.lhs[1]].as_constant() else { return Ok(None) };
        let groups = if self.random.chance(25) {
            let divisors: Vec<i64> = (1..=features).filter(|n| features % n == 0).collect();
            self.random.pick(&divisors)
        } else {
            1
        };
        let out = groups * self.random.between(1, 5);
        let mut kernel = vec![0; ty.rank()];
        for &axis in &axes.rhs[2..] {
            kernel[axis] = self.random.between(1, 3);
        }
        kernel[axes.rhs[0]] = out;
        kernel[axes.rhs[1]] = features / groups;
        let kernel = self.parameter(TensorType::new(ty.dtype, kernel))?;
        let mut list = |low: i64, high: i64| (0..spatial).map(|_| self.random.between(low, high)).collect::<Vec<i64>>();
        let op = Convolution {
            strides: list(1, 2),
            padding: list(0, 2).into_iter().zip(list(0, 2)).collect(),
            lhs_dilation: if list(0, 9)[0] == 0 { list(1, 2) } else { vec![1; spatial] },
            rhs_dilation: if list(0, 4)[0] == 0 { list(1, 2) } else { vec![1; spatial] },
            feature_groups: groups,
            batch_groups: 1,
            axes,
        };
        self.builder.add(op, &[x, kernel]).map(Some)
    }

    fn a_window(&mut self, ty: &TensorType) -> Window {
        let rank = ty.rank();
        let mut window = Window {
            size: vec![1; rank],
            strides: vec![1; rank],
            padding: vec![(0, 0); rank],
            base_dilation: vec![1; rank],
            window_dilation: vec![1; rank],
        };
        for axis in 0..rank {
            if ty.shape[axis].as_constant().is_none_or(|extent| extent < 3) || self.random.chance(40) {
                continue;
            }
            window.size[axis] = self.random.between(1, 3);
            window.strides[axis] = self.random.between(1, 2);
            if self.random.chance(40) {
                let most = window.size[axis] - 1;
                window.padding[axis] = (self.random.between(0, most), self.random.between(0, most));
            }
        }
        window
    }

    fn window(&mut self) -> Made {
        let Some(x) = self.any_where(|ty| (2..=4).contains(&ty.rank()) && ty.dtype != DType::Bool) else {
            return Ok(None);
        };
        let window = self.a_window(&self.ty(x));
        let kind = self.random.pick(&[Reduction::Sum, Reduction::Max, Reduction::Min]);
        self.builder.add(ReduceWindow { kind, window }, &[x]).map(Some)
    }

    fn scatter(&mut self) -> Made {
        let Some(x) = self.any_where(|ty| (2..=4).contains(&ty.rank()) && ty.dtype.is_float()) else { return Ok(None) };
        let window = self.a_window(&self.ty(x));
        let maxima = self.builder.add(ReduceWindow { kind: Reduction::Max, window: window.clone() }, &[x])?;
        let ty = self.ty(maxima);
        let source = self.of_type(&ty)?;
        self.builder.add(SelectAndScatter { window }, &[x, source]).map(Some)
    }

    fn reshape(&mut self) -> Made {
        let x = self.any();
        let shape = self.ty(x).shape;
        let mut new = shape.clone();
        match self.random.below(3) {
            0 => {
                let place = self.random.below(shape.len() + 1);
                new.insert(place, Dim::constant(1));
            }
            1 if shape.len() >= 2 => {
                let place = self.random.below(shape.len() - 1);
                let second = new.remove(place + 1);
                new[place] = new[place].clone() * second;
            }
            _ => {
                let Some(place) = (0..shape.len()).find(|&axis| shape[axis].as_constant().is_some_and(|n| n > 3))
                else {
                    return Ok(None);
                };
                let extent = shape[place].as_constant().unwrap_or(1);
                let Some(factor) = (2..extent).find(|n| extent % n == 0) else { return Ok(None) };
                new[place] = Dim::constant(factor);
                new.insert(place + 1, Dim::constant(extent / factor));
            }
        }
        self.builder.reshape(x, &new).map(Some)
    }

    fn slice(&mut self) -> Made {
        let x = self.any();
        let shape = self.ty(x).shape;
        let (mut start, mut stride) = (vec![Dim::constant(0); shape.len()], vec![1; shape.len()]);
        let mut limit = shape.clone();
        for axis in 0..shape.len() {
            let Some(extent) = shape[axis].as_constant().filter(|&extent| extent > 1) else { continue };
            if self.random.chance(60) {
                let first = self.random.between(0, extent - 1);
                let last = self.random.between(first + 1, extent);
                (start[axis], limit[axis]) = (Dim::constant(first), Dim::constant(last));
                stride[axis] = self.random.pick(&[1, 1, 2, 3]);
            }
        }
        self.builder.add(Slice { start, limit, stride }, &[x]).map(Some)
    }

    fn pad(&mut self) -> Made {
        let x = self.any();
        let ty = self.ty(x);
        let mut list = |low: i64, high: i64, percent: usize| -> Vec<i64> {
            (0..ty.rank())
                .map(|_| if self.random.chance(percent) { self.random.between(low, high) } else { 0 })
                .collect()
        };
        let op = Pad { low: list(-1, 3, 40), high: list(-1, 3, 40), interior: list(1, 2, 20) };
        let value = match ty.dtype {
            dtype if dtype.is_float() => Scalar::Float(self.random.pick(&[0.0, 0.0, 1.5])),
            _ => Scalar::Int(0),
        };
        let value = self.builder.constant(Literal::scalar(ty.dtype, value))?;
        self.builder.add(op, &[x, value]).map(Some)
    }

    fn concatenate(&mut self) -> Made {
        let Some(x) = self.any_with_rank(1..=4) else { return Ok(None) };
        let ty = self.ty(x);
        let axis = self.random.below(ty.rank());
        let mut operands = vec![x];
        for _ in 0..self.random.between(1, 2) {
            let mut other = ty.clone();
            if self.random.chance(60) {
                other.shape[axis] = self.extent();
            }
            let operand = self.of_type(&other)?;
            operands.push(operand);
        }
        let operands = self.random.shuffled(operands);
        self.builder.add(Concatenate { axis }, &operands).map(Some)
    }

    fn broadcast(&mut self) -> Made {
        let x = self.any();
        let mut shape = self.ty(x).shape;
        if shape.len() > 3 {
            return Ok(None);
        }
        let place = self.random.below(shape.len() + 1);
        let extent = self.extent();
        let axes: Vec<usize> = (0..shape.len()).map(|axis| axis + usize::from(axis >= place)).collect();
        shape.insert(place, extent);
        self.builder.broadcast(x, &shape, &axes).map(Some)
    }

    fn random_bits(&mut self) -> Made {
        let key_type = TensorType::new(DType::U32, [2i64]);
        let key = match self.any_where(|ty| *ty == key_type) {
            Some(key) => key,
            None => self.parameter(key_type)?,
        };
        let shape = self.ty(self.pool[0]).shape;
        self.builder.add(RandomBits { shape }, &[key]).map(Some)
    }

    fn source(&mut self) -> Made {
        let x = self.any();
        let ty = self.ty(x);
        if ty.dtype == DType::Bool {
            return Ok(None);
        }
        if let Some(dim) = ty.shape.iter().find(|dim| dim.as_constant().is_none()) {
            let extent = self.builder.dimension(dim.clone(), ty.dtype)?;
            let extent = self.builder.broadcast(extent, &ty.shape, &[])?;
            return self.builder.binary(Binary::Multiply, x, extent).map(Some);
        }
        if ty.rank() == 0 {
            return Ok(None);
        }
        let axis = self.random.below(ty.rank());
        let positions = self.builder.add(Iota { ty, axis }, &[])?;
        self.builder.binary(Binary::Add, x, positions).map(Some)
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

    /// The derivatives of the sum of all floating-point values among `of` by the parameters; `None` where an op has none.
    fn derivatives(&mut self, of: &[Value]) -> Result<Option<Vec<Value>>, TypeError> {
        let before = self.builder.clone();
        let mut total: Option<Value> = None;
        for &value in of {
            let ty = self.ty(value);
            if ty.dtype != DType::F32 {
                continue;
            }
            let weighted = self.builder.binary(Binary::Multiply, value, value)?;
            let axes: Vec<usize> = (0..ty.rank()).collect();
            let sum = self.builder.reduce(Reduction::Sum, &axes, weighted)?;
            total = Some(match total {
                Some(total) => self.builder.binary(Binary::Add, total, sum)?,
                None => sum,
            });
        }
        let parameters = self.builder.graph().parameters.clone();
        let by: Vec<Value> = parameters.into_iter().filter(|&value| self.ty(value).dtype == DType::F32).collect();
        let Some(total) = total.filter(|_| !by.is_empty()) else { return Ok(None) };
        let operands: Vec<Value> = std::iter::once(total).chain(by).collect();
        let tuple = self.builder.add(Gradient {}, &operands)?;
        let derivatives = self.builder.projections(tuple)?;
        if differentiate(&self.builder.clone().finish(derivatives.clone())).is_err() {
            self.builder = before;
            return Ok(None);
        }
        Ok(Some(derivatives))
    }
}
