//! What all loss classes share: the arguments of `keras.losses.Loss`, and formulas over targets and predictions.

use super::LossReduction;
use crate::{Result, Scope};
use kc_ir::tensor::{Tensor, Value, express};
use kc_ir::{DType, Dim};

/// The arguments that every loss takes.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub name: String,
    pub reduction: LossReduction,
    pub dtype: DType,
}

/// A loss class: its arguments with their defaults, and the builder methods that set them.
macro_rules! loss_class {
    ($(#[$doc:meta])* $class:ident $name:literal { $($(#[$field_doc:meta])* $field:ident: $ty:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $class {
            common: $crate::losses::class::Common,
            $($field: $ty,)*
        }

        impl $class {
            /// With Keras' defaults.
            pub fn new() -> Self {
                let common = $crate::losses::class::Common {
                    name: $name.to_string(),
                    reduction: $crate::losses::LossReduction::default(),
                    dtype: kc_ir::DType::F32,
                };
                $class { common, $($field: $default,)* }
            }

            $crate::layer::arguments! {
                $($(#[$field_doc])* $field: $ty,)*
            }

            /// How the samples' losses become one number (default: `"sum_over_batch_size"`).
            pub fn reduction(mut self, reduction: impl Into<$crate::losses::LossReduction>) -> Self {
                self.common.reduction = reduction.into();
                self
            }

            #[doc = concat!("The loss's name (default: `\"", $name, "\"`).")]
            pub fn name(mut self, name: impl Into<String>) -> Self {
                self.common.name = name.into();
                self
            }

            /// The dtype that targets and predictions are converted to and the loss is computed in (default: f32).
            pub fn dtype(mut self, dtype: kc_ir::DType) -> Self {
                self.common.dtype = dtype;
                self
            }
        }

        impl Default for $class {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}
pub(super) use loss_class;

/// The methods of [`Loss`](super::Loss) that give its arguments.
macro_rules! common {
    () => {
        fn name(&self) -> String {
            self.common.name.clone()
        }
        fn reduction(&self) -> $crate::losses::LossReduction {
            self.common.reduction
        }
        fn dtype(&self) -> kc_ir::DType {
            self.common.dtype
        }
    };
}
pub(super) use common;

/// A formula over targets and predictions of one dtype and rank.
pub(super) fn formula(
    scope: &mut Scope,
    y_true: Value,
    y_pred: Value,
    body: impl for<'s, 'b> FnOnce(Tensor<'s, 'b>, Tensor<'s, 'b>) -> Tensor<'s, 'b>,
) -> Result<Value> {
    let dtype = scope.tensor_type(y_pred).dtype;
    let y_true = scope.convert(dtype, y_true)?;
    let (y_true, y_pred) = to_same_rank(scope, y_true, y_pred)?;
    Ok(express(scope, |tensors| body(tensors.tensor(y_true), tensors.tensor(y_pred)).value())?)
}

/// Where the ranks differ by one and the larger one's last axis is 1: a tensor of rank 1 gets a last axis of 1, else the
/// larger one loses it.
pub(super) fn to_same_rank(scope: &mut Scope, a: Value, b: Value) -> Result<(Value, Value)> {
    let (left, right) = (scope.tensor_type(a).clone(), scope.tensor_type(b).clone());
    let ends_in_one = |shape: &[Dim]| shape.last().is_some_and(|last| last.is(1));
    if left.rank() == right.rank() + 1 && ends_in_one(&left.shape) {
        if right.rank() == 1 {
            return Ok((a, scope.reshape(b, &[right.shape[0].clone(), Dim::constant(1)])?));
        }
        return Ok((scope.reshape(a, &left.shape[..right.rank()])?, b));
    }
    if right.rank() == left.rank() + 1 && ends_in_one(&right.shape) {
        let (b, a) = to_same_rank(scope, b, a)?;
        return Ok((a, b));
    }
    Ok((a, b))
}

/// The mean over the last axis.
pub(super) fn mean_last<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    match x.shape().len().checked_sub(1) {
        Some(last) => x.mean(&[last]),
        None => x,
    }
}

/// The sum over the last axis.
pub(super) fn sum_last<'s, 'b>(x: Tensor<'s, 'b>) -> Tensor<'s, 'b> {
    match x.shape().len().checked_sub(1) {
        Some(last) => x.sum(&[last]),
        None => x,
    }
}
