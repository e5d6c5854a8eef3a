//! Functions that move elements.

use super::arguments::{resolve_shape, wrong};
use super::declare::functions;
use super::promotion::promote_all;
use crate::IntoShape;
use kc_ir::Dim;
use kc_ir::tensor::ops::Concatenate as Join;

/// A shape as an argument: `[2, 3]`, `()`, extents with symbols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(pub(super) Vec<Dim>);

impl<S: IntoShape> From<S> for Shape {
    fn from(shape: S) -> Shape {
        Shape(shape.into_shape())
    }
}

functions! {
    /// The same elements in row-major order in another shape; one extent may be -1, for what is left.
    reshape Reshape(x; newshape: Shape) = |_, &[x]| {
        let elements = x.shape().into_iter().product::<Dim>();
        Ok(x.reshape(&resolve_shape(&newshape.0, &elements)?))
    };
    /// The tensors side by side along an axis.
    concatenate Concatenate(..xs) {
        /// The axis (default: 0).
        axis: i64 = 0,
    } = |scope, xs| {
        let first = xs.first().ok_or_else(|| wrong("expected at least one tensor, got none"))?;
        let axis = super::arguments::axis(axis, first.shape().len())?;
        Ok(scope.op(Join { axis }, &promote_all(xs)))
    };
}
