//! Mistakes, with their whole messages.

use kc::prelude::*;

/// The message without the place, which is checked to be this file.
fn message(error: kc::Error) -> String {
    let text = error.to_string();
    match text.split_once("\n  --> ") {
        Some((message, place)) => {
            assert!(place.contains("errors.rs:"), "{place}");
            message.to_string()
        }
        None => text,
    }
}

fn classifier() -> Sequential {
    kc::utils::clear_session();
    Sequential::new().add(Input::new([4])).add(Dense::new(3).activation("softmax"))
}

#[test]
fn a_wrong_shape_into_a_layer() {
    kc::utils::clear_session();
    let error = Dense::new(3).call(Input::new(())).unwrap_err();
    assert_eq!(
        message(error),
        "layer `dense` (Dense): the input's shape is (None,), expected at least 2 axes (batch, features)"
    );
}

#[test]
fn a_shared_layer_called_with_two_shapes() {
    kc::utils::clear_session();
    let (a, b) = (Input::new([4]), Input::new([5]));
    let shared = Dense::new(3);
    let outputs = [shared.call(&a).unwrap(), shared.call(&b).unwrap()];
    let error = Model::new([&a, &b], outputs).unwrap().module().unwrap_err();
    assert_eq!(
        message(error),
        "layer `dense` (Dense): the input's shape is (None, 5), but the layer was built for inputs with 4 features; \
         a layer that is called twice needs inputs with the same last axis"
    );
}

#[test]
fn an_unknown_activation() {
    kc::utils::clear_session();
    let error = Dense::new(3).activation("rleu").call(Input::new([4])).unwrap_err();
    assert_eq!(
        message(error),
        "layer `dense` (Dense): unknown activation `rleu`; did you mean `relu`? Known are: linear, relu, relu6, \
         leaky_relu, sigmoid, tanh, softmax, log_softmax, sparsemax, softplus, softsign, silu, swish, gelu, elu, selu, celu, glu, \
         exponential, hard_sigmoid, hard_silu, hard_swish, hard_tanh, hard_shrink, soft_shrink, tanh_shrink, threshold, \
         log_sigmoid, sparse_sigmoid, sparse_plus, squareplus, mish"
    );
    let error = Dense::new(3).activation("threshold").name("d").call(Input::new([4])).unwrap_err();
    assert_eq!(
        message(error),
        "layer `d` (Dense): the activation `threshold` needs arguments: `Activation::Threshold { threshold, default_value }`"
    );
}

#[test]
fn an_unknown_initializer() {
    kc::utils::clear_session();
    let error = Dense::new(3).kernel_initializer("xavier").call(Input::new([4])).unwrap_err();
    assert_eq!(
        message(error),
        "layer `dense` (Dense): unknown initializer `xavier` for `kernel`; known are: glorot_uniform, glorot_normal, \
         he_uniform, he_normal, lecun_uniform, lecun_normal, zeros, ones, random_normal, random_uniform, \
         truncated_normal, orthogonal, identity"
    );
}

#[test]
fn constraints_that_a_weight_cannot_be_held_to() {
    let build = |dense: Dense| {
        kc::utils::clear_session();
        message(dense.call(Input::new([4])).unwrap_err())
    };
    assert_eq!(
        build(Dense::new(3).kernel_constraint("max_nrom")),
        "layer `dense` (Dense): `kernel_constraint`: unknown constraint `max_nrom`; did you mean `max_norm`? \
         Known are: max_norm, min_max_norm, non_neg, unit_norm"
    );
    assert_eq!(
        build(Dense::new(3).bias_constraint(MaxNorm::new().axis(1))),
        "layer `dense` (Dense): `bias_constraint`: `axis` is 1, but the weight has 1 axes"
    );
    assert_eq!(
        build(Dense::new(3).kernel_constraint(UnitNorm::new().axis([1, -1]))),
        "layer `dense` (Dense): `kernel_constraint`: `axis` [1, -1] names one axis twice"
    );
}

#[test]
fn a_rate_outside_of_its_range() {
    kc::utils::clear_session();
    let error = Dropout::new(1.5).call(Input::new([4])).unwrap_err();
    assert_eq!(message(error), "layer `dropout` (Dropout): `rate` is 1.5, expected a number between 0 and 1");
}

#[test]
fn an_unknown_dtype() {
    kc::utils::clear_session();
    let error = Dense::new(3).call(Input::new([4]).dtype("float31")).unwrap_err();
    assert_eq!(
        message(error),
        "input `input_layer`: unknown dtype `float31`; did you mean `float32`? Known are: float64, float32, float16, \
         bfloat16, int8, int16, int32, int64, uint8, uint16, uint32, uint64, bool"
    );
}

