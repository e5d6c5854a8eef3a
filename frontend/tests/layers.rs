//! Shapes and weights of layers, and what they refuse.

use kc::prelude::*;
use kc_ir::tensor::{Argument, Literal, interpret};

fn shape(layer: impl Layer + Clone, input: &[i64]) -> Result<String, String> {
    kc::utils::clear_session();
    match layer.call(Input::new(input)) {
        Ok(output) => Ok(output.shape_text()),
        Err(error) => Err(error.to_string().split("\n  --> ").next().unwrap_or_default().to_string()),
    }
}

fn weights(layer: impl Layer, input: &[i64]) -> Vec<String> {
    kc::utils::clear_session();
    let module = Sequential::new().add(Input::new(input)).add(layer).module().unwrap();
    module.state.iter().map(|state| format!("{}: {}", state.name, state.ty)).collect()
}

#[test]
fn convolutions_have_keras_shapes() {
    let image = [9, 8, 4];
    let ok = |text: &str| Ok(text.to_string());
    assert_eq!(shape(Conv2D::new(6, 3), &image), ok("(None, 7, 6, 6)"));
    assert_eq!(shape(Conv2D::new(6, 3).padding("same"), &image), ok("(None, 9, 8, 6)"));
    assert_eq!(shape(Conv2D::new(6, (3, 2)).strides(2), &image), ok("(None, 4, 4, 6)"));
    assert_eq!(shape(Conv2D::new(6, 3).strides((2, 3)).padding("same"), &image), ok("(None, 5, 3, 6)"));
    assert_eq!(shape(Conv2D::new(6, 3).dilation_rate(2), &image), ok("(None, 5, 4, 6)"));
    assert_eq!(shape(Conv2D::new(6, 3).data_format("channels_first"), &[4, 9, 8]), ok("(None, 6, 7, 6)"));
    assert_eq!(
        weights(Conv2D::new(6, (3, 2)).groups(2), &image),
        ["conv2d/kernel: f32[3, 2, 2, 6]", "conv2d/bias: f32[6]"]
    );
    assert_eq!(weights(Conv2D::new(6, 1).use_bias(false), &image), ["conv2d/kernel: f32[1, 1, 4, 6]"]);
}

#[test]
fn convolutions_refuse() {
    let err = |text: &str| Err(format!("layer `conv2d` (Conv2D): {text}"));
    assert_eq!(
        shape(Conv2D::new(6, 3), &[9, 8]),
        err("the input's shape is (None, 9, 8), expected 4 axes: (batch, height, width, channels)")
    );
    assert_eq!(
        shape(Conv2D::new(6, 5), &[4, 9, 3]),
        err("a window that reaches over 5 elements does not fit into axis 1 of the input's shape (None, 4, 9, 3); \
             use `padding(\"same\")` or a smaller window")
    );
    assert_eq!(
        shape(Conv2D::new(6, 3).groups(4), &[9, 8, 6]),
        err(
            "the number of channels of the input, 6, cannot be split into 4 groups; the input's shape is (None, 9, 8, 6)"
        )
    );
    assert_eq!(
        shape(Conv2D::new(6, 3).strides(2).dilation_rate(2), &[9, 8, 6]),
        err("`strides` [2, 2] and `dilation_rate` [2, 2] cannot both be above 1")
    );
    assert_eq!(
        shape(Conv2D::new(6, 3).padding("causal"), &[9, 8, 6]),
        err("unknown padding `causal`; known are: valid, same")
    );
    assert_eq!(shape(Conv2D::new(6, 0), &[9, 8, 6]), err("`kernel_size` is (0, 0), expected numbers of at least 1"));
}

