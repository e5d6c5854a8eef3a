use super::spatial::{DataFormat, Padding, Pair, check_fit, unknown_padding};
use crate::activations::Activation;
use crate::constraints::Constraint;
use crate::initializers::Initializer;
use crate::layer::{arguments, base, one_input};
use crate::regularizers::Regularizer;
use crate::{Base, Config, Error, Layer, Result, Scope, shape_text};
use kc_ir::TensorType;
use kc_ir::tensor::Value;
use kc_ir::tensor::ops::{Binary, Convolution, Reverse};
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
    kernel_regularizer: Regularizer,
    bias_regularizer: Regularizer,
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
            kernel_initializer: "glorot_uniform".into(),
            bias_initializer: Initializer::Zeros,
            kernel_constraint: Constraint::None,
            bias_constraint: Constraint::None,
            kernel_regularizer: Regularizer::None,
            bias_regularizer: Regularizer::None,
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
        /// What the kernel adds to the loss (default: nothing), a [`Regularizer`] or its name.
        kernel_regularizer: Regularizer,
        /// What the bias adds to the loss (default: nothing).
        bias_regularizer: Regularizer,
    }

    /// The convolution of an input of this type.
    fn convolution(&self, input: &TensorType) -> Result<Convolution> {
        let (spatial, _) = self.data_format.axes(input)?;
        let size = self.kernel_size.positive("kernel_size")?;
        let strides = self.strides.positive("strides")?;
        let dilation = self.dilation_rate.positive("dilation_rate")?;
        check_steps(strides, dilation)?;
        let mut padding = Vec::with_capacity(2);
        for i in 0..2 {
            let reach = (size[i] - 1) * dilation[i] + 1;
            let amounts = self.padding.amounts(&input.shape[spatial[i]], reach, strides[i])?;
            check_fit(input, spatial[i], reach, amounts)?;
            padding.push(amounts);
        }
        Ok(Convolution {
            axes: self.data_format.convolution_axes(),
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
        let channels = self.data_format.channels(input)?;
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
        scope.regularize("kernel", &self.kernel_regularizer)?;
        if self.use_bias {
            scope.add_constrained_weight("bias", &[self.filters], &self.bias_initializer, &self.bias_constraint)?;
            scope.regularize("bias", &self.bias_regularizer)?;
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
            y = add_bias(scope, y, channel_axis)?;
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
            ("activation".into(), self.activation.config()),
            ("use_bias".into(), json!(self.use_bias)),
        ])
    }
}

/// Keras moves windows by steps or their elements apart, not both.
fn check_steps(strides: [i64; 2], dilation: [i64; 2]) -> Result<()> {
    if strides.iter().any(|&stride| stride > 1) && dilation.iter().any(|&rate| rate > 1) {
        return Err(Error::model(format!(
            "`strides` {strides:?} and `dilation_rate` {dilation:?} cannot both be above 1"
        )));
    }
    Ok(())
}

/// The weight `bias` added along the channels.
fn add_bias(scope: &mut Scope, y: Value, channel_axis: usize) -> Result<Value> {
    let bias = scope.weight("bias")?;
    let shape = scope.tensor_type(y).shape.clone();
    let bias = scope.broadcast(bias, &shape, &[channel_axis])?;
    Ok(scope.binary(Binary::Add, y, bias)?)
}

/// Transposed convolution over images: what maps a [`Conv2D`]'s outputs back to the shape of its inputs, as its gradient does.
/// `keras.layers.Conv2DTranspose`.
#[derive(Clone, Debug)]
pub struct Conv2DTranspose {
    base: Base,
    filters: i64,
    kernel_size: Pair,
    strides: Pair,
    padding: Padding,
    output_padding: Option<Pair>,
    data_format: DataFormat,
    dilation_rate: Pair,
    activation: Activation,
    use_bias: bool,
    kernel_initializer: Initializer,
    bias_initializer: Initializer,
}

impl Conv2DTranspose {
    /// A layer of that many filters over windows of that size.
    #[track_caller]
    pub fn new(filters: usize, kernel_size: impl Into<Pair>) -> Self {
        Conv2DTranspose {
            base: Base::new("Conv2DTranspose"),
            filters: filters as i64,
            kernel_size: kernel_size.into(),
            strides: Pair([1, 1]),
            padding: Padding::Valid,
            output_padding: None,
            data_format: DataFormat::ChannelsLast,
            dilation_rate: Pair([1, 1]),
            activation: Activation::Linear,
            use_bias: true,
            kernel_initializer: "glorot_uniform".into(),
            bias_initializer: Initializer::Zeros,
        }
    }

    arguments! {
        /// How far apart two neighbours of the input are in the output (default: 1).
        strides: Pair,
        /// `"valid"` (default) or `"same"`.
        padding: Padding,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: DataFormat,
        /// The step between the elements of a window (default: 1).
        dilation_rate: Pair,
        /// The activation (default: none).
        activation: Activation,
        /// Whether a bias is added (default: yes).
        use_bias: bool,
        /// How the kernel `[height, width, filters, channels]` starts (default: `"glorot_uniform"`).
        kernel_initializer: Initializer,
        /// How the bias `[filters]` starts (default: `"zeros"`).
        bias_initializer: Initializer,
    }

