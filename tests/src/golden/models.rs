//! The model of each case, in the Rust API.

use kc::prelude::*;
use kc::{Error, Result};

/// The model of a case, compiled where the case trains.
pub fn build(case: &super::Case) -> Result<Model> {
    build_in(case, "float32")
}

/// The model of a case whose layers have that policy, where they have none of their own.
pub fn build_in(case: &super::Case, policy: &str) -> Result<Model> {
    kc::utils::clear_session();
    kc::config::set_dtype_policy(policy)?;
    let name = case.name.as_str();
    if let Some(activation) = name.strip_prefix("act_") {
        return one([3, 6], Activation::new(activation));
    }
    if name.starts_with("train_") && name.ends_with("__mlp") {
        return mlp(optimizer(&case.optimizer)?);
    }
    if name.starts_with("mixed_") || name.starts_with("pure_") {
        return super::mixed::build(case, name);
    }
    if let Some(network) = name.strip_prefix("int8_") {
        return super::quantized::build(network);
    }
    let image = [8, 7, 3];
    match name {
        "dense" => one([5], Dense::new(7).activation("relu")),
        "einsum_dense" => one([3, 4], EinsumDense::new("abc,cd->abd", [None, Some(6)]).bias_axes("d")),
        "dense_3d_nobias" => one([3, 5], Dense::new(4).use_bias(false).activation("gelu")),
        "conv2d_valid" => one(image, Conv2D::new(4, 3)),
        "conv2d_same_s2" => one(image, Conv2D::new(4, (3, 2)).strides(2).padding("same")),
        "conv2d_dil" => one(image, Conv2D::new(4, 3).dilation_rate(2).padding("same")),
        "conv2d_groups" => one([8, 7, 4], Conv2D::new(4, 3).groups(2)),
        "conv2d_cf" => one([3, 8, 7], Conv2D::new(4, 3).data_format("channels_first")),
        "conv2d_t_same" => one([5, 4, 3], Conv2DTranspose::new(4, 3).strides(2).padding("same")),
        "conv2d_t_valid" => one([5, 4, 3], Conv2DTranspose::new(4, 3).strides(2)),
        "conv2d_t_outpad" => {
            one([5, 4, 3], Conv2DTranspose::new(4, 3).strides(2).padding("same").output_padding((1, 1)))
        }
        "maxpool2d" => one(image, MaxPooling2D::new(2)),
        "maxpool2d_same" => one(image, MaxPooling2D::new(3).strides(2).padding("same")),
        "averagepool2d" => one(image, AveragePooling2D::new(2)),
        "averagepool2d_same" => one(image, AveragePooling2D::new(3).strides(2).padding("same")),
        "global_averagepool1d" => one([9, 3], GlobalAveragePooling1D::new()),
        "global_averagepool1d_keep" => one([9, 3], GlobalAveragePooling1D::new().keepdims(true)),
        "global_averagepool3d" => one([6, 5, 6, 2], GlobalAveragePooling3D::new()),
        "global_averagepool3d_keep" => one([6, 5, 6, 2], GlobalAveragePooling3D::new().keepdims(true)),
        "global_maxpool1d" => one([9, 3], GlobalMaxPooling1D::new()),
        "global_maxpool1d_keep" => one([9, 3], GlobalMaxPooling1D::new().keepdims(true)),
        "global_maxpool2d" => one(image, GlobalMaxPooling2D::new()),
        "global_maxpool2d_keep" => one(image, GlobalMaxPooling2D::new().keepdims(true)),
        "global_maxpool3d" => one([6, 5, 6, 2], GlobalMaxPooling3D::new()),
        "global_maxpool3d_keep" => one([6, 5, 6, 2], GlobalMaxPooling3D::new().keepdims(true)),
        "global_averagepool2d" => one(image, GlobalAveragePooling2D::new()),
        "global_averagepool2d_keep" => one(image, GlobalAveragePooling2D::new().keepdims(true)),
        "batchnorm_infer" => one([4, 5, 3], BatchNormalization::new()),
        "batchnorm_train" => one([4, 5, 3], BatchNormalization::new().momentum(0.9)),
        "batchnorm_train_2d" => one([6], BatchNormalization::new().scale(false)),
        "batchnorm_axis1" => one([3, 4, 5], BatchNormalization::new().axis(1)),
        "layernorm" => one([4, 6], LayerNormalization::new()),
        "layernorm_axes" => one([4, 6], LayerNormalization::new().axis([1, 2]).epsilon(1e-5).center(false)),
        "rmsnorm" => one([4, 6], RMSNormalization::new()),
        "zeropad1d" => one([9, 3], ZeroPadding1D::new()),
        "zeropad2d" => one([8, 7, 3], ZeroPadding2D::new().padding(2)),
        "zeropad3d" => one([6, 5, 6, 2], ZeroPadding3D::new().padding(2)),
        "zeropad2d_asym" => one([4, 5, 2], ZeroPadding2D::new().padding(((1, 2), (0, 3)))),
        "mha_self" => mha_self(MultiHeadAttention::new(2, 4)),
        "mha_causal" => mha_self(MultiHeadAttention::new(2, 4).use_causal_mask(true)),
        "mha_cross" => mha_cross(),
        "mha_mask" | "mha_excluded" => mha_masked([5, 8], [5, 5], MultiHeadAttention::new(2, 4)),
        "mha_axes" => {
            let x = Input::new([3, 4, 6]).name("in0");
            Model::new(&x, MultiHeadAttention::new(2, 4).attention_axes(2).call([&x, &x])?)
        }
        "mha_image" => mha_masked([3, 2, 6], [3, 2, 3, 2], MultiHeadAttention::new(2, 4)),
        "mha_gate_window" => {
            let layer = MultiHeadAttention::new(2, 4).use_gate(true).use_bias(false).sliding_window(2);
            two([5, 8], [5, 9], layer.output_shape([2, 3]).use_causal_mask(true))
        }
        "mha_scores_causal" => {
            let layer = MultiHeadAttention::new(2, 4).use_causal_mask(true).return_attention_scores(true);
            mha_masked([5, 8], [5, 5], layer)
        }
        "flatten" => one([3, 4], Flatten::new()),
        "reshape" => one([3, 4], Reshape::new([6, -1])),
        "rescaling" => one([4, 4, 3], Rescaling::new(1.0 / 127.5).offset(-1.0)),
        "relu_layer" => one([6], ReLU::new().max_value(1.0).negative_slope(0.1).threshold(0.2)),
        "leakyrelu" => one([6], LeakyReLU::new().negative_slope(0.2)),
        "prelu" => one([3, 4], PReLU::new().shared_axes([1])),
        "elu" => one([6], ELU::new().alpha(0.7)),
        "softmax_mask" => softmax_mask(),
        "softmax_axis" => one([3, 4], Softmax::new().axis(1)),
        "dropout_infer" => one([6], Dropout::new(0.5)),
        "merge_add" => two([3, 4], [3, 4], Add::new()),
        "merge_add_bcast" => two([3, 4], [1, 4], Add::new()),
        "permute" => one([2, 3, 4], Permute::new([3, 1, 2])),
        "repeatvector" => one([4], RepeatVector::new(3)),
        "timedist" => one([6, 4], TimeDistributed::new(Dense::new(3))),
        "timedist_conv" => one([2, 6, 5, 2], TimeDistributed::new(Conv2D::new(2, 3))),
        "groupnorm" => one([4, 5, 6], GroupNormalization::new(2)),
        "groupnorm_instance" => one([4, 5, 6], GroupNormalization::new(-1)),
        "unitnorm" => one([4, 6], UnitNormalization::new()),
        "upsampling1d" => one([9, 3], UpSampling1D::new(2)),
        "upsampling2d" => one(image, UpSampling2D::new(2)),
        "upsampling3d" => one([6, 5, 6, 2], UpSampling3D::new([2, 2, 2])),
        "cropping1d" => one([9, 3], Cropping1D::new()),
        "cropping2d" => one(image, Cropping2D::new().cropping(1)),
        "cropping3d" => one([6, 5, 6, 2], Cropping3D::new()),
        "cropping2d_asym" => one([6, 7, 2], Cropping2D::new().cropping(((1, 2), (0, 3)))),
        "merge_subtract" => two([3, 4], [3, 4], Subtract::new()),
        "merge_multiply" => two([3, 4], [3, 4], Multiply::new()),
        "merge_average" => two([3, 4], [3, 4], Average::new()),
        "merge_maximum" => two([3, 4], [3, 4], Maximum::new()),
        "merge_minimum" => two([3, 4], [3, 4], Minimum::new()),
        "merge_dot" => two([3, 4], [4, 5], Dot::new((2, 1))),
        "merge_dot_norm" => two([4], [4], Dot::new(1).normalize(true)),
        "merge_concatenate" => two([3, 4], [3, 4], Concatenate::new()),
        "merge_concat_axis1" => two([3, 4], [2, 4], Concatenate::new().axis(1)),
        "net_cnn" => net_cnn(),
        "net_resblock" => net_resblock(),
        "net_shared" => net_shared(),
        "net_encoder" => net_encoder(),
        "net_attention" => net_attention(),
        "net_nested" => net_nested(),
        "train_sgd__text" => train_text(optimizer(&case.optimizer)?),
        "train_sgd__mlp_constraint" => train_mlp_constraint(optimizer(&case.optimizer)?),
        "train_adam__cnn_bn" => train_cnn_bn(optimizer(&case.optimizer)?),
        "losses" | "losses_ctc" => super::losses::model(case),
        "fit_history" => mlp(SGD::new().learning_rate(0.05).momentum(0.9).into()),
        _ => super::sequences::build(case),
    }
}

