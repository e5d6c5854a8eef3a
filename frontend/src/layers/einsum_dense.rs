//! A product that an equation describes.

use super::quantized::{self, Equation, Of};
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layer::{arguments, base, one_input};
use crate::ops::{self, Tensor};
use crate::regularizers::Regularizer;
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::TensorType;
use kc_ir::tensor::Value;
use serde_json::json;

/// `activation(einsum(equation, x, kernel) + bias)`: a dense layer over any axes. `keras.layers.EinsumDense`.
///
/// The equation names the axes of input, kernel and output: `"abc,cd->abd"`; `...` before or behind the input's and the output's letters
/// stands for axes without names.
///
/// ```
/// use kc::prelude::*;
///
/// let x = Input::new([32, 128]);
/// let y = EinsumDense::new("abc,cd->abd", [None, Some(64)]).bias_axes("d").call(&x)?;
/// assert_eq!(y.shape_text(), "(None, 32, 64)");
/// let y = EinsumDense::new("...x,xy->...y", [Some(64)]).bias_axes("y").call(&x)?;
/// assert_eq!(y.shape_text(), "(None, 32, 64)");
/// # Ok::<(), kc::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EinsumDense {
    base: Base,
    equation: String,
    output_shape: Vec<Option<i64>>,
    activation: Activation,
    bias_axes: Option<String>,
    kernel_initializer: Initializer,
    bias_initializer: Initializer,
    kernel_regularizer: Regularizer,
    bias_regularizer: Regularizer,
    kernel_constraint: Constraint,
    bias_constraint: Constraint,
}

impl EinsumDense {
    /// By that equation; the shape of the output without the batch and the axes of `...`, `None` where the input says the extent.
    #[track_caller]
    pub fn new(equation: impl Into<String>, output_shape: impl IntoIterator<Item = Option<i64>>) -> Self {
        EinsumDense {
            base: Base::new("EinsumDense"),
            equation: equation.into(),
            output_shape: output_shape.into_iter().collect(),
            activation: Activation::Linear,
            bias_axes: None,
            kernel_initializer: "glorot_uniform".into(),
            bias_initializer: Initializer::Zeros,
            kernel_regularizer: Regularizer::None,
            bias_regularizer: Regularizer::None,
            kernel_constraint: Constraint::None,
            bias_constraint: Constraint::None,
        }
    }

    arguments! {
        /// The activation (default: none), an [`Activation`] or its name.
        activation: Activation,
        /// How the kernel starts (default: `"glorot_uniform"`).
        kernel_initializer: Initializer,
        /// How the bias starts (default: `"zeros"`).
        bias_initializer: Initializer,
        /// What the kernel adds to the loss (default: nothing), a [`Regularizer`] or its name.
        kernel_regularizer: Regularizer,
        /// What the bias adds to the loss (default: nothing).
        bias_regularizer: Regularizer,
        /// What the kernel is held to (default: nothing), a [`Constraint`] or its name.
        kernel_constraint: Constraint,
        /// What the bias is held to (default: nothing).
        bias_constraint: Constraint,
    }

    /// The axes of the output, by their letters, along which there is a bias (default: there is none).
    pub fn bias_axes(mut self, bias_axes: impl Into<String>) -> Self {
        self.bias_axes = Some(bias_axes.into());
        self
    }

