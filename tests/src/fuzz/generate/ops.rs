//! One op of each kind, over values that suit it.

use super::{Generator, Made};
use kc_ir::tensor::composites::Relu;
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Literal, Scalar};
use kc_ir::{DType, Dim, TensorType};

/// Regions inside of each other, at most.
const DEPTH: usize = 2;

impl Generator {
    /// Adds an op of a random kind; `None` where nothing suits it.
    pub(super) fn op(&mut self) -> Made {
        match self.random.below(100) {
            0..10 => self.unary(),
            10..25 => self.binary(),
            25..29 => self.choice(),
            29..32 => {
                let (x, dtype) = (self.any(), self.dtype());
                self.builder.convert(dtype, x).map(Some)
            }
            32..40 => self.reduction(),
            40..42 => self.centred(),
            42..44 => self.cumulative(),
            44..56 => self.composite(),
            56..63 => self.contraction(),
            63..67 => self.convolution(),
            67..70 => self.window(),
            70..71 => self.select_and_scatter(),
            71..74 => self.gather(),
            74..76 => self.scatter(),
            76..78 => self.reshape(),
            78..80 => {
                let x = self.any();
                let permutation = self.permutation(self.ty(x).rank());
                self.builder.transpose(x, &permutation).map(Some)
            }
            80..83 => self.slice(),
            83..85 => {
                let x = self.any();
                let axes = self.some_axes(self.ty(x).rank());
                self.builder.add(Reverse { axes }, &[x]).map(Some)
            }
            85..87 => self.pad(),
            87..90 => self.concatenate(),
            90..92 => self.broadcast(),
            92..94 => match self.random.below(2) {
                0 => self.random_bits(),
                _ => self.bits(),
            },
            94..96 => self.sort(),
            96..98 if self.depth < DEPTH => match self.random.below(10) {
                0 => self.choice_of_regions(),
                1 => self.repeated(),
                2..4 => self.scan(),
                4 => self.remat(),
                5 => self.custom_gradient(),
                6 => self.barrier(),
                _ => self.associative_scan(),
            },
            96..98 => self.barrier(),
            _ => match self.random.below(3) {
                0 => self.fourier(),
                1 => self.algebra(),
                _ => self.source(),
            },
        }
    }

    fn unary(&mut self) -> Made {
        const EXACT: [Unary; 6] = [Unary::Negate, Unary::Abs, Unary::Sign, Unary::Floor, Unary::Ceil, Unary::RoundEven];
        let x = self.any();
        let dtype = self.ty(x).dtype;
        let function = if dtype.is_float() && self.random.chance(60) {
            self.random.pick(&EXACT)
        } else {
            self.random.pick(Unary::ALL)
        };
        if !function.domain().contains(dtype) {
            return Ok(None);
        }
        // where the function is known everywhere, or in 10 of 100 cases whatever that is
        let x = match function {
            _ if self.random.chance(10) => x,
            // of what is above 1
            Unary::Sqrt | Unary::Rsqrt | Unary::Cbrt | Unary::Log | Unary::Lgamma | Unary::Digamma | Unary::Acosh => {
                let square = self.builder.binary(Binary::Multiply, x, x)?;
                let number = self.builder.splat_like(1.25, square)?;
                self.builder.binary(Binary::Add, square, number)?
            }
            // of what is between -1/2 and 1/2
            Unary::Asin | Unary::Acos | Unary::Atanh | Unary::ErfInv | Unary::Tan | Unary::Log1p => {
                let sine = self.builder.unary(Unary::Sin, x)?;
                let half = self.builder.splat_like(0.5, sine)?;
                self.builder.binary(Binary::Multiply, sine, half)?
            }
            _ => x,
        };
        self.builder.unary(function, x).map(Some)
    }

    fn binary(&mut self) -> Made {
        const COMMON: [Binary; 7] = [
            Binary::Add,
            Binary::Add,
            Binary::Subtract,
            Binary::Multiply,
            Binary::Multiply,
            Binary::Maximum,
            Binary::Divide,
        ];
        let x = self.any();
        let ty = self.ty(x);
        let common = ty.dtype.is_float() && self.random.chance(80);
        let function = if common { self.random.pick(&COMMON) } else { self.random.pick(Binary::ALL) };
        if !function.domain().contains(ty.dtype) {
            return Ok(None);
        }
        if function == Binary::Power && ty.dtype.is_float() {
            let (base, exponent) = (self.positive(x)?, self.of_type(&ty)?);
            return self.builder.binary(function, base, exponent).map(Some);
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
            // there is none without elements
            if ty.shape[axis].is(0) {
                return Ok(None);
            }
            return self.builder.add(ArgReduce { kind, axis, dtype }, &[x]).map(Some);
        }
        let kind =
            self.random.pick(&[Reduction::Sum, Reduction::Sum, Reduction::Max, Reduction::Min, Reduction::Product]);
        let axes = self.some_axes(ty.rank());
        self.builder.reduce(kind, &axes, x).map(Some)
    }