#[test]
fn transposed_convolutions_have_keras_shapes() {
    let image = [5, 4, 3];
    let ok = |text: &str| Ok(text.to_string());
    let layer = |size: i64| Conv2DTranspose::new(6, size);
    assert_eq!(shape(layer(3), &image), ok("(None, 7, 6, 6)"));
    assert_eq!(shape(layer(3).strides(2), &image), ok("(None, 11, 9, 6)"));
    assert_eq!(shape(layer(2).strides((3, 1)), &image), ok("(None, 15, 5, 6)"));
    assert_eq!(shape(layer(3).strides(2).output_padding((1, 0)), &image), ok("(None, 12, 9, 6)"));
    assert_eq!(shape(layer(3).strides((2, 3)).padding("SAME"), &image), ok("(None, 10, 12, 6)"));
    assert_eq!(shape(layer(4).strides(3).padding("same").output_padding((2, 0)), &image), ok("(None, 14, 9, 6)"));
    assert_eq!(shape(layer(3).dilation_rate((2, 1)), &image), ok("(None, 9, 6, 6)"));
    assert_eq!(shape(layer(3).strides(2).data_format("channels_first"), &[3, 5, 4]), ok("(None, 6, 11, 9)"));
    assert_eq!(shape(layer(2).strides(2).padding("same"), &[1, 1, 3]), ok("(None, 2, 2, 6)"));
    assert_eq!(
        weights(Conv2DTranspose::new(6, (3, 2)), &image),
        ["conv2d_transpose/kernel: f32[3, 2, 6, 3]", "conv2d_transpose/bias: f32[6]"]
    );
    assert_eq!(weights(layer(1).use_bias(false), &image), ["conv2d_transpose/kernel: f32[1, 1, 6, 3]"]);

    let symbolic = Input::new([Dim::symbol("H"), Dim::symbol("W"), Dim::constant(3)]);
    let output = layer(3).strides((2, 3)).padding("same").call(&symbolic).unwrap();
    assert_eq!(output.shape()[1..3], [Dim::symbol("H") * Dim::constant(2), Dim::symbol("W") * Dim::constant(3)]);
}

#[test]
fn transposed_convolutions_refuse() {
    let image = [5, 4, 3];
    let err = |text: &str| Err(format!("layer `conv2d_transpose` (Conv2DTranspose): {text}"));
    let layer = || Conv2DTranspose::new(6, 2);
    assert_eq!(
        shape(layer(), &[5, 4]),
        err("the input's shape is (None, 5, 4), expected 4 axes: (batch, height, width, channels)")
    );
    assert_eq!(shape(Conv2DTranspose::new(0, 2), &image), err("`filters` is 0, expected a number of at least 1"));
    assert_eq!(
        shape(Conv2DTranspose::new(6, (2, 0)), &image),
        err("`kernel_size` is (2, 0), expected numbers of at least 1")
    );
    assert_eq!(shape(layer().strides(0), &image), err("`strides` is (0, 0), expected numbers of at least 1"));
    assert_eq!(
        shape(layer().strides(2).dilation_rate((1, 2)), &image),
        err("`strides` [2, 2] and `dilation_rate` [1, 2] cannot both be above 1")
    );
    assert_eq!(
        shape(layer().strides((3, 2)).output_padding(2), &image),
        err("`output_padding` [2, 2] must be less than `strides` [3, 2]")
    );
    assert_eq!(
        shape(layer().output_padding((0, -1)), &image),
        err("`output_padding` is (0, -1), expected numbers of at least 0")
    );
    assert_eq!(shape(layer().padding("causal"), &image), err("unknown padding `causal`; known are: valid, same"));
    assert_eq!(
        shape(layer().data_format("nhwc"), &image),
        err("unknown data format `nhwc`; known are: channels_last, channels_first")
    );
    assert_eq!(
        shape(layer().strides(2).padding("same").output_padding(0), &[5, 1, 3]),
        err(
            "the output has no element along axis 2 of the input's shape (None, 5, 1, 3): with `padding(\"same\")` and a \
             window that reaches over 2 elements, one element needs an `output_padding` of at least 1"
        )
    );
}

