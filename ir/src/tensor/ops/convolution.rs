//! Convolutions.

use super::movement::known_zeros;
use super::{Backward, Cotangents, Operation, arity, permutation, tensor};
use crate::tensor::interpret::{Array, Data, Evaluation, strides};
use crate::tensor::{Builder, Literal, Type, TypeError, Value};
use kc_abi::{Dim, TensorType};
use serde::{Deserialize, Serialize};

/// Which axis of an operand plays which part in a convolution.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvolutionAxes {
    /// Of the input: batch, feature, then the spatial axes.
    pub lhs: Vec<usize>,
    /// Of the kernel: output feature, input feature, then the spatial axes.
    pub rhs: Vec<usize>,
    /// Of the result: batch, feature, then the spatial axes.
    pub out: Vec<usize>,
}

impl ConvolutionAxes {
    /// Keras' `channels_last`: input `[batch, spatial..., feature]`, kernel `[spatial..., in, out]`.
    pub fn channels_last(spatial: usize) -> Self {
        let data: Vec<usize> = [0, spatial + 1].into_iter().chain(1..=spatial).collect();
        ConvolutionAxes {
            lhs: data.clone(),
            rhs: [spatial + 1, spatial].into_iter().chain(0..spatial).collect(),
            out: data,
        }
    }
    /// Keras' `channels_first`: input `[batch, feature, spatial...]`, kernel `[spatial..., in, out]`.
    pub fn channels_first(spatial: usize) -> Self {
        let data: Vec<usize> = (0..spatial + 2).collect();
        ConvolutionAxes {
            lhs: data.clone(),
            rhs: [spatial + 1, spatial].into_iter().chain(0..spatial).collect(),
            out: data,
        }
    }
}

/// Convolution (a cross-correlation, as in all frameworks): with `p = o*strides - padding.low + k*rhs_dilation`,
/// `result[n, o, f] = sum over k, c of lhs[n, p / lhs_dilation, c] * rhs[k, c, f]`, where positions between dilated
/// elements and outside of the input count as 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convolution {
    /// The parts of the axes.
    pub axes: ConvolutionAxes,
    /// Step of the window on each spatial axis.
    pub strides: Vec<i64>,
    /// Zeros before and after each spatial axis; negative crops.
    pub padding: Vec<(i64, i64)>,
    /// 1 + zeros between two neighbours of the input (transposed convolution).
    pub lhs_dilation: Vec<i64>,
    /// 1 + skipped positions between two neighbours of the kernel.
    pub rhs_dilation: Vec<i64>,
    /// Groups of features: input feature `c` of group `g` meets the output features of group `g` only.
    pub feature_groups: i64,
    /// Groups of the batch (gradient of grouped convolutions): the batch axis is split, and the output features with it.
    pub batch_groups: i64,
}

