//! Running sums and products.

use super::arguments::{Axes, DTypeName};
use super::declare::functions;
use super::formulas::flat;
use super::missing_values::without_nan;
use kc_ir::DType;
use kc_ir::tensor::ops::{Cumulative, Reduction};
use kc_ir::tensor::{Tensor as Formula, TypeError};

fn running<'s, 'b>(
    kind: Reduction,
    x: Formula<'s, 'b>,
    axis: &Axes,
    dtype: &DTypeName,
) -> Result<Formula<'s, 'b>, TypeError> {
    let own = x.ty().dtype;
    let x = x.convert(dtype.or(if own == DType::Bool { DType::I32 } else { own })?);
    let (x, axis) = match axis.one(x.shape().len())? {
        Some(axis) => (x, axis),
        None => (flat(x), 0),
    };
    Ok(x.scope().op(Cumulative { kind, axis, reverse: false }, &[x]))
}

macro_rules! running {
    ($($(#[$doc:meta])* $name:ident $class:ident $kind:ident |$x:ident| $operand:expr;)*) => { functions! { $(
        $(#[$doc])*
        $name $class(x) {
            /// The axis (default: all elements in one axis).
            axis: Axes = Axes::All,
            /// The dtype (default: that of `x`, of bools `int32`).
            dtype: DTypeName = DTypeName::Default,
        } = |_, &[$x]| running(Reduction::$kind, $operand, &axis, &dtype);
    )* } };
}
running! {
    /// For each element the sum of it and all before it along an axis.
    cumsum Cumsum Sum |x| *x;
    /// For each element the product of it and all before it along an axis.
    cumprod Cumprod Product |x| *x;
    /// For each element the sum of it and all before it along an axis, NaN as 0.
    nancumsum Nancumsum Sum |x| without_nan(*x, x.number(0.0));
    /// For each element the product of it and all before it along an axis, NaN as 1.
    nancumprod Nancumprod Product |x| without_nan(*x, x.number(1.0));
}