    fn cumulative(&mut self) -> Made {
        let x = self.any();
        let ty = self.ty(x);
        if ty.rank() == 0 {
            return Ok(None);
        }
        let (axis, reverse) = (self.random.below(ty.rank()), self.random.chance(40));
        if self.random.chance(25) {
            let addend = self.of_type(&ty)?;
            return self.builder.add(Recurrence { axis, reverse }, &[x, addend]).map(Some);
        }
        let kind =
            self.random.pick(&[Reduction::Sum, Reduction::Sum, Reduction::Product, Reduction::Max, Reduction::Min]);
        self.builder.add(Cumulative { kind, axis, reverse }, &[x]).map(Some)
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

    fn contraction(&mut self) -> Made {
        let Some(x) = self.any_where(|ty| ty.rank() >= 1 && ty.dtype != DType::Bool) else { return Ok(None) };
        // instructions of CPUs sum groups of bf16 in f32, of 8-bit integers in i32
        let narrow = match self.ty(x).dtype {
            _ if !self.random.chance(30) => None,
            dtype if dtype.is_float() => Some(DType::Bf16),
            _ => Some(self.random.pick(&[DType::I8, DType::U8])),
        };
        let x = narrow.map_or(Ok(x), |dtype| self.builder.convert(dtype, x))?;
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
        let sums = if narrow.is_some_and(|dtype| dtype.is_integer()) { DType::I32 } else { ty.dtype };
        let [x, y] = [self.builder.convert(sums, x)?, self.builder.convert(sums, y)?];
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
        let Some(features) = ty.shape[axes.lhs[1]].as_constant().filter(|&features| features > 0) else {
            return Ok(None);
        };
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
            if self.random.chance(15) {
                window.base_dilation[axis] = self.random.between(1, 3);
                window.window_dilation[axis] = self.random.between(1, 2);
            }
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
        // the derivative of a product has ops for each position of the window
        let is_small = window.size.iter().product::<i64>() <= 4;
        let last = if is_small { Reduction::Product } else { Reduction::Sum };
        let kind = self.random.pick(&[Reduction::Sum, Reduction::Max, Reduction::Min, last]);
        self.builder.add(ReduceWindow { kind, window }, &[x]).map(Some)
    }

    fn select_and_scatter(&mut self) -> Made {
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
        let key = self.key()?;
        let shape = self.ty(self.pool[0]).shape;
        self.builder.add(RandomBits { shape }, &[key]).map(Some)
    }

    /// The bits of a tensor as another type of that size.
    fn bits(&mut self) -> Made {
        let x = self.any();
        let from = self.ty(x).dtype;
        let fitting: Vec<DType> = [
            [DType::F32, DType::I32, DType::U32],
            [DType::F64, DType::I64, DType::U64],
            [DType::F16, DType::I16, DType::U16],
            [DType::Bf16, DType::I16, DType::U16],
            [DType::U8, DType::I8, DType::I8],
        ]
        .into_iter()
        .filter(|group| group.contains(&from))
        .flatten()
        .collect();
        if fitting.is_empty() {
            return Ok(None);
        }
        let dtype = self.random.pick(&fitting);
        self.builder.add(BitcastConvert { dtype }, &[x]).map(Some)
    }

    fn fourier(&mut self) -> Made {
        let suits = |ty: &TensorType| (1..=3).contains(&ty.rank()) && matches!(ty.dtype, DType::F32 | DType::F64);
        let Some(x) = self.any_where(suits) else { return Ok(None) };
        let ty = self.ty(x);
        let other = self.of_type(&ty)?;
        let parts = match self.random.chance(50) {
            true => self.builder.fft(x, other)?,
            false => self.builder.inverse_fft(x, other)?,
        };
        Ok(Some(self.random.pick(&parts)))
    }

    fn sort(&mut self) -> Made {
        let Some(x) = self.any_with_rank(1..=4) else { return Ok(None) };
        let ty = self.ty(x);
        let last = ty.shape.last().and_then(Dim::as_constant).unwrap_or(0);
        if last > 0 && self.random.chance(30) {
            let k = self.random.between(1, last) as usize;
            let both = self.builder.top_k(x, k)?;
            return Ok(Some(self.random.pick(&both)));
        }
        let axis = self.random.below(ty.rank());
        let direction = self.random.pick(&[Direction::Ascending, Direction::Descending]);
        if self.random.chance(50) {
            return self.builder.sort(x, axis, direction).map(Some);
        }
        let other = TensorType { dtype: self.dtype(), ..ty };
        let other = self.of_type(&other)?;
        let keys = self.random.between(1, 2) as usize;
        let sorted = self.builder.add(Sort { axis, keys, direction }, &[x, other])?;
        let both = self.builder.projections(sorted)?;
        self.pool.push(both[0]);
        Ok(Some(both[1]))
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
}