pub(super) fn one<const N: usize>(shape: [i64; N], layer: impl Call) -> Result<Model> {
    let input = Input::new(shape).name("in0");
    let output = layer.call(&input)?;
    Model::new(&input, &output)
}

fn two<const N: usize>(first: [i64; N], second: [i64; N], layer: impl Call) -> Result<Model> {
    let inputs = [Input::new(first).name("in0"), Input::new(second).name("in1")];
    let output = layer.call([&inputs[0], &inputs[1]])?;
    Model::new([&inputs[0], &inputs[1]], &output)
}

fn mha_self(layer: MultiHeadAttention) -> Result<Model> {
    let x = Input::new([5, 8]).name("in0");
    let y = layer.call([&x, &x])?;
    Model::new(&x, &y)
}

fn mha_cross() -> Result<Model> {
    let (query, value) = (Input::new([5, 8]).name("in0"), Input::new([6, 9]).name("in1"));
    let layer = MultiHeadAttention::new(2, 4).value_dim(3).output_shape([7]).return_attention_scores(true);
    let outputs = layer.call_all([&query, &value])?;
    Model::new([&query, &value], outputs)
}

fn mha_masked<const N: usize, const M: usize>(
    shape: [i64; N],
    mask: [i64; M],
    layer: MultiHeadAttention,
) -> Result<Model> {
    let (x, mask) = (Input::new(shape).name("in0"), Input::new(mask).dtype("bool").name("in1"));
    let outputs = layer.call_all([&x, &x, &mask])?;
    Model::new([&x, &mask], outputs)
}