    /// The equation for an input of so many axes, those of `...` with names.
    fn named(&self, rank: usize) -> Result<Equation> {
        let wrong = || {
            Error::model(format!(
                "`equation` is `{}`, expected letters in one of the forms `[X],[Y]->[Z]`, `...[X],[Y]->...[Z]` and `[X]...,[Y]->[Z]...`",
                self.equation
            ))
        };
        let text: String = self.equation.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, output) = text.split_once("->").ok_or_else(wrong)?;
        let (input, kernel) = left.split_once(',').ok_or_else(wrong)?;
        let front = [input, output].map(|term| term.strip_prefix("..."));
        let behind = [input, output].map(|term| term.strip_suffix("..."));
        let ([input, output], at_front) = match (front, behind) {
            ([Some(input), Some(output)], _) => ([input, output], true),
            (_, [Some(input), Some(output)]) => ([input, output], false),
            _ => ([input, output], true),
        };
        let whole = !text.contains('.');
        let letters = [input, kernel, output].map(|term| term.chars().collect::<Vec<char>>());
        if letters.iter().flatten().any(|letter| !letter.is_ascii_alphabetic()) || letters.iter().any(Vec::is_empty) {
            return Err(wrong());
        }
        let [mut input, kernel, mut output] = letters;
        let elided = rank
            .checked_sub(input.len())
            .filter(|&elided| !whole || elided == 0)
            .ok_or_else(|| Error::model(format!("`equation` is `{}`, but the input has {rank} axes", self.equation)))?;
        let free = (b'a'..=b'z').chain(b'A'..=b'Z').map(char::from);
        let unused: Vec<char> =
            free.filter(|letter| ![&input, &kernel, &output].iter().any(|term| term.contains(letter))).collect();
        let unused = unused.get(..elided).ok_or_else(wrong)?;
        for term in [&mut input, &mut output] {
            let place = if at_front { 0 } else { term.len() };
            term.splice(place..place, unused.iter().copied());
        }
        Ok(Equation { input, kernel, output })
    }

    /// The extent of an axis: what the output's shape says, else the input's.
    fn extent(&self, equation: &Equation, input: &TensorType, letter: char) -> Result<i64> {
        let of_input = equation.input.iter().position(|&own| own == letter).map(|axis| input.shape[axis].clone());
        // the batch, and the axes of `...`, are not in the shape that is given
        let front = self.equation.trim_start().starts_with("...");
        let given: Vec<char> = match equation.output.len().checked_sub(self.output_shape.len()) {
            Some(before) if front => equation.output[before..].to_vec(),
            Some(_) => equation.output.iter().skip(1).take(self.output_shape.len()).copied().collect(),
            None => Vec::new(),
        };
        let of_output = given.iter().position(|&own| own == letter).and_then(|axis| self.output_shape[axis]);
        match (of_output, of_input.map(|dim| dim.as_constant())) {
            (Some(given), Some(Some(own))) if given != own => Err(Error::model(format!(
                "the axis `{letter}` has {own} elements in the input's shape {} and {given} in `output_shape`",
                shape_text(&input.shape)
            ))),
            (Some(extent), _) | (None, Some(Some(extent))) => Ok(extent),
            (None, _) => Err(Error::model(format!(
                "the extent of the axis `{letter}` is not known: give it in `output_shape`; the input's shape is {}",
                shape_text(&input.shape)
            ))),
        }
    }

    /// The shape of the bias: from its first axis on, 1 where it has none.
    fn bias_shape(&self, equation: &Equation, input: &TensorType) -> Result<Option<Vec<i64>>> {
        let Some(axes) = &self.bias_axes else { return Ok(None) };
        if let Some(letter) = axes.chars().find(|letter| !equation.output.contains(letter)) {
            return Err(Error::model(format!("`bias_axes` names `{letter}`, which is no axis of the output")));
        }
        let first = equation.output.iter().position(|&letter| axes.contains(letter));
        let letters = &equation.output[first.unwrap_or(equation.output.len())..];
        let of = |&letter: &char| if axes.contains(letter) { self.extent(equation, input, letter) } else { Ok(1) };
        letters.iter().map(of).collect::<Result<_>>().map(Some)
    }
}

impl Layer for EinsumDense {
    base!();

    fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
        let [input] = inputs else {
            return Err(Error::model(format!("expected 1 input, got {}", inputs.len())));
        };
        let equation = self.named(input.rank())?;
        for letter in &equation.output {
            if !equation.input.contains(letter) && !equation.kernel.contains(letter) {
                return Err(Error::model(format!(
                    "`equation` is `{}`: the axis `{letter}` of the output is in neither input nor kernel",
                    self.equation
                )));
            }
        }
        let extents = equation.kernel.iter().map(|&letter| self.extent(&equation, input, letter));
        let kernel = extents.collect::<Result<Vec<i64>>>()?;
        let (outputs, contracted): (Vec<usize>, Vec<usize>) =
            (0..kernel.len()).partition(|&axis| equation.output.contains(&equation.kernel[axis]));
        let initializer = self.kernel_initializer.clone().counting(contracted.clone(), outputs);
        let along = Of(contracted.iter().map(|&axis| axis as i64).collect());
        let quantized = scope.quantization().is_some();
        if quantized {
            quantized::add_values(scope, "kernel", &kernel, &initializer, &along)?;
        } else {
            scope.add_constrained_weight("kernel", &kernel, &initializer, &self.kernel_constraint)?;
            scope.regularize("kernel", &self.kernel_regularizer)?;
        }
        if let Some(bias) = self.bias_shape(&equation, input)? {
            scope.add_constrained_weight("bias", &bias, &self.bias_initializer, &self.bias_constraint)?;
            scope.regularize("bias", &self.bias_regularizer)?;
        }
        if quantized {
            let of =
                |letter: &char| equation.kernel.iter().position(|own| own == letter).map_or(1, |axis| kernel[axis]);
            let scale: Vec<i64> = equation.output.iter().map(of).collect();
            quantized::add_scale(scope, ("kernel", &kernel), &scale, &initializer, &along)?;
        }
        Ok(())
    }

    fn quantizes(&self) -> bool {
        true
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.float(x)?;
        let ty = scope.tensor_type(x).clone();
        let equation = self.named(ty.rank())?;
        let mut y = if scope.quantization().is_some() {
            quantized::contraction(scope, "kernel", x, equation)?
        } else {
            let kernel = scope.weight("kernel")?;
            let operands = [scope.tensor(x), scope.tensor(kernel)];
            scope.build(ops::einsum(equation.text(), operands))?
        };
        if self.bias_axes.is_some() {
            let bias = scope.weight("bias")?;
            let sum: Tensor = scope.tensor(y) + scope.tensor(bias);
            y = scope.build(sum)?;
        }
        Ok(vec![self.activation.apply(scope, y)?])
    }

    fn config(&self) -> Config {
        Config::from([
            ("equation".into(), json!(self.equation)),
            ("output_shape".into(), json!(self.output_shape)),
            ("activation".into(), self.activation.config()),
            ("bias_axes".into(), json!(self.bias_axes)),
        ])
    }
}
