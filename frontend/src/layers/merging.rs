//! Layers of several inputs.

use super::group_normalization::normalized;
use crate::layer::{arguments, base};
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::tensor::ops::{self, Binary, DotGeneral, Reduction};
use kc_ir::tensor::{Scalar, Value, broadcast_shapes, composites::EPSILON};
use kc_ir::{DType, Dim, TensorType};
use serde_json::json;

/// The shapes for messages: `(None, 4) and (None, 5)`.
fn shapes(types: &[TensorType]) -> String {
    types.iter().map(|ty| shape_text(&ty.shape)).collect::<Vec<_>>().join(" and ")
}

/// How many inputs a layer takes.
#[derive(Clone, Copy)]
enum Count {
    /// Two or more.
    Several,
    /// Two.
    Two,
}

/// The inputs, of one dtype and broadcast to one shape; one with fewer axes gets unit axes after the batch.
fn together(scope: &mut Scope, inputs: &[Value], count: Count) -> Result<Vec<Value>> {
    let types: Vec<TensorType> = inputs.iter().map(|&input| scope.tensor_type(input).clone()).collect();
    let (fits, expected) = match count {
        Count::Several => (inputs.len() >= 2, "at least 2 inputs"),
        Count::Two => (inputs.len() == 2, "2 inputs"),
    };
    if !fits {
        return Err(Error::model(format!("expected {expected}, got {}", inputs.len())));
    }
    let rank = types.iter().map(TensorType::rank).max().unwrap_or(0);
    let mut common: Vec<Dim> = Vec::new();
    let mut aligned = Vec::with_capacity(inputs.len());
    for (&input, ty) in inputs.iter().zip(&types) {
        let mut shape = ty.shape.clone();
        let batch = shape.len().min(1);
        shape.splice(batch..batch, vec![Dim::constant(1); rank - ty.rank()]);
        let input = scope.float(input)?;
        aligned.push(scope.reshape(input, &shape)?);
        common = broadcast_shapes(&common, &shape).ok_or_else(|| {
            Error::model(format!("the inputs' shapes {} cannot be broadcast to one shape", shapes(&types)))
        })?;
    }
    Ok(aligned)
}

/// A function of the first two, then of that and the next, and so on.
fn fold(scope: &mut Scope, function: Binary, inputs: &[Value]) -> Result<Value> {
    let (&first, rest) = inputs.split_first().ok_or_else(|| Error::model("expected at least 2 inputs, got 0"))?;
    let mut all = first;
    for &next in rest {
        all = scope.binary(function, all, next)?;
    }
    Ok(all)
}

/// The mask of what one of the inputs at least keeps; none where one of them has none.
fn any_mask(scope: &mut Scope, masks: &[Option<Value>]) -> Result<Vec<Option<Value>>> {
    let Some(masks) = masks.iter().copied().collect::<Option<Vec<Value>>>() else {
        return Ok(Vec::new());
    };
    Ok(vec![Some(fold(scope, Binary::Or, &masks)?)])
}

