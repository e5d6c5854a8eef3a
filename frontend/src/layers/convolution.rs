use super::spatial::{DataFormat, Padding, Pair, check_fit};
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::{GlorotUniform, Initializer};
use crate::layer::{arguments, base, one_input};
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::TensorType;
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Binary, Convolution, ConvolutionAxes};
use serde_json::json;

/// Convolution over images: `activation(convolution(x, kernel) + bias)`. `keras.layers.Conv2D`.
#[derive(Clone, Debug)]
pub struct Conv2D {
    base: Base,
    filters: i64,
    kernel_size: Pair,
    strides: Pair,
    padding: Padding,
    data_format: DataFormat,
    dilation_rate: Pair,
    groups: i64,
    activation: Activation,
    use_bias: bool,
    kernel_initializer: Initializer,
    bias_initializer: Initializer,
    kernel_constraint: Constraint,
    bias_constraint: Constraint,
}

impl Conv2D {
    /// A layer of that many filters over windows of that size.
    #[track_caller]
    pub fn new(filters: usize, kernel_size: impl Into<Pair>) -> Self {
        Conv2D {
            base: Base::new("Conv2D"),
            filters: filters as i64,
            kernel_size: kernel_size.into(),
            strides: Pair([1, 1]),
            padding: Padding::Valid,
            data_format: DataFormat::ChannelsLast,
            dilation_rate: Pair([1, 1]),
            groups: 1,
            activation: Activation::Linear,
            use_bias: true,
            kernel_initializer: GlorotUniform::new().into(),
            bias_initializer: Initializer::Zeros,
            kernel_constraint: Constraint::None,
            bias_constraint: Constraint::None,
        }
    }

    arguments! {
        /// The step from one window to the next (default: 1).
        strides: Pair,
        /// `"valid"` (default) or `"same"`.
        padding: Padding,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat,
        /// The step between the elements of a window (default: 1).
        dilation_rate: Pair,
        /// Groups of channels that are convolved apart (default: 1).
        groups: i64,
        /// The activation (default: none).
        activation: Activation,
        /// Whether a bias is added (default: yes).
        use_bias: bool,
        /// How the kernel `[height, width, channels / groups, filters]` starts (default: `"glorot_uniform"`).
        kernel_initializer: Initializer,
        /// How the bias `[filters]` starts (default: `"zeros"`).
        bias_initializer: Initializer,
        /// What the kernel is held to (default: nothing), a [`Constraint`] or its name.
        kernel_constraint: Constraint,
        /// What the bias is held to (default: nothing).
        bias_constraint: Constraint,
    }

    /// The convolution of an input of this type.
    fn convolution(&self, input: &TensorType) -> Result<Convolution> {
        let (spatial, _) = self.data_format.axes(input)?;
        let size = self.kernel_size.positive("kernel_size")?;
        let strides = self.strides.positive("strides")?;
        let dilation = self.dilation_rate.positive("dilation_rate")?;
        if strides.iter().any(|&stride| stride > 1) && dilation.iter().any(|&rate| rate > 1) {
            return Err(Error::model(format!(
                "`strides` {strides:?} and `dilation_rate` {dilation:?} cannot both be above 1"
            )));
        }
        let mut padding = Vec::with_capacity(2);
        for i in 0..2 {
            let reach = (size[i] - 1) * dilation[i] + 1;
            let amounts = self.padding.amounts(&input.shape[spatial[i]], reach, strides[i])?;
            check_fit(input, spatial[i], reach, amounts)?;
            padding.push(amounts);
        }
        let axes = match self.data_format {
            DataFormat::ChannelsFirst => ConvolutionAxes::channels_first(2),
            DataFormat::ChannelsLast | DataFormat::Unknown => ConvolutionAxes::channels_last(2),
        };
        Ok(Convolution {
            axes,
            strides: strides.to_vec(),
            padding,
            lhs_dilation: vec![1, 1],
            rhs_dilation: dilation.to_vec(),
            feature_groups: self.groups,
            batch_groups: 1,
        })
    }
}

impl Layer for Conv2D {
    base!();

    fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
        let [input] = inputs else {
            return Err(Error::model(format!("expected 1 input, got {}", inputs.len())));
        };
        if self.filters < 1 || self.groups < 1 {
            return Err(Error::model(format!(
                "`filters` is {} and `groups` is {}, expected numbers of at least 1",
                self.filters, self.groups
            )));
        }
        self.convolution(input)?;
        let (_, channel_axis) = self.data_format.axes(input)?;
        let channels = input.shape[channel_axis].as_constant().ok_or_else(|| {
            Error::model(format!(
                "the number of channels in the input's shape {} is not known",
                shape_text(&input.shape)
            ))
        })?;
        for (what, count) in [("channels of the input", channels), ("`filters`", self.filters)] {
            if count % self.groups != 0 {
                return Err(Error::model(format!(
                    "the number of {what}, {count}, cannot be split into {} groups; the input's shape is {}",
                    self.groups,
                    shape_text(&input.shape)
                )));
            }
        }
        let [height, width] = self.kernel_size.0;
        scope.add_constrained_weight(
            "kernel",
            &[height, width, channels / self.groups, self.filters],
            &self.kernel_initializer,
            &self.kernel_constraint,
        )?;
        if self.use_bias {
            scope.add_constrained_weight("bias", &[self.filters], &self.bias_initializer, &self.bias_constraint)?;
        }
        Ok(())
    }

    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = one_input(inputs)?;
        let x = scope.float(x)?;
        let input = scope.tensor_type(x).clone();
        let kernel = scope.weight("kernel")?;
        let convolution = self.convolution(&input)?;
        let (_, channel_axis) = self.data_format.axes(&input)?;
        let takes = scope.tensor_type(kernel).shape[2].clone() * self.groups.into();
        if input.shape[channel_axis] != takes {
            return Err(Error::model(format!(
                "the input's shape is {}, but the layer was built for inputs with {takes} channels",
                shape_text(&input.shape)
            )));
        }
        let mut y = scope.add(convolution, &[x, kernel])?;
        if self.use_bias {
            let bias = scope.weight("bias")?;
            let shape = scope.tensor_type(y).shape.clone();
            let bias = scope.broadcast(bias, &shape, &[channel_axis])?;
            y = scope.binary(Binary::Add, y, bias)?;
        }
        Ok(vec![self.activation.apply(scope, y)?])
    }

    fn config(&self) -> Config {
        Config::from([
            ("filters".into(), json!(self.filters)),
            ("kernel_size".into(), json!(self.kernel_size.0)),
            ("strides".into(), json!(self.strides.0)),
            ("padding".into(), json!(self.padding.name())),
            ("data_format".into(), json!(self.data_format.name())),
            ("dilation_rate".into(), json!(self.dilation_rate.0)),
            ("groups".into(), json!(self.groups)),
            ("activation".into(), json!(self.activation.name())),
            ("use_bias".into(), json!(self.use_bias)),
        ])
    }
}