    /// Elements of the output beyond `(extent - 1) * stride + reach` of them with `padding("valid")`, or beyond
    /// `(extent - 1) * stride + reach % 2` with `padding("same")`, less than the stride. By default as many as give
    /// `extent * stride` elements, or with `padding("valid")` what the windows reach over, where that is more.
    pub fn output_padding(mut self, output_padding: impl Into<Pair>) -> Self {
        self.output_padding = Some(output_padding.into());
        self
    }

    /// The convolution of an input of this type, whose neighbours the strides put apart, with the kernel in reversed order.
    fn convolution(&self, input: &TensorType) -> Result<Convolution> {
        let (spatial, _) = self.data_format.axes(input)?;
        let size = self.kernel_size.positive("kernel_size")?;
        let strides = self.strides.positive("strides")?;
        let dilation = self.dilation_rate.positive("dilation_rate")?;
        let output_padding = self.output_padding.map(|pair| pair.not_negative("output_padding")).transpose()?;
        if let Some(output_padding) = output_padding
            && (0..2).any(|i| output_padding[i] >= strides[i])
        {
            return Err(Error::model(format!(
                "`output_padding` {output_padding:?} must be less than `strides` {strides:?}"
            )));
        }
        check_steps(strides, dilation)?;
        let mut padding = Vec::with_capacity(2);
        for i in 0..2 {
            let reach = (size[i] - 1).saturating_mul(dilation[i]).saturating_add(1);
            let amounts = self.amounts(reach, strides[i], output_padding.map(|pair| pair[i]))?;
            // a single element, as all others are followed by a stride
            if input.shape[spatial[i]].as_constant() == Some(1) && amounts.0.saturating_add(amounts.1) < reach - 1 {
                return Err(Error::model(format!(
                    "the output has no element along axis {} of the input's shape {}: with `padding(\"same\")` and a window \
                     that reaches over {reach} elements, one element needs an `output_padding` of at least 1",
                    spatial[i],
                    shape_text(&input.shape)
                )));
            }
            padding.push(amounts);
        }
        let mut axes = self.data_format.convolution_axes();
        // the kernel is the one of the convolution that is transposed: its inputs are the filters here
        axes.rhs.swap(0, 1);
        Ok(Convolution {
            axes,
            strides: vec![1, 1],
            padding,
            lhs_dilation: strides.to_vec(),
            rhs_dilation: dilation.to_vec(),
            feature_groups: 1,
            batch_groups: 1,
        })
    }

    /// Elements before and after an axis, for windows that reach over so many elements.
    fn amounts(&self, reach: i64, stride: i64, output_padding: Option<i64>) -> Result<(i64, i64)> {
        let edge = reach - 1;
        let total = match (&self.padding, output_padding) {
            (Padding::Valid, given) => {
                let extra = given.unwrap_or((stride - reach).max(0));
                return Ok((edge, edge.saturating_add(extra)));
            }
            (Padding::Same, None) => edge.saturating_add(stride - 1),
            (Padding::Same, Some(extra)) => (edge - 1 + reach % 2).saturating_add(extra),
            (Padding::Unknown(given), _) => return Err(unknown_padding(given)),
        };
        let before = (total / 2 + total % 2).min(edge);
        Ok((before, total - before))
    }
}

impl Layer for Conv2DTranspose {
    base!();

    fn build(&self, scope: &mut Scope, inputs: &[TensorType]) -> Result<()> {
        let [input] = inputs else {
            return Err(Error::model(format!("expected 1 input, got {}", inputs.len())));
        };
        if self.filters < 1 {
            return Err(Error::model(format!("`filters` is {}, expected a number of at least 1", self.filters)));
        }
        self.convolution(input)?;
        let channels = self.data_format.channels(input)?;
        let [height, width] = self.kernel_size.0;
        scope.add_weight("kernel", &[height, width, self.filters, channels], &self.kernel_initializer)?;
        if self.use_bias {
            scope.add_weight("bias", &[self.filters], &self.bias_initializer)?;
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
        let takes = &scope.tensor_type(kernel).shape[3];
        if input.shape[channel_axis] != *takes {
            return Err(Error::model(format!(
                "the input's shape is {}, but the layer was built for inputs with {takes} channels",
                shape_text(&input.shape)
            )));
        }
        let reversed = scope.add(Reverse { axes: vec![0, 1] }, &[kernel])?;
        let mut y = scope.add(convolution, &[x, reversed])?;
        if self.use_bias {
            y = add_bias(scope, y, channel_axis)?;
        }
        Ok(vec![self.activation.apply(scope, y)?])
    }

    fn config(&self) -> Config {
        Config::from([
            ("filters".into(), json!(self.filters)),
            ("kernel_size".into(), json!(self.kernel_size.0)),
            ("strides".into(), json!(self.strides.0)),
            ("padding".into(), json!(self.padding.name())),
            ("output_padding".into(), json!(self.output_padding.map(|pair| pair.0))),
            ("data_format".into(), json!(self.data_format.name())),
            ("dilation_rate".into(), json!(self.dilation_rate.0)),
            ("activation".into(), self.activation.config()),
            ("use_bias".into(), json!(self.use_bias)),
        ])
    }
}