macro_rules! merging {
    ($($(#[$doc:meta])* $layer:ident $count:ident |$scope:ident, $inputs:ident| $merged:expr;)*) => {
        $($(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $layer {
            base: Base,
        }

        impl $layer {
            #[doc = concat!("The layer, to be called on an array: `", stringify!($layer), "::new().call([&x, &y])?`.")]
            #[track_caller]
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                $layer { base: Base::new(stringify!($layer)) }
            }
        }

        impl Layer for $layer {
            base!();

            fn forward(&self, $scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
                let $inputs = together($scope, inputs, Count::$count)?;
                Ok(vec![$merged])
            }

            fn compute_mask(
                &self,
                scope: &mut Scope,
                _inputs: &[Value],
                masks: &[Option<Value>],
            ) -> Result<Vec<Option<Value>>> {
                any_mask(scope, masks)
            }
        })*
    };
}

merging! {
    /// The sum of two or more inputs, broadcast to each other; an input with fewer axes gets unit axes after the batch.
    /// `keras.layers.Add`.
    Add Several |scope, inputs| fold(scope, Binary::Add, &inputs)?;
    /// The first of two inputs less the second, broadcast as by [`Add`]. `keras.layers.Subtract`.
    Subtract Two |scope, inputs| fold(scope, Binary::Subtract, &inputs)?;
    /// The product of two or more inputs, broadcast as by [`Add`]. `keras.layers.Multiply`.
    Multiply Several |scope, inputs| fold(scope, Binary::Multiply, &inputs)?;
    /// The mean of two or more inputs, broadcast as by [`Add`]. `keras.layers.Average`.
    Average Several |scope, inputs| {
        let sum = fold(scope, Binary::Add, &inputs)?;
        scope.binary_constant(Binary::Divide, sum, inputs.len() as f64)?
    };
    /// The largest of two or more inputs, element by element, broadcast as by [`Add`]. `keras.layers.Maximum`.
    Maximum Several |scope, inputs| fold(scope, Binary::Maximum, &inputs)?;
    /// The smallest of two or more inputs, element by element, broadcast as by [`Add`]. `keras.layers.Minimum`.
    Minimum Several |scope, inputs| fold(scope, Binary::Minimum, &inputs)?;
}

/// The inputs side by side along an axis. `keras.layers.Concatenate`.
#[derive(Clone, Debug)]
pub struct Concatenate {
    base: Base,
    axis: i64,
}

impl Concatenate {
    /// Along the last axis; called on an array: `Concatenate::new().call([&x, &y])?`.
    #[track_caller]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Concatenate { base: Base::new("Concatenate"), axis: -1 }
    }

    arguments! {
        /// The axis; negative counts from the last (default: -1).
        axis: i64,
    }
}

impl Layer for Concatenate {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let types: Vec<TensorType> = inputs.iter().map(|&input| scope.tensor_type(input).clone()).collect();
        let Some(first) = types.first() else {
            return Err(Error::model("expected at least 1 input, got 0"));
        };
        let axis = super::axis(first, "axis", self.axis)?;
        let fits = |ty: &TensorType| {
            ty.rank() == first.rank() && (0..ty.rank()).all(|i| i == axis || ty.shape[i] == first.shape[i])
        };
        if !types.iter().all(fits) {
            return Err(Error::model(format!(
                "the inputs' shapes {} differ outside of axis {axis}, along which they are concatenated",
                shapes(&types)
            )));
        }
        let same = types.iter().all(|ty| ty.dtype == first.dtype);
        let mut operands = inputs.to_vec();
        if !same {
            operands = operands.into_iter().map(|input| scope.float(input)).collect::<Result<_>>()?;
        }
        Ok(vec![scope.add(ops::Concatenate { axis }, &operands)?])
    }

    fn compute_mask(&self, scope: &mut Scope, inputs: &[Value], masks: &[Option<Value>]) -> Result<Vec<Option<Value>>> {
        if masks.iter().all(Option::is_none) {
            return Ok(Vec::new());
        }
        let mut whole = Vec::with_capacity(inputs.len());
        for (&input, &mask) in inputs.iter().zip(masks) {
            let shape = scope.tensor_type(input).shape.clone();
            whole.push(match mask {
                None => scope.splat(DType::Bool, Scalar::Int(1), &shape)?,
                Some(mask) => {
                    let axes: Vec<usize> = (0..scope.tensor_type(mask).rank().min(shape.len())).collect();
                    scope.broadcast(mask, &shape, &axes)?
                }
            });
        }
        let axis = super::axis(&scope.tensor_type(whole[0]).clone(), "axis", self.axis)?;
        let all = scope.add(ops::Concatenate { axis }, &whole)?;
        let last = scope.tensor_type(all).rank() - 1;
        Ok(vec![Some(scope.reduce(Reduction::Max, &[last], all)?)])
    }

    fn config(&self) -> Config {
        Config::from([("axis".into(), json!(self.axis))])
    }
}

/// The products of two inputs' vectors along an axis of each, sample by sample. `keras.layers.Dot`.
#[derive(Clone, Debug)]
pub struct Dot {
    base: Base,
    axes: DotAxes,
    normalize: bool,
}

/// The axis along which [`Dot`] multiplies: one for both inputs, or one each. Negative ones count from the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DotAxes(i64, i64);

impl From<i64> for DotAxes {
    fn from(axis: i64) -> Self {
        DotAxes(axis, axis)
    }
}

impl From<(i64, i64)> for DotAxes {
    fn from((first, second): (i64, i64)) -> Self {
        DotAxes(first, second)
    }
}

impl Dot {
    /// Along that axis of both inputs, or along one each: `Dot::new((2, 1)).call([&x, &y])?`.
    #[track_caller]
    pub fn new(axes: impl Into<DotAxes>) -> Self {
        Dot { base: Base::new("Dot"), axes: axes.into(), normalize: false }
    }

    arguments! {
        /// Whether the vectors are scaled to a length of 1 before (default: no), which makes the products cosines.
        normalize: bool,
    }
}

impl Layer for Dot {
    base!();

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let &[first, second] = inputs else {
            return Err(Error::model(format!("expected 2 inputs, got {}", inputs.len())));
        };
        let [mut x, mut y] = [scope.float(first)?, scope.float(second)?];
        let types = [x, y].map(|input| scope.tensor_type(input).clone());
        let axes = [super::axis(&types[0], "axes", self.axes.0)?, super::axis(&types[1], "axes", self.axes.1)?];
        if axes.contains(&0) || types[0].shape[axes[0]] != types[1].shape[axes[1]] {
            return Err(Error::model(format!(
                "the inputs' shapes {} cannot be multiplied along the axes {} and {}: expected equal extents, not of the batch",
                shapes(&types),
                axes[0],
                axes[1]
            )));
        }
        if self.normalize {
            [x, y] = [normalized(scope, x, &axes[..1], EPSILON)?, normalized(scope, y, &axes[1..], EPSILON)?];
        }
        let op = DotGeneral {
            lhs_batch: vec![0],
            rhs_batch: vec![0],
            lhs_contract: vec![axes[0]],
            rhs_contract: vec![axes[1]],
        };
        let product = scope.add(op, &[x, y])?;
        let shape = scope.tensor_type(product).shape.clone();
        match shape.as_slice() {
            [batch] => Ok(vec![scope.reshape(product, &[batch.clone(), Dim::constant(1)])?]),
            _ => Ok(vec![product]),
        }
    }

    fn config(&self) -> Config {
        Config::from([("axes".into(), json!([self.axes.0, self.axes.1])), ("normalize".into(), json!(self.normalize))])
    }
}