/// One axis of a transposed convolution: its arguments, then what Keras makes of them: how many elements it crops in front, and
/// the output's extent.
struct Transposed {
    size: i64,
    stride: i64,
    dilation: i64,
    output_padding: Option<i64>,
    crop: i64,
    extent: i64,
}

/// Each element of the input adds its multiple of the kernel to the output.
#[test]
fn transposed_convolutions_spread_the_kernel() {
    let axis = |size, stride, dilation, output_padding, crop, extent| Transposed {
        size,
        stride,
        dilation,
        output_padding,
        crop,
        extent,
    };
    // for inputs of 5 by 4
    for (padding, [h, w]) in [
        ("valid", [axis(3, 2, 1, None, 0, 11), axis(2, 3, 1, None, 0, 12)]),
        ("valid", [axis(3, 2, 1, Some(1), 0, 12), axis(3, 2, 1, Some(0), 0, 9)]),
        ("valid", [axis(3, 1, 2, None, 0, 9), axis(2, 1, 1, None, 0, 5)]),
        ("same", [axis(4, 2, 1, None, 1, 10), axis(5, 3, 1, None, 1, 12)]),
        ("same", [axis(1, 3, 1, None, 0, 15), axis(3, 2, 1, None, 0, 8)]),
        ("same", [axis(3, 1, 2, None, 2, 5), axis(2, 1, 3, None, 1, 4)]),
        ("same", [axis(3, 2, 1, Some(0), 1, 9), axis(4, 3, 1, Some(2), 1, 11)]),
        ("same", [axis(1, 4, 1, Some(3), 0, 20), axis(2, 4, 1, Some(3), 0, 15)]),
    ] {
        let (filters, channels) = (3, 2);
        let x = |i: i64, j: i64, c: i64| ((i * 7 + j * 3 + c * 5) % 11 - 5) as f64;
        let kernel = |k: i64, l: i64, f: i64, c: i64| ((k * 5 + l * 8 + f * 3 + c) % 13 - 6) as f64;
        let mut expected = vec![0.0; (h.extent * w.extent * filters) as usize];
        for [i, j, k, l] in indices([5, 4, h.size, w.size]) {
            let p = i * h.stride + k * h.dilation - h.crop;
            let q = j * w.stride + l * w.dilation - w.crop;
            if (0..h.extent).contains(&p) && (0..w.extent).contains(&q) {
                for [f, c, ..] in indices([filters, channels, 1, 1]) {
                    expected[((p * w.extent + q) * filters + f) as usize] += x(i, j, c) * kernel(k, l, f, c);
                }
            }
        }

        let mut layer = Conv2DTranspose::new(filters as usize, (h.size, w.size))
            .strides((h.stride, w.stride))
            .dilation_rate((h.dilation, w.dilation))
            .padding(padding)
            .use_bias(false);
        if let (Some(height), Some(width)) = (h.output_padding, w.output_padding) {
            layer = layer.output_padding((height, width));
        }
        let kernel: Vec<f32> =
            indices([h.size, w.size, filters, channels]).map(|[k, l, f, c]| kernel(k, l, f, c) as f32).collect();
        let kernel = Literal::f32(&[h.size as usize, w.size as usize, filters as usize, channels as usize], &kernel);
        let last: Vec<f32> = indices([1, 5, 4, channels]).map(|[_, i, j, c]| x(i, j, c) as f32).collect();
        let given =
            run(layer.clone(), [Dim::symbol("H"), Dim::symbol("W"), Dim::constant(2)], [1, 5, 4, 2], &last, &kernel);
        assert_eq!(given, expected, "channels last: {layer:?}");

        let first: Vec<f32> = indices([1, channels, 5, 4]).map(|[_, c, i, j]| x(i, j, c) as f32).collect();
        let layer = layer.data_format("channels_first");
        let given = run(layer.clone(), [2, 5, 4].map(Dim::constant), [1, 2, 5, 4], &first, &kernel);
        let expected: Vec<f64> = indices([1, filters, h.extent, w.extent])
            .map(|[_, f, p, q]| expected[((p * w.extent + q) * filters + f) as usize])
            .collect();
        assert_eq!(given, expected, "channels first: {layer:?}");
    }
}