impl Operation for Convolution {
    fn name(&self) -> &'static str {
        "convolution"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let op = "convolution";
        arity(op, operands, 2)?;
        let (lhs, rhs) = (tensor(op, operands, 0)?, tensor(op, operands, 1)?);
        let rank = lhs.rank();
        if lhs.dtype != rhs.dtype || rhs.rank() != rank || rank < 2 {
            return Err(TypeError::new(
                op,
                format!("got {lhs} and {rhs}, expected one dtype and one rank of at least 2"),
            ));
        }
        for axes in [&self.axes.lhs, &self.axes.rhs, &self.axes.out] {
            permutation(op, axes, rank)?;
        }
        let spatial = rank - 2;
        for (what, given) in [
            ("strides", self.strides.len()),
            ("padding", self.padding.len()),
            ("lhs_dilation", self.lhs_dilation.len()),
            ("rhs_dilation", self.rhs_dilation.len()),
        ] {
            super::one_per_axis(op, what, given, spatial)?;
        }
        if self
            .strides
            .iter()
            .chain(&self.lhs_dilation)
            .chain(&self.rhs_dilation)
            .chain([&self.feature_groups, &self.batch_groups])
            .any(|&x| x < 1)
        {
            return Err(TypeError::new(op, "strides, dilations and groups must be at least 1"));
        }
        let (groups, batch_groups) = (Dim::constant(self.feature_groups), Dim::constant(self.batch_groups));
        let batch = &lhs.shape[self.axes.lhs[0]];
        let (in_features, kernel_in) = (&lhs.shape[self.axes.lhs[1]], &rhs.shape[self.axes.rhs[1]]);
        let out_features = &rhs.shape[self.axes.rhs[0]];
        if *in_features != kernel_in.clone() * groups.clone() {
            return Err(TypeError::new(
                op,
                format!(
                    "the input {lhs} has {in_features} features, the kernel {rhs} takes {kernel_in} in each of {groups} groups"
                ),
            ));
        }
        for (what, dim, by) in [
            ("output features", out_features, &groups),
            ("output features", out_features, &batch_groups),
            ("batch", batch, &batch_groups),
        ] {
            if dim.exact_div(by).is_none() {
                return Err(TypeError::new(op, format!("{what} {dim} cannot be split into {by} groups")));
            }
        }
        let mut shape = vec![Dim::default(); rank];
        shape[self.axes.out[0]] = batch.floor_div(&batch_groups);
        shape[self.axes.out[1]] = out_features.clone();
        for s in 0..spatial {
            let extent = &lhs.shape[self.axes.lhs[2 + s]];
            let (low, high) = self.padding[s];
            let Some(kernel) = rhs.shape[self.axes.rhs[2 + s]].as_constant() else {
                // the gradient of a kernel convolves with a cotangent, whose spatial extents may be symbols
                let kernel = &rhs.shape[self.axes.rhs[2 + s]];
                let reach =
                    (kernel.clone() - Dim::constant(1)) * Dim::constant(self.rhs_dilation[s]) + Dim::constant(1);
                let padded = super::movement::padded(op, extent, low, high, self.lhs_dilation[s] - 1)?;
                shape[self.axes.out[2 + s]] =
                    (padded - reach).floor_div(&Dim::constant(self.strides[s])) + Dim::constant(1);
                continue;
            };
            shape[self.axes.out[2 + s]] = super::window::positions(
                op,
                lhs,
                extent,
                kernel,
                self.strides[s],
                (low, high),
                self.lhs_dilation[s],
                self.rhs_dilation[s],
            )?;
        }
        Ok(Type::Tensor(TensorType { dtype: lhs.dtype, shape }))
    }
    /// Convolutions of the cotangent with the kernel and of the input with the cotangent, whose dilations are the strides.
    fn gradient(&self, b: &mut Builder, at: &Backward<'_>) -> Result<Cotangents, TypeError> {
        let g = at.cotangent("convolution")?;
        let (lhs, rhs) = (at.operands[0], at.operands[1]);
        let by_lhs = if at.wanted[0] { Some(self.input_cotangent(b, lhs, rhs, g)?) } else { None };
        let by_rhs = if at.wanted[1] { Some(self.kernel_cotangent(b, lhs, rhs, g)?) } else { None };
        Ok(vec![by_lhs, by_rhs])
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        // the input as [batch, spatial..., feature], the kernel as [output feature, spatial..., input feature]
        let lhs = at.operands[0].transposed(&features_last(&self.axes.lhs))?;
        let rhs = at.operands[1].transposed(&features_last(&self.axes.rhs))?;
        let data = match (lhs.data(), rhs.data()) {
            (Data::Float(input), Data::Float(kernel)) => {
                Data::Float(self.convolve(at, [&lhs, &rhs], (input, kernel), |sum, x, w| sum + x * w))
            }
            (Data::Int(input), Data::Int(kernel)) => {
                let add = |sum: i128, x: i128, w: i128| sum.wrapping_add(x.wrapping_mul(w));
                Data::Int(self.convolve(at, [&lhs, &rhs], (input, kernel), add))
            }
            _ => return Err("the operands are of different kinds".into()),
        };
        let out: Vec<usize> = features_last(&self.axes.out);
        let dtype = at.operands[0].dtype();
        let shape = out.iter().map(|&axis| at.shape()[axis]).collect();
        let result = Array::new(dtype, shape, data.rounded(dtype))?;
        // from [batch, spatial..., feature] to the result's order
        let mut permutation = vec![0; out.len()];
        out.into_iter().enumerate().for_each(|(position, axis)| permutation[axis] = position);
        Ok(vec![result.transposed(&permutation)?])
    }
}

/// The axes with the features behind the spatial ones.
fn features_last(axes: &[usize]) -> Vec<usize> {
    [axes[0]].into_iter().chain(axes[2..].iter().copied()).chain([axes[1]]).collect()
}