fn net_encoder() -> Result<Model> {
    let x = Input::new([5, 8]).name("in0");
    let h = LayerNormalization::new().call(&x)?;
    let h = MultiHeadAttention::new(2, 4).dropout(0.1).call([&h, &h])?;
    let x1 = Add::new().call((&x, &h))?;
    let h = LayerNormalization::new().call(&x1)?;
    let h = Dense::new(16).activation("gelu").call(&h)?;
    let h = Dense::new(8).call(&h)?;
    let y = Add::new().call((&x1, &h))?;
    Model::new(&x, &y)
}

/// Attention of products and softmax: scaled with an additive mask, by `einsum`, of one head with scaled queries, with a bias alone.
fn net_attention() -> Result<Model> {
    type Symbolic = ops::Tensor;
    let inputs = [Input::new([6, 8]).name("in0"), Input::new([1, 1, 6]).dtype("int32").name("in1")];
    let dense = |x: &Symbolic| Dense::new(8).call(x);
    let apart = |x: &Symbolic| Reshape::new([6, 2, 4]).call(dense(x)?);
    let together = |x: Symbolic| Reshape::new([6, 8]).call(x);
    let swapped = |x: Symbolic| Symbolic::from(ops::transpose(x).axes([0, 2, 1, 3]));
    let heads = |x: &Symbolic| Ok::<Symbolic, Error>(swapped(apart(x)?.into()));
    let scores = |q: Symbolic, k: Symbolic| ops::matmul(q, ops::transpose(k).axes([0, 1, 3, 2]));
    let attended = |scores: Symbolic, v: Symbolic| ops::matmul(ops::softmax(scores), v);
    let bias = (1.0 - ops::cast(&inputs[1], "float32")) * -1e9;

    let x = Symbolic::from(&inputs[0]);
    let (q, k, v) = (heads(&x)?, heads(&x)?, heads(&x)?);
    let y = x + together(swapped(attended(scores(q, k) / 2.0 + &bias, v)))?;

    let (q, k, v) = (apart(&y)?, apart(&y)?, apart(&y)?);
    let weights = Symbolic::from(ops::softmax(ops::einsum("btnh,bsnh->bnts", [q, k]) * 0.5));
    let y = y + together(ops::einsum("bnts,bsnh->btnh", [weights, v.into()]))?;

    let (q, k, v) = (dense(&y)?, dense(&y)?, dense(&y)?);
    let y = y + attended(ops::matmul(q * 0.35, ops::transpose(k).axes([0, 2, 1])), v.into());

    let (q, k, v) = (heads(&y)?, heads(&y)?, heads(&y)?);
    let y = &y + together(swapped(attended(scores(q, k) + bias, v)))?;
    Model::new([&inputs[0], &inputs[1]], y)
}