/// The positions of an array, in order.
fn indices([a, b, c, d]: [i64; 4]) -> impl Iterator<Item = [i64; 4]> {
    (0..a * b * c * d).map(move |i| [i / (b * c * d), i / (c * d) % b, i / d % c, i % d])
}

/// What a layer with that weight makes of an input.
fn run(layer: impl Layer, input: [Dim; 3], shape: [usize; 4], x: &[f32], weight: &Literal) -> Vec<f64> {
    kc::utils::clear_session();
    let module = Sequential::new().add(Input::new(input)).add(layer).module().unwrap();
    let predict = module.function("predict").unwrap();
    assert_eq!(predict.arguments, [Argument::Input(0), Argument::State(0)]);
    interpret(&predict.graph, &[Literal::f32(&shape, x), weight.clone()]).unwrap()[0].to_f64_vec()
}

#[test]
fn pooling_has_keras_shapes() {
    let ok = |text: &str| Ok(text.to_string());
    assert_eq!(shape(MaxPooling2D::new(2), &[9, 8, 4]), ok("(None, 4, 4, 4)"));
    assert_eq!(shape(MaxPooling2D::new(2).padding("same"), &[9, 8, 4]), ok("(None, 5, 4, 4)"));
    assert_eq!(shape(MaxPooling2D::new(3).strides(1), &[9, 8, 4]), ok("(None, 7, 6, 4)"));
    assert_eq!(shape(AveragePooling2D::new((2, 3)).padding("same"), &[9, 8, 4]), ok("(None, 5, 3, 4)"));
    assert_eq!(shape(AveragePooling2D::new(2).data_format("channels_first"), &[4, 9, 8]), ok("(None, 4, 4, 4)"));
    assert_eq!(shape(GlobalAveragePooling2D::new(), &[9, 8, 4]), ok("(None, 4)"));
    assert_eq!(shape(GlobalAveragePooling2D::new().keepdims(true), &[9, 8, 4]), ok("(None, 1, 1, 4)"));
    let error = shape(MaxPooling2D::new(10), &[9, 8, 4]).unwrap_err();
    assert_eq!(
        error,
        "layer `max_pooling2d` (MaxPooling2D): a window that reaches over 10 elements does not fit into axis 1 of the \
         input's shape (None, 9, 8, 4); use `padding(\"same\")` or a smaller window"
    );
}

#[test]
fn reshaping() {
    let ok = |text: &str| Ok(text.to_string());
    assert_eq!(shape(Flatten::new(), &[2, 3, 4]), ok("(None, 24)"));
    assert_eq!(shape(Flatten::new(), &[]), ok("(None, 1)"));
    assert_eq!(shape(Reshape::new([4, 6]), &[2, 3, 4]), ok("(None, 4, 6)"));
    assert_eq!(shape(Reshape::new([-1, 6]), &[2, 3, 4]), ok("(None, 4, 6)"));
    assert_eq!(
        shape(Reshape::new([-1, 5]), &[2, 3, 4]).unwrap_err(),
        "layer `reshape` (Reshape): the input's shape is (None, 2, 3, 4), whose samples have 24 elements; they cannot be \
         reshaped to [-1, 5]"
    );
    assert_eq!(
        shape(Reshape::new([-1, -1]), &[4]).unwrap_err(),
        "layer `reshape` (Reshape): `target_shape` is [-1, -1], expected extents of at least 0, of which one may be -1"
    );
}