impl Convolution {
    /// The result as `[batch, spatial..., feature]`, of operands in such an order.
    fn convolve<T: Copy + Default>(
        &self,
        at: &Evaluation<'_>,
        [lhs, rhs]: [&Array; 2],
        (input, kernel): (&[T], &[T]),
        multiply_add: impl Fn(T, T, T) -> T,
    ) -> Vec<T> {
        let spatial = self.strides.len();
        let (in_features, group_features) = (lhs.shape()[spatial + 1], rhs.shape()[spatial + 1]);
        let out_shape: Vec<usize> = features_last(&self.axes.out).iter().map(|&axis| at.shape()[axis]).collect();
        let (batch, out_features) = (out_shape[0], out_shape[spatial + 1]);
        let window = &rhs.shape()[1..spatial + 1];
        let window_positions: usize = window.iter().product();
        let input_positions: usize = lhs.shape()[1..spatial + 1].iter().product();
        let input_strides = strides(&lhs.shape()[1..spatial + 1]);
        let per_feature_group = out_features / self.feature_groups as usize;
        let per_batch_group = out_features / self.batch_groups as usize;
        let mut values = Vec::with_capacity(out_shape.iter().product());
        let out_positions: usize = out_shape[1..spatial + 1].iter().product();
        // for the current output position: each window position that meets an element, with that element's position
        let mut met: Vec<(usize, usize)> = Vec::with_capacity(window_positions);
        for image in 0..batch {
            for out in 0..out_positions {
                met.clear();
                'window: for k in 0..window_positions {
                    let (mut out_rest, mut k_rest, mut position) = (out, k, 0);
                    for s in (0..spatial).rev() {
                        let (o, w) = (out_rest % out_shape[1 + s], k_rest % window[s]);
                        (out_rest, k_rest) = (out_rest / out_shape[1 + s], k_rest / window[s]);
                        let dilated = o as i64 * self.strides[s] - self.padding[s].0 + w as i64 * self.rhs_dilation[s];
                        let (p, between) =
                            (dilated.div_euclid(self.lhs_dilation[s]), dilated.rem_euclid(self.lhs_dilation[s]));
                        if between != 0 || !(0..lhs.shape()[1 + s] as i64).contains(&p) {
                            continue 'window;
                        }
                        position += p * input_strides[s];
                    }
                    met.push((k, position as usize));
                }
                for feature in 0..out_features {
                    let image = feature / per_batch_group.max(1) * batch + image;
                    let first = feature / per_feature_group.max(1) * group_features;
                    let mut sum = T::default();
                    for &(k, position) in &met {
                        let x = (image * input_positions + position) * in_features + first;
                        let w = (feature * window_positions + k) * group_features;
                        let products = input[x..x + group_features].iter().zip(&kernel[w..w + group_features]);
                        sum = products.fold(sum, |sum, (&x, &w)| multiply_add(sum, x, w));
                    }
                    values.push(sum);
                }
            }
        }
        values
    }
}

/// The axes with the first two exchanged.
fn exchanged(axes: &[usize]) -> Vec<usize> {
    [axes[1], axes[0]].into_iter().chain(axes[2..].iter().copied()).collect()
}

impl Convolution {
    /// For each spatial axis the dilated extents of input, kernel and result.
    fn dilated(&self, b: &Builder, lhs: Value, rhs: Value, g: Value) -> Result<Vec<[Dim; 3]>, TypeError> {
        let extent = |value: Value, axes: &[usize], s: usize, dilation: i64| {
            super::movement::padded("convolution", &b.tensor_type(value).shape[axes[2 + s]], 0, 0, dilation - 1)
        };
        (0..self.strides.len())
            .map(|s| {
                Ok([
                    extent(lhs, &self.axes.lhs, s, self.lhs_dilation[s])?,
                    extent(rhs, &self.axes.rhs, s, self.rhs_dilation[s])?,
                    extent(g, &self.axes.out, s, self.strides[s])?,
                ])
            })
            .collect()
    }

    /// For each spatial axis how many positions of the dilated and padded input lie behind the last window.
    fn rest(&self, dilated: &[[Dim; 3]]) -> Vec<Dim> {
        let rest = |(s, [input, kernel, result]): (usize, &[Dim; 3])| {
            let (low, high) = self.padding[s];
            input.clone() + Dim::constant(low + high + 1) - kernel.clone() - result.clone()
        };
        dilated.iter().enumerate().map(rest).collect()
    }

