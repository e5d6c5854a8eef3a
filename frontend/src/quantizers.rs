//! `keras.quantizers`: weights as 8-bit integers with scales.
//!
//! ```
//! use kc::prelude::*;
//!
//! let model = Sequential::new().add(Input::new([64])).add(Dense::new(32).activation("relu")).add(Dense::new(10));
//! // ... trained, or with weights from a file
//! model.quantize("int8")?;
//! assert_eq!(model.layers()?[0].dtype_policy()?.name(), "int8_from_float32");
//! # Ok::<(), kc::Error>(())
//! ```
//!
//! A product of a quantised layer is one of 8-bit integers, summed in 32 bits: the kernel's, with a scale for each output, and the
//! input's, with a scale for each row that is found anew in every call. Other modes of Keras (int4, float8, gptq, awq) are not there.

use crate::ops::{self, Tensor};
use crate::{Error, Layer, Result};
use kc_ir::DType;
use regex_lite::Regex;
use serde_json::{Value as Json, json};

/// Numbers as integers: `round(x * scale)` held to a range, with `scale = range / (max |x| + epsilon)` along axes.
/// `keras.quantizers.AbsMaxQuantizer`.
///
/// ```
/// use kc::ops::{Expression, Tensor};
/// use kc::prelude::*;
///
/// let (values, scale) = AbsMaxQuantizer::new().quantize(Tensor::from([0.5, -1.0, 0.25]));
/// assert_eq!(values.eval()?.as_slice::<i8>()?, [63, -127, 32]);
/// assert_eq!(scale.eval()?.shape(), [1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct AbsMaxQuantizer {
    axis: Option<Vec<i64>>,
    value_range: (i64, i64),
    epsilon: f64,
}

impl AbsMaxQuantizer {
    /// With Keras' defaults: along the last axis, to -127..=127.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        AbsMaxQuantizer { axis: None, value_range: (-127, 127), epsilon: 1e-7 }
    }

    /// The axes that share a scale (default: the last; of a layer's weights those that its product sums over, and of its inputs always).
    pub fn axis(mut self, axis: impl Into<Vec<i64>>) -> Self {
        self.axis = Some(axis.into());
        self
    }

    /// The smallest and the largest integer (default: -127 and 127), within -128..=127.
    pub fn value_range(mut self, smallest: i64, largest: i64) -> Self {
        self.value_range = (smallest, largest);
        self
    }

    /// Added to the largest absolute value (default: 1e-7), so that zeros have a scale.
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// The integers of a tensor, `int8` of its shape, and the scales, of its dtype and with extent 1 along the axes.
    pub fn quantize(&self, x: impl Into<Tensor>) -> (Tensor, Tensor) {
        self.quantize_along(x.into(), &[-1])
    }

    /// [`AbsMaxQuantizer::quantize`] along axes where it has none of its own.
    pub(crate) fn quantize_along(&self, x: Tensor, axis: &[i64]) -> (Tensor, Tensor) {
        self.quantize_over(x, self.axis.clone().unwrap_or_else(|| axis.to_vec()))
    }

    /// [`AbsMaxQuantizer::quantize`] along those axes.
    pub(crate) fn quantize_over(&self, x: Tensor, axis: Vec<i64>) -> (Tensor, Tensor) {
        let (smallest, largest) = self.value_range;
        let reach = Tensor::from(ops::max(ops::abs(&x)).axis(axis).keepdims(true));
        let scale = largest as f64 / (reach + self.epsilon);
        let values = ops::clip(ops::round(x * &scale), smallest as f64, largest as f64);
        (ops::cast(values, "int8"), scale)
    }

    fn check(&self) -> Result<()> {
        let (smallest, largest) = self.value_range;
        if (-128..=0).contains(&smallest) && (1..=127).contains(&largest) && self.epsilon >= 0.0 {
            return Ok(());
        }
        Err(Error::model(format!(
            "`value_range` is {smallest} to {largest} and `epsilon` {}, expected a range around 0 within -128 to 127 and a number of \
             at least 0",
            self.epsilon
        )))
    }

    fn config(&self) -> Json {
        let mut config = json!({
            "value_range": [self.value_range.0, self.value_range.1], "epsilon": self.epsilon, "output_dtype": DType::I8.keras_name()
        });
        if let Some(axis) = &self.axis {
            config["axis"] = json!(axis);
        }
        json!({ "module": "keras.quantizers", "class_name": "AbsMaxQuantizer", "config": config, "registered_name": null })
    }
}

/// The integers of a tensor and their scales along axes, by a quantiser with Keras' defaults: [`AbsMaxQuantizer`] has the other arguments.
/// `keras.quantizers.abs_max_quantize`.
pub fn abs_max_quantize(inputs: impl Into<Tensor>, axis: impl Into<Vec<i64>>) -> (Tensor, Tensor) {
    AbsMaxQuantizer::new().axis(axis).quantize(inputs)
}