fn softmax_mask() -> Result<Model> {
    let x = Input::new([3, 4]).name("in0");
    let mask = Input::new([3, 4]).dtype("bool").name("in1");
    let output = Softmax::new().call([&x, &mask])?;
    Model::new([&x, &mask], &output)
}

fn net_nested() -> Result<Model> {
    let input = Input::new([5]).name("in0");
    let x = Dense::new(4).call(&input)?;
    let (first, second) = (Dense::new(3).activation("relu").name("dense"), Dense::new(2).name("dense_1"));
    let inner = Sequential::new().add(Input::new([4])).add(first).add(second);
    Model::new(&input, &inner.call(&x)?)
}

fn net_cnn() -> Result<Model> {
    let input = Input::new([12, 12, 3]).name("in0");
    let x = Conv2D::new(8, 3).activation("relu").call(&input)?;
    let x = BatchNormalization::new().call(&x)?;
    let x = MaxPooling2D::new(2).call(&x)?;
    let x = Conv2D::new(8, 3).activation("relu").call(&x)?;
    let x = GlobalAveragePooling2D::new().call(&x)?;
    let x = Dropout::new(0.3).call(&x)?;
    let x = Dense::new(5).activation("softmax").call(&x)?;
    Model::new(&input, &x)
}

fn net_resblock() -> Result<Model> {
    let x = Input::new([6, 6, 4]).name("in0");
    let y = Conv2D::new(4, 3).padding("same").use_bias(false).call(&x)?;
    let y = BatchNormalization::new().call(&y)?;
    let y = ReLU::new().call(&y)?;
    let y = Conv2D::new(4, 3).padding("same").call(&y)?;
    let y = Add::new().call((&x, &y))?;
    let y = ReLU::new().call(&y)?;
    Model::new(&x, &y)
}

fn net_shared() -> Result<Model> {
    let (a, b) = (Input::new([3]).name("in0"), Input::new([3]).name("in1"));
    let dense = Dense::new(4).activation("tanh");
    let (left, right) = (dense.call(&a)?, dense.call(&b)?);
    let output = Concatenate::new().call([&left, &right])?;
    Model::new([&a, &b], &output)
}

fn mlp(optimizer: OptimizerSpec) -> Result<Model> {
    let mut model = Sequential::new()
        .add(Input::new([8]))
        .add(Dense::new(16).activation("relu"))
        .add(Dense::new(4).activation("softmax"));
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])?;
    Ok(model.into())
}

fn train_text(optimizer: OptimizerSpec) -> Result<Model> {
    let mut model = Sequential::new()
        .add(Input::new([6]).dtype("int32"))
        .add(Embedding::new(40, 8))
        .add(GlobalAveragePooling1D::new())
        .add(Dense::new(16).activation("relu"))
        .add(Dense::new(4).activation("softmax"));
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])?;
    Ok(model.into())
}