#[test]
fn merging() {
    kc::utils::clear_session();
    let (a, b, c) = (Input::new([3, 4]), Input::new([4]), Input::new([3, 2]));
    assert_eq!(Add::new().call([&a, &b]).unwrap().shape_text(), "(None, 3, 4)");
    assert_eq!(Concatenate::new().call([&a, &c]).unwrap().shape_text(), "(None, 3, 6)");
    let message = |error: kc::Error| error.to_string().split("\n  --> ").next().unwrap_or_default().to_string();
    assert_eq!(
        message(Add::new().call([&a, &c]).unwrap_err()),
        "layer `add_1` (Add): the inputs' shapes (None, 3, 4) and (None, 3, 2) cannot be broadcast to one shape"
    );
    assert_eq!(
        message(Concatenate::new().axis(1).call([&a, &c]).unwrap_err()),
        "layer `concatenate_1` (Concatenate): the inputs' shapes (None, 3, 4) and (None, 3, 2) differ outside of axis 1, \
         along which they are concatenated"
    );
    assert_eq!(
        message(Concatenate::new().axis(3).call([&a, &c]).unwrap_err()),
        "layer `concatenate_2` (Concatenate): `axis` is 3, the input's shape (None, 3, 4) has the axes -3 to 2"
    );
}

#[test]
fn batch_normalization_has_four_weights() {
    assert_eq!(
        weights(BatchNormalization::new(), &[5, 3]),
        [
            "batch_normalization/gamma: f32[3]",
            "batch_normalization/beta: f32[3]",
            "batch_normalization/moving_mean: f32[3]",
            "batch_normalization/moving_variance: f32[3]",
        ]
    );
    assert_eq!(
        weights(BatchNormalization::new().axis(1).center(false).scale(false), &[5, 3]),
        ["batch_normalization/moving_mean: f32[5]", "batch_normalization/moving_variance: f32[5]"]
    );
}

#[test]
fn elementwise_layers() {
    let ok = |text: &str| Ok(text.to_string());
    assert_eq!(shape(ReLU::new().max_value(6.0), &[4]), ok("(None, 4)"));
    assert_eq!(shape(Softmax::new().axis(1), &[4, 3]), ok("(None, 4, 3)"));
    assert_eq!(shape(Activation::new("tanh"), &[4]), ok("(None, 4)"));
    assert_eq!(shape(Activation::new("glu"), &[3, 4]), ok("(None, 3, 2)"));
    assert_eq!(
        shape(Activation::new("glu"), &[3]).unwrap_err(),
        "layer `activation` (Activation): glu: axis 1 of f32[B, 3] cannot be halved, expected an even number of elements"
    );
    assert_eq!(shape(ELU::new().alpha(0.5), &[4]), ok("(None, 4)"));
    assert_eq!(
        shape(LeakyReLU::new().negative_slope(-1.0), &[4]).unwrap_err(),
        "layer `leaky_re_lu` (LeakyReLU): `negative_slope` is -1, expected a number of at least 0"
    );
    assert_eq!(weights(PReLU::new(), &[3, 4]), ["p_re_lu/alpha: f32[3, 4]"]);
    assert_eq!(weights(PReLU::new().shared_axes([1, 2]), &[3, 4, 5]), ["p_re_lu/alpha: f32[1, 1, 5]"]);
    assert_eq!(
        shape(PReLU::new().shared_axes(0), &[4]).unwrap_err(),
        "layer `p_re_lu` (PReLU): `shared_axes` names the batch's axis 0, expected axes from 1"
    );
    assert_eq!(Activation::from("leaky_relu").config(), serde_json::json!("leaky_relu"));
    assert_eq!(Activation::Elu { alpha: 0.5 }.config(), serde_json::json!({ "name": "elu", "alpha": 0.5 }));
    assert_eq!(
        shape(ReLU::new().negative_slope(-1.0), &[4]).unwrap_err(),
        "layer `re_lu` (ReLU): `negative_slope` is -1, expected a number of at least 0"
    );
    kc::utils::clear_session();
    let bytes = Input::new([2]).dtype("uint8");
    assert_eq!(Rescaling::new(1.0 / 255.0).call(&bytes).unwrap().dtype(), DType::F32);
}

