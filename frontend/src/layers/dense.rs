use super::quantized::{self, Equation, Of};
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layer::{arguments, base, one_input, passes_masks};
use crate::regularizers::Regularizer;
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::TensorType;
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Binary, DotGeneral};
use serde_json::json;

/// A densely connected layer: `activation(x . kernel + bias)` over the last axis. `keras.layers.Dense`.
#[derive(Clone, Debug)]
pub struct Dense {
    base: Base,
    units: usize,
    activation: Activation,
    use_bias: bool,
    kernel_initializer: Initializer,
    bias_initializer: Initializer,
    kernel_constraint: Constraint,
    bias_constraint: Constraint,
    kernel_regularizer: Regularizer,
    bias_regularizer: Regularizer,
}

impl Dense {
    /// A layer of that many units.
    #[track_caller]
    pub fn new(units: usize) -> Self {
        Dense {
            base: Base::new("Dense"),
            units,
            activation: Activation::Linear,
            use_bias: true,
            kernel_initializer: "glorot_uniform".into(),
            bias_initializer: Initializer::Zeros,
            kernel_constraint: Constraint::None,
            bias_constraint: Constraint::None,
            kernel_regularizer: Regularizer::None,
            bias_regularizer: Regularizer::None,
        }
    }

    arguments! {
        /// The activation (default: none), an [`Activation`] or its name.
        activation: Activation,
        /// Whether a bias is added (default: yes).
        use_bias: bool,
        /// How the kernel `[features, units]` starts (default: `"glorot_uniform"`).
        kernel_initializer: Initializer,
        /// How the bias `[units]` starts (default: `"zeros"`).
        bias_initializer: Initializer,
        /// What the kernel is held to (default: nothing), a [`Constraint`] or its name.
        kernel_constraint: Constraint,
        /// What the bias is held to (default: nothing).
        bias_constraint: Constraint,
        /// What the kernel adds to the loss (default: nothing), a [`Regularizer`] or its name.
        kernel_regularizer: Regularizer,
        /// What the bias adds to the loss (default: nothing).
        bias_regularizer: Regularizer,
    }
}

impl Dense {
    fn add_bias(&self, scope: &mut Scope, units: i64) -> Result<()> {
        if !self.use_bias {
            return Ok(());
        }
        scope.add_constrained_weight("bias", &[units], &self.bias_initializer, &self.bias_constraint)?;
        scope.regularize("bias", &self.bias_regularizer)
    }
}

impl Layer for Dense {
    base!();
    passes_masks!();

    fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
        let units = match i32::try_from(self.units) {
            Ok(units @ 1..) => i64::from(units),
            _ => {
                let (given, most) = (self.units, i32::MAX);
                return Err(Error::model(format!("`units` is {given}, expected a number from 1 to {most}")));
            }
        };
        let features = last_extent(inputs)?;
        if scope.quantization().is_some() {
            let (kernel, along) = ([features, units], Of(vec![0]));
            quantized::add_values(scope, "kernel", &kernel, &self.kernel_initializer, &along)?;
            self.add_bias(scope, units)?;
            return quantized::add_scale(scope, ("kernel", &kernel), &[units], &self.kernel_initializer, &along);
        }
        scope.add_constrained_weight(
            "kernel",
            &[features, units],
            &self.kernel_initializer,
            &self.kernel_constraint,
        )?;
        scope.regularize("kernel", &self.kernel_regularizer)?;
        self.add_bias(scope, units)
    }

    fn quantizes(&self) -> bool {
        true
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.float(x)?;
        let kernel = scope.variable("kernel")?;
        let (ty, kernel_ty) = (scope.tensor_type(x).clone(), scope.tensor_type(kernel).clone());
        let last = ty.rank().saturating_sub(1);
        if ty.shape.last() != kernel_ty.shape.first() {
            return Err(Error::model(format!(
                "the input's shape is {}, but the layer was built for inputs with {} features; \
                 a layer that is called twice needs inputs with the same last axis",
                shape_text(&ty.shape),
                kernel_ty.shape[0]
            )));
        }
        let mut y = if scope.quantization().is_some() {
            quantized::contraction(scope, "kernel", x, Equation::contracting(ty.rank(), 1, 1))?
        } else {
            let kernel = scope.weight("kernel")?;
            let (lhs_contract, rhs_contract) = (vec![last], vec![0]);
            scope.add(DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract, rhs_contract }, &[x, kernel])?
        };
        if self.use_bias {
            let bias = scope.weight("bias")?;
            y = scope.binary(Binary::Add, y, bias)?;
        }
        Ok(vec![self.activation.apply(scope, y)?])
    }

    fn config(&self) -> Config {
        Config::from([
            ("units".into(), json!(self.units)),
            ("activation".into(), self.activation.config()),
            ("use_bias".into(), json!(self.use_bias)),
        ])
    }
}

/// The extent of the last axis of the only input, which must be known.
pub(super) fn last_extent(inputs: &[TensorType]) -> Result<i64> {
    let [input] = inputs else {
        return Err(Error::model(format!("expected 1 input, got {}", inputs.len())));
    };
    let shape = shape_text(&input.shape);
    if input.rank() < 2 {
        return Err(Error::model(format!("the input's shape is {shape}, expected at least 2 axes (batch, features)")));
    }
    input.shape[input.rank() - 1].as_constant().ok_or_else(|| {
        Error::model(format!("the last axis of the input's shape {shape} is not known, expected a number of features"))
    })
}
