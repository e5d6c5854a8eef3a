//! Products of layers whose weights are 8-bit integers.

use crate::initializers::{Initializer, Quantized};
use crate::ops::{self, Tensor};
use crate::scope::Quantization;
use crate::{Error, Result, Scope, shape_text};
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

/// Names of the axes of a product: of its input, its kernel and its output, each once.
#[derive(Clone, Debug)]
pub(super) struct Equation {
    pub input: Vec<char>,
    pub kernel: Vec<char>,
    pub output: Vec<char>,
}

impl Equation {
    /// The last axes of an input of that rank with the first of a kernel, which has some more.
    pub fn contracting(rank: usize, axes: usize, free: usize) -> Self {
        let name = |number: usize| char::from(b'a'.saturating_add(u8::try_from(number).unwrap_or(u8::MAX)));
        let letters = |from: usize, to: usize| (from..to).map(name);
        Equation {
            input: letters(0, rank).collect(),
            kernel: letters(rank - axes, rank + free).collect(),
            output: letters(0, rank - axes).chain(letters(rank, rank + free)).collect(),
        }
    }

    /// As `einsum` takes it.
    pub fn text(&self) -> String {
        text(&self.input, &self.kernel, &self.output)
    }
}

fn text(a: &[char], b: &[char], result: &[char]) -> String {
    let [a, b, result] = [a, b, result].map(|names| names.iter().collect::<String>());
    format!("{a},{b}->{result}")
}

/// A tensor whose axes have those names, with the axes of others in their order, and of extent 1 where it has none.
fn aligned(mut tensor: Tensor, own: &[char], wanted: &[char]) -> Tensor {
    let places = wanted.iter().filter_map(|name| own.iter().position(|own| own == name));
    tensor = ops::transpose(tensor).axes(places.map(|place| place as i64).collect::<Vec<i64>>()).into();
    for (axis, name) in wanted.iter().enumerate() {
        if !own.contains(name) {
            tensor = ops::expand_dims(tensor, axis as i64);
        }
    }
    tensor
}

/// The product of an input and a quantised kernel. In training its derivative by the input is that of the kernel's numbers; by the kernel
/// there is none.
pub(super) fn contraction(scope: &mut Scope, name: &str, x: Value, equation: Equation) -> Result<Value> {
    let kernel = scope.variable(name)?;
    let scale = scope.weight(&format!("{name}_scale"))?;
    let dtype = scope.float_dtype().keras_name();
    let quantizer = scope.quantization().and_then(|quantization| quantization.config().of_inputs().cloned());
    // the scale may leave out axes before its first
    let rank = scope.tensor_type(scale).rank();
    let left_out = equation.output.len().checked_sub(rank).ok_or_else(|| {
        let given = shape_text(&scope.tensor_type(x).shape);
        Error::model(format!("the input's shape is {given}, but the layer was built for an output of {rank} axes"))
    })?;
    let of_scale = equation.output[left_out..].to_vec();
    let (x, kernel, scale) = (scope.tensor(x), scope.tensor(kernel), scope.tensor(scale));
    let product = {
        let (kernel, scale, equation) = (kernel.clone(), scale.clone(), equation.clone());
        move |x: &Tensor| -> Tensor {
            let Equation { input, output, .. } = &equation;
            let Some(quantizer) = &quantizer else {
                return ops::einsum(equation.text(), [x.clone(), ops::cast(&kernel, dtype)]) / &scale;
            };
            let (kept, summed): (Vec<usize>, Vec<usize>) =
                (0..input.len()).partition(|&axis| output.contains(&input[axis]));
            let summed: Vec<i64> = summed.into_iter().map(|axis| axis as i64).collect();
            let (values, of_rows) = quantizer.quantize_over(x.clone(), summed.clone());
            let kept: Vec<char> = kept.into_iter().map(|axis| input[axis]).collect();
            let of_rows = aligned(ops::squeeze(of_rows).axis(summed).into(), &kept, output);
            let product = ops::einsum(equation.text(), [values, kernel.clone()]);
            ops::cast(product, dtype) / (&scale * of_rows)
        }
    };
    if !scope.training() {
        return scope.build(product(&x));
    }
    let trained = ops::custom_gradient(move |x: Tensor| {
        let (kernel, scale, of_scale, equation) = (kernel.clone(), scale.clone(), of_scale.clone(), equation.clone());
        let y = product(&x);
        let by_input = move |upstream: Tensor| -> Tensor {
            let Equation { input, kernel: of_kernel, output } = &equation;
            let (own, repeated): (Vec<usize>, Vec<usize>) =
                (0..of_scale.len()).partition(|&axis| of_kernel.contains(&of_scale[axis]));
            let own: Vec<char> = own.into_iter().map(|axis| of_scale[axis]).collect();
            let scale =
                repeated.into_iter().rev().fold(scale, |scale, axis| ops::squeeze(scale).axis(axis as i64).into());
            let numbers = ops::cast(kernel, dtype) / aligned(scale, &own, of_kernel);
            ops::einsum(text(output, of_kernel, input), [upstream, numbers])
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