fn train_mlp_constraint(optimizer: OptimizerSpec) -> Result<Model> {
    let mut model = Sequential::new()
        .add(Input::new([8]))
        .add(Dense::new(16).activation("relu").kernel_constraint("max_norm"))
        .add(Dense::new(4).activation("softmax").kernel_constraint("non_neg"));
    model.compile(optimizer, "sparse_categorical_crossentropy", ())?;
    Ok(model.into())
}

fn train_cnn_bn(optimizer: OptimizerSpec) -> Result<Model> {
    let input = Input::new([12, 12, 3]);
    let x = Conv2D::new(8, 3).call(&input)?;
    let x = BatchNormalization::new().momentum(0.9).call(&x)?;
    let x = MaxPooling2D::new(2).call(&x)?;
    let x = Conv2D::new(8, 3).activation("relu").call(&x)?;
    let x = GlobalAveragePooling2D::new().call(&x)?;
    let x = Dense::new(5).call(&x)?;
    let mut model = Model::new(&input, &x)?;
    let loss = CategoricalCrossentropy::new().from_logits(true).label_smoothing(0.1);
    model.compile(optimizer, loss, ["categorical_accuracy"])?;
    Ok(model)
}

/// The optimizer of a configuration that Keras wrote. Every argument is set; one that is not known is an error.
pub(super) fn optimizer(description: &serde_json::Value) -> Result<OptimizerSpec> {
    let class = description["class_name"].as_str().unwrap_or_default();
    let config = description["config"].as_object().cloned().unwrap_or_default();
    let unknown = |argument: &str, value: &serde_json::Value| {
        Error::model(format!("the argument `{argument}` = {value} of the optimizer {class} is not known"))
    };
    macro_rules! apply {
        ($optimizer:expr, $($own:ident: $read:ident),*) => {{
            let mut optimizer = $optimizer;
            for (argument, value) in &config {
                let number = value.as_f64().unwrap_or_default();
                let truth = value.as_bool().unwrap_or_default();
                // what f32 made of the number is meant
                let number_f32 = number as f32 as f64;
                optimizer = match argument.as_str() {
                    _ if value.is_null() || argument == "name" => optimizer,
                    "learning_rate" if value.is_number() => optimizer.learning_rate(number_f32),
                    "weight_decay" => optimizer.weight_decay(number),
                    "clipnorm" => optimizer.clipnorm(number),
                    "global_clipnorm" => optimizer.global_clipnorm(number),
                    "clipvalue" => optimizer.clipvalue(number),
                    "loss_scale_factor" => optimizer.loss_scale_factor(number),
                    "use_ema" => optimizer.use_ema(truth),
                    "ema_momentum" => optimizer.ema_momentum(number),
                    "gradient_accumulation_steps" => optimizer.gradient_accumulation_steps(number as u32),
                    "ema_overwrite_frequency" => optimizer.ema_overwrite_frequency(number as u32),
                    $(stringify!($own) => apply!(@ optimizer, $own, $read, number, truth),)*
                    _ => return Err(unknown(argument, value)),
                };
            }
            Ok(optimizer.into())
        }};
        (@ $optimizer:ident, $own:ident, number, $number:ident, $truth:ident) => { $optimizer.$own($number) };
        (@ $optimizer:ident, $own:ident, truth, $number:ident, $truth:ident) => { $optimizer.$own($truth) };
    }
    match class {
        "LossScaleOptimizer" => {
            let inner = optimizer(&config["inner_optimizer"])?;
            let number = |argument: &str| config[argument].as_f64().ok_or_else(|| unknown(argument, &config[argument]));
            let scaled = LossScaleOptimizer::new(inner).initial_scale(number("initial_scale")?);
            Ok(scaled.dynamic_growth_steps(number("dynamic_growth_steps")? as u32).into())
        }
        "SGD" => apply!(SGD::new(), momentum: number, nesterov: truth),
        "Adam" => apply!(Adam::new(), beta_1: number, beta_2: number, epsilon: number, amsgrad: truth),
        _ => Err(Error::model(format!("no optimizer of the class `{class}`"))),
    }
}
