//! Shapes and weights of layers, and what they refuse.

use kc::prelude::*;

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
        err("unknown `padding`, expected \"valid\" or \"same\"")
    );
    assert_eq!(shape(Conv2D::new(6, 0), &[9, 8, 6]), err("`kernel_size` is (0, 0), expected numbers of at least 1"));
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
    assert_eq!(
        shape(ReLU::new().negative_slope(-1.0), &[4]).unwrap_err(),
        "layer `re_lu` (ReLU): `negative_slope` is -1, expected a number of at least 0"
    );
    kc::utils::clear_session();
    let bytes = Input::new([2]).dtype("uint8");
    assert_eq!(Rescaling::new(1.0 / 255.0).call(&bytes).unwrap().dtype(), DType::F32);
}
