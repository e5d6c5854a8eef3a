use super::{Loss, LossReduction, mean_last};
use crate::layer::arguments;
use crate::{Result, Scope};
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::Binary;

/// `mean((y_true - y_pred)^2)` over the last axis. `keras.losses.MeanSquaredError`.
#[derive(Clone, Debug, Default)]
pub struct MeanSquaredError {
    reduction: LossReduction,
}

impl MeanSquaredError {
    /// With Keras' defaults.
    pub fn new() -> Self {
        Self::default()
    }

    arguments! {
        /// How the samples' losses become one number (default: `"sum_over_batch_size"`).
        reduction: LossReduction,
    }
}

impl Loss for MeanSquaredError {
    fn name(&self) -> String {
        "mean_squared_error".to_string()
    }
    fn reduction(&self) -> LossReduction {
        self.reduction
    }
    fn call(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> Result<Value> {
        let difference = scope.binary(Binary::Subtract, y_true, y_pred)?;
        let square = scope.binary(Binary::Multiply, difference, difference)?;
        mean_last(scope, square)
    }
}