#[test]
fn unknown_losses_metrics_and_optimizers() {
    let error = classifier().compile("adma", "mse", ()).unwrap_err();
    assert_eq!(message(error), "unknown optimizer `adma`; did you mean `adam`? Known are: adam, sgd");
    let error = classifier().compile("adam", "cross", ()).unwrap_err();
    assert_eq!(
        message(error),
        "unknown loss `cross`; known are: binary_crossentropy, bce, BCE, binary_focal_crossentropy, \
         categorical_crossentropy, categorical_focal_crossentropy, categorical_hinge, circle, \
         cosine_similarity, ctc, dice, hinge, huber, kl_divergence, kld, KLD, log_cosh, mean_absolute_error, mae, \
         MAE, mean_absolute_percentage_error, mape, MAPE, mean_squared_error, mse, MSE, \
         mean_squared_logarithmic_error, msle, MSLE, poisson, sparse_categorical_crossentropy, squared_hinge, \
         tversky"
    );
    let error = classifier().compile("adam", "mse", ["acuracy"]).unwrap_err();
    assert_eq!(
        message(error),
        "unknown metric `acuracy`; did you mean `accuracy`? Known are: accuracy, acc, binary_accuracy, \
         categorical_accuracy, sparse_categorical_accuracy, binary_crossentropy, categorical_crossentropy, \
         sparse_categorical_crossentropy, mean_squared_error, mse"
    );
}

#[test]
fn a_name_that_lacks_a_word() {
    let error = classifier().compile("adam", "sparse_crossentropy", ()).unwrap_err();
    assert_eq!(
        message(error),
        "unknown loss `sparse_crossentropy`; did you mean `sparse_categorical_crossentropy`? Known are: \
         binary_crossentropy, bce, BCE, binary_focal_crossentropy, categorical_crossentropy, \
         categorical_focal_crossentropy, categorical_hinge, circle, cosine_similarity, ctc, dice, hinge, huber, \
         kl_divergence, kld, KLD, log_cosh, mean_absolute_error, mae, MAE, mean_absolute_percentage_error, \
         mape, MAPE, mean_squared_error, mse, MSE, mean_squared_logarithmic_error, msle, MSLE, poisson, \
         sparse_categorical_crossentropy, squared_hinge, tversky"
    );
}

#[test]
fn a_mistake_in_compile_shows_the_line_of_the_call() {
    let mut model = classifier();
    let calls = [
        (line!(), model.compile("adma", "mse", ())),
        (line!(), model.compile_with(Compile::new().loss("mse").optimizer("adma"))),
    ];
    for (line, result) in calls {
        assert_eq!(
            result.unwrap_err().to_string(),
            format!("unknown optimizer `adma`; did you mean `adam`? Known are: adam, sgd\n  --> {}:{line}", file!())
        );
    }
}

#[test]
fn a_mistake_in_a_model_shows_the_line_where_it_was_made() {
    kc::utils::clear_session();
    let (line, mut model) = (line!(), Sequential::new());
    model = model.add(Dense::new(3));
    let expected = format!(
        "model `sequential` does not know the shape of its input: make `Input::new([...])` its first layer, or call \
         `build`; its first layer is `dense`\n  --> {}:{line}",
        file!()
    );
    assert_eq!(model.module().unwrap_err().to_string(), expected);
    assert_eq!(model.compile("adam", "mse", ()).unwrap_err().to_string(), expected);
}

#[test]
fn units_that_no_layer_has() {
    for units in [0, usize::MAX] {
        kc::utils::clear_session();
        let error = Dense::new(units).call(Input::new([4])).unwrap_err();
        assert_eq!(
            message(error),
            format!("layer `dense` (Dense): `units` is {units}, expected a number from 1 to 2147483647")
        );
    }
}

#[test]
fn an_unknown_padding_and_an_unknown_data_format() {
    kc::utils::clear_session();
    let error = MaxPooling2D::default().padding("smae").call(Input::new([4, 4, 1])).unwrap_err();
    assert_eq!(
        message(error),
        "layer `max_pooling2d` (MaxPooling2D): unknown padding `smae`; did you mean `same`? Known are: valid, same"
    );
    let error = AveragePooling2D::default().data_format("channels_lst").call(Input::new([4, 4, 1])).unwrap_err();
    assert_eq!(
        message(error),
        "layer `average_pooling2d` (AveragePooling2D): unknown data format `channels_lst`; did you mean \
         `channels_last`? Known are: channels_last, channels_first"
    );
}

#[test]
fn a_loss_for_each_output() {
    let error = classifier().compile("adam", ["mse", "mse"], ()).unwrap_err();
    assert_eq!(message(error), "`loss` has 2 entries, model `sequential` has 1 outputs: dense");
}

#[test]
fn two_ways_to_clip() {
    let error = classifier().compile(SGD::new().clipnorm(1.0).clipvalue(0.5), "mse", ()).unwrap_err();
    assert_eq!(
        message(error),
        "optimizer `sgd`: only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set, \
         got clipnorm=Some(1.0), clipvalue=Some(0.5), global_clipnorm=None"
    );
}

