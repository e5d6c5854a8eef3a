//! Products of layers whose weights are 8-bit integers.

use crate::initializers::{Initializer, Quantized};
use crate::ops::{self, Tensor};
use crate::scope::Quantization;
use crate::{Result, Scope};
use kc_ir::tensor::Value;

/// A weight that is quantised, of a layer that is being built: its integers, of a shape, and behind [`add_scale`] its scales.
pub(super) fn add_values(
    scope: &mut Scope,
    name: &str,
    shape: &[i64],
    initializer: &Initializer,
    of: &Of,
) -> Result<()> {
    let initializer = of.part(scope, shape, initializer, false)?;
    scope.add_quantized_weight(name, shape, initializer)
}

/// The scales of a weight of that name and shape, of a shape of their own.
pub(super) fn add_scale(
    scope: &mut Scope,
    (name, shape): (&str, &[i64]),
    scale: &[i64],
    initializer: &Initializer,
    of: &Of,
) -> Result<()> {
    let initializer = of.part(scope, shape, initializer, true)?;
    scope.add_quantization_scale(name, scale, &initializer)
}

/// Which axes of a weight share a scale.
pub(super) struct Of(pub Vec<i64>);

impl Of {
    fn part(&self, scope: &Scope, shape: &[i64], initializer: &Initializer, scale: bool) -> Result<Initializer> {
        let plain = if scale { Initializer::Ones } else { Initializer::Zeros };
        Ok(match scope.quantization() {
            Some(Quantization::Weights(config)) => Initializer::Quantized(Box::new(Quantized {
                initializer: initializer.clone(),
                dtype: scope.variable_dtype(),
                shape: shape.to_vec(),
                quantizer: config.of_weights(),
                axes: self.0.clone(),
                scale,
            })),
            Some(Quantization::Policy(_)) | None => plain,
        })
    }
}

/// The sum of products over the last axes of the input and the first of a quantised kernel. In training its derivative by the input is that
/// of the kernel's numbers; by the kernel there is none.
pub(super) fn contraction(scope: &mut Scope, name: &str, x: Value, axes: usize) -> Result<Value> {
    let kernel = scope.variable(name)?;
    let scale = scope.weight(&format!("{name}_scale"))?;
    let dtype = scope.float_dtype().keras_name();
    let quantizer = scope.quantization().and_then(|quantization| quantization.config().of_inputs().cloned());
    let free = scope.tensor_type(kernel).rank() - axes;
    let leading = scope.tensor_type(scale).rank() - free;
    let rank = (scope.tensor_type(x).rank() - axes + free) as i64;
    let (x, kernel, scale) = (scope.tensor(x), scope.tensor(kernel), scope.tensor(scale));
    let summed: Vec<i64> = (1..=axes as i64).rev().map(|axis| -axis).collect();
    let product = {
        let (kernel, scale) = (kernel.clone(), scale.clone());
        move |x: &Tensor| -> Tensor {
            let Some(quantizer) = &quantizer else {
                let product = ops::tensordot(x, ops::cast(&kernel, dtype)).axes(axes as i32);
                return Tensor::from(product) / &scale;
            };
            let (values, mut of_rows) = quantizer.quantize_along(x.clone(), &summed);
            // a scale for each row of the result
            for _ in 0..axes {
                of_rows = ops::squeeze(of_rows).axis(-1).into();
            }
            for _ in 0..free {
                of_rows = ops::expand_dims(of_rows, -1);
            }
            let [values, kernel] = [&values, &kernel].map(|integers| ops::cast(integers, "int32"));
            let product = Tensor::from(ops::tensordot(values, kernel).axes(axes as i32));
            ops::cast(product, dtype) / (&scale * of_rows)
        }
    };
    if !scope.training() {
        return scope.build(product(&x));
    }
    let trained = ops::custom_gradient(move |x: Tensor| {
        let (kernel, scale) = (kernel.clone(), scale.clone());
        let y = product(&x);
        let by_input = move |upstream: Tensor| -> Tensor {
            let mut of_outputs = scale;
            for _ in 0..leading {
                of_outputs = ops::squeeze(of_outputs).axis(0).into();
            }
            let numbers = ops::cast(kernel, dtype) / of_outputs;
            let of_upstream: Vec<i64> = (rank - free as i64..rank).collect();
            let of_kernel: Vec<i64> = (axes as i64..(axes + free) as i64).collect();
            ops::tensordot(upstream, numbers).axes((of_upstream, of_kernel)).into()
        };
        (y, by_input)
    });
    scope.build(trained(x))
}

/// Rows of a quantised table.
pub(super) fn rows(scope: &mut Scope, name: &str, positions: Value) -> Result<Value> {
    let table = scope.variable(name)?;
    let scale = scope.variable(&format!("{name}_scale"))?;
    let dtype = scope.float_dtype().keras_name();
    let (table, scale, positions) = (scope.tensor(table), scope.tensor(scale), scope.tensor(positions));
    let values = Tensor::from(ops::take(table, &positions).axis(0));
    let of_rows = Tensor::from(ops::take(scale, &positions).axis(0));
    scope.build(ops::cast(values, dtype) / ops::cast(ops::expand_dims(of_rows, -1), dtype))
}
