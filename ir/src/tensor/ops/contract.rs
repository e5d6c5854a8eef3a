//! Contractions.

use super::{Operation, arity, axis, permutation, tensor};
use crate::tensor::{Type, TypeError};
use kc_abi::{Dim, TensorType};
use serde::{Deserialize, Serialize};

/// The sum over paired axes of products: `result[batch..., lhs free..., rhs free...]` (StableHLO's `dot_general`).
/// Sums of f16 and bf16 accumulate in f32.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DotGeneral {
    /// Batch axes of the left operand, paired in order with `rhs_batch`.
    pub lhs_batch: Vec<usize>,
    /// Batch axes of the right operand.
    pub rhs_batch: Vec<usize>,
    /// Summed axes of the left operand, paired in order with `rhs_contract`.
    pub lhs_contract: Vec<usize>,
    /// Summed axes of the right operand.
    pub rhs_contract: Vec<usize>,
}

impl DotGeneral {
    /// Axes of the left operand that are neither batch nor summed.
    pub fn lhs_free(&self, rank: usize) -> Vec<usize> {
        free(rank, &self.lhs_batch, &self.lhs_contract)
    }
    /// Axes of the right operand that are neither batch nor summed.
    pub fn rhs_free(&self, rank: usize) -> Vec<usize> {
        free(rank, &self.rhs_batch, &self.rhs_contract)
    }
}

fn free(rank: usize, batch: &[usize], contract: &[usize]) -> Vec<usize> {
    (0..rank).filter(|a| !batch.contains(a) && !contract.contains(a)).collect()
}

impl Operation for DotGeneral {
    fn name(&self) -> &'static str {
        "dot_general"
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let op = "dot_general";
        arity(op, operands, 2)?;
        let (lhs, rhs) = (tensor(op, operands, 0)?, tensor(op, operands, 1)?);
        if lhs.dtype != rhs.dtype {
            return Err(TypeError::new(op, format!("got {lhs} and {rhs}, expected one dtype")));
        }
        if self.lhs_batch.len() != self.rhs_batch.len() || self.lhs_contract.len() != self.rhs_contract.len() {
            return Err(TypeError::new(op, "batch or contracting axes of the two sides differ in number"));
        }
        for (ty, batch, contract) in
            [(lhs, &self.lhs_batch, &self.lhs_contract), (rhs, &self.rhs_batch, &self.rhs_contract)]
        {
            let mut seen = vec![false; ty.rank()];
            for &a in batch.iter().chain(contract) {
                axis(op, a, ty.rank())?;
                if std::mem::replace(&mut seen[a], true) {
                    return Err(TypeError::new(op, format!("axis {a} of {ty} is named twice")));
                }
            }
        }
        for (what, left, right) in
            [("batch", &self.lhs_batch, &self.rhs_batch), ("contracting", &self.lhs_contract, &self.rhs_contract)]
        {
            for (&l, &r) in left.iter().zip(right) {
                if lhs.shape[l] != rhs.shape[r] {
                    return Err(TypeError::new(
                        op,
                        format!(
                            "{what} axis {l} of {lhs} has extent {}, axis {r} of {rhs} has {}",
                            lhs.shape[l], rhs.shape[r]
                        ),
                    ));
                }
            }
        }
        let batch = self.lhs_batch.iter().map(|&a| lhs.shape[a].clone());
        let left = self.lhs_free(lhs.rank()).into_iter().map(|a| lhs.shape[a].clone());
        let right = self.rhs_free(rhs.rank()).into_iter().map(|a| rhs.shape[a].clone());
        Ok(Type::Tensor(TensorType { dtype: lhs.dtype, shape: batch.chain(left).chain(right).collect() }))
    }
}

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
}