/// How layers are quantised to int8. `keras.quantizers.Int8QuantizationConfig`.
#[derive(Clone, Debug, PartialEq)]
pub struct Int8QuantizationConfig {
    weight_quantizer: Option<AbsMaxQuantizer>,
    activation_quantizer: Option<AbsMaxQuantizer>,
}

impl Int8QuantizationConfig {
    /// Weights and inputs by [`AbsMaxQuantizer`].
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Int8QuantizationConfig { weight_quantizer: None, activation_quantizer: Some(AbsMaxQuantizer::new()) }
    }

    /// The quantiser of the weights (default: along the axes that the layer's product sums over).
    pub fn weight_quantizer(mut self, weight_quantizer: AbsMaxQuantizer) -> Self {
        self.weight_quantizer = Some(weight_quantizer);
        self
    }

    /// The quantiser of the inputs (default: along the same axes); `None` leaves them as they are, and the products are of floating point.
    pub fn activation_quantizer(mut self, activation_quantizer: impl Into<Option<AbsMaxQuantizer>>) -> Self {
        self.activation_quantizer = activation_quantizer.into();
        self
    }

    /// The quantiser of weights.
    pub(crate) fn of_weights(&self) -> AbsMaxQuantizer {
        self.weight_quantizer.clone().unwrap_or_else(AbsMaxQuantizer::new)
    }

    /// The quantiser of inputs, where they are quantised.
    pub(crate) fn of_inputs(&self) -> Option<&AbsMaxQuantizer> {
        self.activation_quantizer.as_ref()
    }

    pub(crate) fn check(&self) -> Result<()> {
        self.weight_quantizer.iter().chain(&self.activation_quantizer).try_for_each(AbsMaxQuantizer::check)
    }

    /// As Keras' files have it, in a layer's entry `quantization_config`.
    pub fn config(&self) -> Json {
        let of = |quantizer: &Option<AbsMaxQuantizer>| quantizer.as_ref().map(AbsMaxQuantizer::config);
        let config = json!({
            "weight_quantizer": of(&self.weight_quantizer), "activation_quantizer": of(&self.activation_quantizer)
        });
        json!({ "module": "keras.quantizers", "class_name": "Int8QuantizationConfig", "config": config, "registered_name": null })
    }
}

/// The arguments of [`quantize`](crate::LayerArguments::quantize): a mode's name (`"int8"`) or a configuration is all that is needed.
///
/// ```
/// use kc::prelude::*;
/// use kc::quantizers::Quantize;
///
/// let model = Sequential::new().add(Input::new([64])).add(Dense::new(32).name("hidden")).add(Dense::new(10).name("out"));
/// model.quantize(Quantize::new("int8").filters(["hid.*"]))?;
/// assert_eq!(model.layers()?[1].dtype_policy()?.name(), "float32");
/// # Ok::<(), kc::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Quantize {
    mode: Mode,
    filters: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Mode {
    Named(String),
    Int8(Int8QuantizationConfig),
}

impl Quantize {
    /// By a mode's name or a configuration.
    pub fn new(mode: impl Into<Quantize>) -> Self {
        mode.into()
    }

    /// Regular expressions, of which one must match somewhere in the name of a layer of a model for it to be quantised (default: all are).
    pub fn filters<T: Into<String>>(mut self, filters: impl IntoIterator<Item = T>) -> Self {
        self.filters = filters.into_iter().map(Into::into).collect();
        self
    }

    pub(crate) fn resolve(self) -> Result<Quantization> {
        let config = match self.mode {
            Mode::Named(mode) => {
                crate::dtype_policies::check_mode(&mode)?;
                Int8QuantizationConfig::new()
            }
            Mode::Int8(config) => config,
        };
        config.check()?;
        let expression = |filter: &String| {
            Regex::new(filter)
                .map_err(|error| Error::model(format!("`filters`: `{filter}` is no regular expression: {error}")))
        };
        let filters = self.filters.iter().map(expression).collect::<Result<_>>()?;
        Ok(Quantization { config, filters })
    }
}

impl From<&str> for Quantize {
    fn from(mode: &str) -> Self {
        Quantize { mode: Mode::Named(mode.to_string()), filters: Vec::new() }
    }
}

impl From<Int8QuantizationConfig> for Quantize {
    fn from(config: Int8QuantizationConfig) -> Self {
        Quantize { mode: Mode::Int8(config), filters: Vec::new() }
    }
}

/// How the layers of a model are quantised, and which.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Quantization {
    pub(crate) config: Int8QuantizationConfig,
    filters: Vec<Regex>,
}

impl Quantization {
    /// Quantises those of the layers inside of another that can be and are meant.
    pub(crate) fn of_layers(&self, layers: Vec<&dyn Layer>) -> Result<()> {
        let meant = |layer: &&dyn Layer| match layer.quantizes() {
            true => self.filters.is_empty() || self.filters.iter().any(|filter| filter.is_match(layer.base().name())),
            false => !layer.inside().is_empty(),
        };
        layers.into_iter().filter(meant).try_for_each(|layer| layer.quantize_by(self))
    }
}