#[test]
fn one_step_to_accumulate() {
    let error = classifier().compile(Adam::new().gradient_accumulation_steps(1), "mse", ()).unwrap_err();
    assert_eq!(message(error), "optimizer `adam`: `gradient_accumulation_steps` must be an integer >= 2, got 1");
}

#[test]
fn a_momentum_outside_of_its_range() {
    for (momentum, text) in [(2.0, "2"), (-0.5, "-0.5"), (f64::NAN, "NaN")] {
        let error = classifier().compile(SGD::new().momentum(momentum), "mse", ()).unwrap_err();
        assert_eq!(message(error), format!("optimizer `sgd`: `momentum` must be a float between [0, 1], got {text}"));
    }
}

#[test]
fn a_model_without_an_input_shape() {
    kc::utils::clear_session();
    let error = Sequential::new().add(Dense::new(3)).module().unwrap_err();
    assert_eq!(
        message(error),
        "model `sequential` does not know the shape of its input: make `Input::new([...])` its first layer, or call \
         `build`; its first layer is `dense`"
    );
    let built = Sequential::new().add(Dense::new(3));
    built.build([4]).unwrap();
    assert_eq!(built.module().unwrap().state[0].ty.to_string(), "f32[4, 3]");
}

#[test]
fn a_model_without_layers() {
    kc::utils::clear_session();
    let error = Sequential::new().module().unwrap_err();
    assert_eq!(message(error), "model `sequential` has no layers; add some with `.add(...)`");
}

#[test]
fn an_input_that_the_model_does_not_name() {
    kc::utils::clear_session();
    let (a, b) = (Input::new([4]).name("a"), Input::new([4]).name("b"));
    let shared = Dense::new(3);
    let outputs = [shared.call(&a).unwrap(), shared.call(&b).unwrap()];
    let error = Model::new(&a, outputs).unwrap_err();
    assert_eq!(
        message(error),
        "the outputs of model `functional` depend on the input `b`, which is not among its inputs"
    );
}

#[test]
fn two_layers_of_one_name() {
    kc::utils::clear_session();
    let model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("twin")).add(Dense::new(3).name("twin"));
    let error = model.module().unwrap_err();
    assert_eq!(message(error), "two layers of model `sequential` are named `twin`; rename one with `.name(\"...\")`");
}

#[test]
fn a_loss_that_does_not_fit_the_output() {
    kc::utils::clear_session();
    let mut model = Sequential::new().add(Input::new(()));
    model.compile("adam", "categorical_crossentropy", ()).unwrap();
    let error = model.module().unwrap_err();
    assert_eq!(
        message(error),
        "loss `categorical_crossentropy` takes predictions of shape (None, classes), the model's output is (None,)"
    );
}

#[test]
fn functions_of_tensors_name_what_the_user_wrote() {
    use kc::ops::{self, Expression, Tensor};
    kc::utils::clear_session();
    let batch = Tensor::from(&Input::new([4]));
    let ones = |shape: [i64; 2]| Tensor::from(ops::ones(shape));
    let said = |tensor: Tensor| message(tensor.ty().unwrap_err());
    assert_eq!(
        said(ops::reshape(&batch, [-1, 3])),
        "`ops::reshape`: got float32 (None, 4): expected a shape with as many elements as (None, 4) has whatever the unknown \
         extents are, (-1, 3) is none"
    );
    assert_eq!(
        said(ops::reshape(ones([2, 3]), [4, 2])),
        "`ops::reshape`: got float32 (2, 3): expected a shape with as many elements as (2, 3) has, (4, 2) is none"
    );
    assert_eq!(
        said(ops::cond(true, || ones([1, 2]), || ones([2, 1]))),
        "`ops::cond`: `true_fn` gives float32 (1, 2), `false_fn` float32 (2, 1); expected equal types"
    );
    let grown = ops::while_loop(|_| true.into(), |x: Tensor| ops::concatenate([&x, &x]).into(), ones([1, 2]));
    assert_eq!(
        said(grown.results()),
        "`ops::while_loop`: the loop carries float32 (1, 2), its body gives float32 (2, 2); expected equal types"
    );
    assert_eq!(
        said(ops::max_pool(ops::equal(ops::ones([1, 2, 2, 1]), 1), 2).into()),
        "`ops::max_pool`: got bool (1, 2, 2, 1): got bool[1, 2, 2, 1], expected a number type"
    );
}

#[test]
fn what_is_wrong_when_it_is_computed_shows_the_line_that_asked() {
    use kc::ops::{self, Expression};
    let error = ops::sum(&Input::new([4])).eval().unwrap_err().to_string();
    assert!(error.contains(&format!("\n  --> {}:{}", file!(), line!() - 1)), "{error}");
}