#[test]
fn normalisations_have_keras_weights() {
    let weights = |layer: LayerNormalization| weights(layer, &[4, 6]);
    assert_eq!(
        weights(LayerNormalization::new()),
        ["layer_normalization/gamma: f32[6]", "layer_normalization/beta: f32[6]"]
    );
    assert_eq!(
        weights(LayerNormalization::new().axis([-1, 1]).center(false)),
        ["layer_normalization/gamma: f32[4, 6]"]
    );
    assert_eq!(self::weights(RMSNormalization::new().axis(1), &[4, 6]), ["rms_normalization/scale: f32[4]"]);
    assert_eq!(
        shape(LayerNormalization::new().axis([1, -2]), &[4, 6]),
        Err("layer `layer_normalization` (LayerNormalization): `axis` is [1, -2], expected at least one axis and none twice".into())
    );
}

#[test]
fn zeros_are_put_around_each_axis() {
    assert_eq!(shape(ZeroPadding1D::new().padding((1, 2)), &[4, 3]), Ok("(None, 7, 3)".into()));
    assert_eq!(shape(ZeroPadding2D::new().padding((1, 2)), &[4, 5, 3]), Ok("(None, 6, 9, 3)".into()));
    assert_eq!(
        shape(ZeroPadding2D::new().padding(((1, 2), (0, 3))).data_format("channels_first"), &[3, 4, 5]),
        Ok("(None, 3, 7, 8)".into())
    );
    assert_eq!(shape(ZeroPadding3D::new(), &[4, 5, 6, 3]), Ok("(None, 6, 7, 8, 3)".into()));
    assert_eq!(
        shape(ZeroPadding2D::new(), &[4, 5]),
        Err("layer `zero_padding2d` (ZeroPadding2D): the input's shape is (None, 4, 5), expected 4 axes: the batch, \
             2 that are padded and the channels"
            .into())
    );
    assert_eq!(
        shape(ZeroPadding2D::new().padding(-1), &[4, 5, 3]),
        Err(
            "layer `zero_padding2d` (ZeroPadding2D): `padding` is [(-1, -1), (-1, -1)], expected numbers of at least 0"
                .into()
        )
    );
}

#[test]
fn attention_has_keras_weights_and_refuses() {
    kc::utils::clear_session();
    let x = Input::new([5, 8]);
    let y = MultiHeadAttention::new(2, 4).value_dim(3).use_gate(true).dropout(0.1).call([&x, &x]).unwrap();
    let state = Model::new(&x, &y).unwrap().module().unwrap().state;
    let found: Vec<String> = state.iter().map(|state| format!("{}: {}", state.name, state.ty)).collect();
    assert_eq!(
        found,
        [
            "multi_head_attention/query/kernel: f32[8, 2, 4]",
            "multi_head_attention/query/bias: f32[2, 4]",
            "multi_head_attention/key/kernel: f32[8, 2, 4]",
            "multi_head_attention/key/bias: f32[2, 4]",
            "multi_head_attention/gate/kernel: f32[8, 2, 3]",
            "multi_head_attention/gate/bias: f32[2, 3]",
            "multi_head_attention/value/kernel: f32[8, 2, 3]",
            "multi_head_attention/value/bias: f32[2, 3]",
            "multi_head_attention/attention_output/kernel: f32[2, 3, 8]",
            "multi_head_attention/attention_output/bias: f32[8]",
            "multi_head_attention/seed_generator_state: u32[2]",
        ]
    );
    let refusal = |layer: MultiHeadAttention, inputs: &[&Input]| {
        let error = layer.name("attention").call(inputs).unwrap_err().to_string();
        error.split("\n  --> ").next().unwrap_or_default().to_string()
    };
    let (long, mask) = (Input::new([6, 8]), Input::new([5, 7]).dtype("bool"));
    for (layer, inputs, message) in [
        (MultiHeadAttention::new(0, 4), vec![&x, &x], "`num_heads` is 0, expected a number from 1 to 2147483647"),
        (
            MultiHeadAttention::new(2, 4),
            vec![&x],
            "expected the query and the value, then the key and a mask of dtype bool where there are some; got 1 inputs",
        ),
        (
            MultiHeadAttention::new(2, 4),
            vec![&x, &x, &long],
            "the shapes of query, value and key are (None, 5, 8), (None, 5, 8) and (None, 6, 8), expected \
             (batch, positions, features), those of value and key equal up to the features",
        ),
        (
            MultiHeadAttention::new(2, 4),
            vec![&x, &x, &mask],
            "the mask's shape is (None, 5, 7), which cannot be broadcast to the scores' shape (None, 2, 5, 5)",
        ),
        (
            MultiHeadAttention::new(2, 4).attention_axes(-1),
            vec![&x, &x],
            "`attention_axes` are [2], expected axes of (None, 5, 8) between the batch and the features",
        ),
    ] {
        assert_eq!(refusal(layer, &inputs), format!("layer `attention` (MultiHeadAttention): {message}"));
    }
}