    /// The cotangent convolved with the reversed kernel, whose features are exchanged.
    fn input_cotangent(&self, b: &mut Builder, lhs: Value, rhs: Value, g: Value) -> Result<Value, TypeError> {
        let dilated = self.dilated(b, lhs, rhs, g)?;
        let rank = b.tensor_type(g).rank();
        let mut interior = vec![0; rank];
        let (mut low, mut high) = (vec![Dim::constant(0); rank], vec![Dim::constant(0); rank]);
        for (s, (rest, [_, kernel, _])) in self.rest(&dilated).into_iter().zip(&dilated).enumerate() {
            let axis = self.axes.out[2 + s];
            let reach = kernel.clone() - Dim::constant(1);
            interior[axis] = self.strides[s] - 1;
            (low[axis], high[axis]) = (reach.clone(), reach + rest);
        }
        let (g, pad) = known_zeros(b, g, interior, &low, &high)?;
        let spatial = || self.axes.out[2..].iter().zip(&self.padding);
        let padding = spatial().map(|(&axis, (low, high))| (pad.low[axis] - low, pad.high[axis] - high)).collect();
        let lhs_dilation = spatial().map(|(&axis, _)| pad.interior[axis] + 1).collect();
        let groups = self.feature_groups.max(self.batch_groups);
        let mut kernel = rhs;
        if groups > 1 {
            kernel = move_groups(b, kernel, self.axes.rhs[0], self.axes.rhs[1], groups)?;
        }
        let mut spatial = self.axes.rhs[2..].to_vec();
        spatial.sort_unstable();
        if !spatial.is_empty() {
            kernel = b.add(super::Reverse { axes: spatial }, &[kernel])?;
        }
        let axes =
            ConvolutionAxes { lhs: self.axes.out.clone(), rhs: exchanged(&self.axes.rhs), out: self.axes.lhs.clone() };
        let backward = Convolution {
            axes,
            strides: self.lhs_dilation.clone(),
            padding,
            lhs_dilation,
            rhs_dilation: self.rhs_dilation.clone(),
            feature_groups: groups,
            batch_groups: 1,
        };
        let cotangent = b.add(backward, &[g, kernel])?;
        if self.batch_groups == 1 {
            return Ok(cotangent);
        }
        move_groups(b, cotangent, self.axes.lhs[1], self.axes.lhs[0], self.batch_groups)
    }

    /// The input convolved with the cotangent, with batch and features exchanged.
    fn kernel_cotangent(&self, b: &mut Builder, lhs: Value, rhs: Value, g: Value) -> Result<Value, TypeError> {
        let dilated = self.dilated(b, lhs, rhs, g)?;
        let rest = self.rest(&dilated);
        let known: Option<Vec<i64>> = rest.iter().map(Dim::as_constant).collect();
        let (lhs, padding, lhs_dilation) = match known {
            // what no window reaches is not read
            Some(rest) => {
                let padding = self.padding.iter().zip(rest).map(|(&(low, high), rest)| (low, high - rest)).collect();
                (lhs, padding, self.lhs_dilation.clone())
            }
            None => (self.reached(b, lhs, &rest)?, vec![(0, 0); self.padding.len()], vec![1; self.padding.len()]),
        };
        let backward = Convolution {
            padding,
            axes: ConvolutionAxes {
                lhs: exchanged(&self.axes.lhs),
                rhs: exchanged(&self.axes.out),
                out: exchanged(&self.axes.rhs),
            },
            strides: self.rhs_dilation.clone(),
            lhs_dilation,
            rhs_dilation: self.strides.clone(),
            feature_groups: self.batch_groups,
            batch_groups: self.feature_groups,
        };
        b.add(backward, &[lhs, g])
    }

    /// The dilated and padded input without what lies behind the last window.
    fn reached(&self, b: &mut Builder, lhs: Value, rest: &[Dim]) -> Result<Value, TypeError> {
        let rank = b.tensor_type(lhs).rank();
        let mut pad = super::Pad { low: vec![0; rank], high: vec![0; rank], interior: vec![0; rank] };
        for (s, &axis) in self.axes.lhs[2..].iter().enumerate() {
            (pad.low[axis], pad.high[axis]) = self.padding[s];
            pad.interior[axis] = self.lhs_dilation[s] - 1;
        }
        let zero = b.constant(Literal::scalar(b.tensor_type(lhs).dtype, 0.0))?;
        let padded = b.add(pad, &[lhs, zero])?;
        let mut limit = b.tensor_type(padded).shape.clone();
        for (&axis, rest) in self.axes.lhs[2..].iter().zip(rest) {
            limit[axis] = limit[axis].clone() - rest.clone();
        }
        b.add(super::Slice { start: vec![Dim::constant(0); rank], limit, stride: vec![1; rank] }, &[padded])
    }
}

/// Splits `groups` off the front of one axis and merges them into the front of another.
fn move_groups(b: &mut Builder, x: Value, from: usize, to: usize, groups: i64) -> Result<Value, TypeError> {
    let groups = Dim::constant(groups);
    let mut shape = b.tensor_type(x).shape.clone();
    let rank = shape.len();
    shape[from] = shape[from].floor_div(&groups);
    shape.insert(from, groups.clone());
    let split = b.reshape(x, &shape)?;
    // the groups' axis stands at `from`; it moves in front of the axis `to`, which has moved if it is behind
    let target = if to > from { to + 1 } else { to };
    let mut permutation: Vec<usize> = (0..=rank).filter(|&axis| axis != from).collect();
    let position = permutation.iter().position(|&axis| axis == target).unwrap_or(0);
    permutation.insert(position, from);
    let moved = b.transpose(split, &permutation)?;
    let mut shape = b.tensor_type(moved).shape.clone();
    shape.remove(position);
    shape[position] = shape[position].clone() * groups;
    b.reshape(moved, &shape)
}