#[test]
fn einsum_dense_has_keras_shapes_and_refuses() {
    let layer = |equation: &str, output_shape: &[i64]| {
        let output_shape: Vec<Option<i64>> =
            output_shape.iter().map(|&extent| (extent > 0).then_some(extent)).collect();
        EinsumDense::new(equation, output_shape)
    };
    let ok = |text: &str| Ok(text.to_string());
    assert_eq!(shape(layer("abc,cd->abd", &[0, 5]), &[3, 4]), ok("(None, 3, 5)"));
    assert_eq!(shape(layer("...x,xy->...y", &[5]), &[3, 2, 4]), ok("(None, 3, 2, 5)"));
    assert_eq!(shape(layer("ab...,bc->ac...", &[5]), &[3, 4]), ok("(None, 5, 4)"));
    assert_eq!(
        weights(layer("abc,cde->adbe", &[2, 3, 5]).bias_axes("de"), &[3, 4]),
        ["einsum_dense/kernel: f32[4, 2, 5]", "einsum_dense/bias: f32[2, 1, 5]"]
    );
    assert_eq!(
        weights(layer("abc,cde->adbe", &[2, 3, 5]).bias_axes("e").dtype("int8_from_float32"), &[3, 4]),
        ["einsum_dense/kernel: i8[4, 2, 5]", "einsum_dense/bias: f32[5]", "einsum_dense/kernel_scale: f32[1, 2, 1, 5]"]
    );
    let err = |text: &str| Err(format!("layer `einsum_dense` (EinsumDense): {text}"));
    assert_eq!(
        shape(layer("abc,cd", &[0, 5]), &[3, 4]),
        err("`equation` is `abc,cd`, expected letters in one of the forms `[X],[Y]->[Z]`, `...[X],[Y]->...[Z]` and \
             `[X]...,[Y]->[Z]...`")
    );
    assert_eq!(shape(layer("ab,bc->ac", &[5]), &[3, 4]), err("`equation` is `ab,bc->ac`, but the input has 3 axes"));
    assert_eq!(
        shape(layer("abc,cd->abd", &[0, 0]), &[3, 4]),
        err("the extent of the axis `d` is not known: give it in `output_shape`; the input's shape is (None, 3, 4)")
    );
    assert_eq!(
        shape(layer("abc,bd->abd", &[2, 5]), &[3, 4]),
        err("the axis `b` has 3 elements in the input's shape (None, 3, 4) and 2 in `output_shape`")
    );
    assert_eq!(
        shape(layer("abc,cd->abe", &[3, 5]), &[3, 4]),
        err("`equation` is `abc,cd->abe`: the axis `e` of the output is in neither input nor kernel")
    );
    assert_eq!(
        shape(layer("abc,cd->abd", &[3, 5]).bias_axes("c"), &[3, 4]),
        err("`bias_axes` names `c`, which is no axis of the output")
    );
}
