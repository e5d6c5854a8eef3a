//! Dtype policies: what layers compute in, keep and give.

use kc::config::set_dtype_policy;
use kc::prelude::*;
use kc::quantizers::Quantize;
use kc_ir::manifest::StateRole;

fn small() -> kc::Result<Sequential> {
    Ok(Sequential::new()
        .add(Input::new([8, 8, 1]))
        .add(Conv2D::new(4, 3).activation("relu"))
        .add(BatchNormalization::new())
        .add(GlobalAveragePooling2D::new())
        .add(Dense::new(3)))
}

/// The dtypes of what a model gives, of its weights, and of what the optimizer keeps.
fn dtypes(model: &Model) -> kc::Result<(DType, Vec<DType>, Vec<DType>)> {
    let module = model.module()?;
    let of = |role: &dyn Fn(StateRole) -> bool| {
        let chosen = module.state.iter().filter(|state| role(state.role));
        let mut dtypes: Vec<DType> = chosen.map(|state| state.ty.dtype).collect();
        dtypes.dedup();
        dtypes
    };
    let weights = of(&|role| matches!(role, StateRole::Trainable | StateRole::NonTrainable));
    let predict = module.function("predict").expect("every model predicts");
    Ok((predict.outputs[0].ty.dtype, weights, of(&|role| role == StateRole::Optimizer)))
}

#[test]
fn the_global_policy_is_that_of_the_layers_made_under_it() -> kc::Result<()> {
    for (name, gives, keeps) in [
        ("mixed_bfloat16", DType::Bf16, DType::F32),
        ("mixed_float16", DType::F16, DType::F32),
        ("bfloat16", DType::Bf16, DType::Bf16),
        ("float64", DType::F64, DType::F64),
    ] {
        set_dtype_policy(name)?;
        let mut model = small()?;
        set_dtype_policy("float32")?;
        let optimizer = Adam::new().weight_decay(0.1);
        model.compile_with(Compile::new().optimizer(optimizer).loss("mse").metrics(["mae"]).auto_scale_loss(false))?;
        assert_eq!(dtypes(&model)?, (gives, vec![keeps], vec![keeps]), "{name}");
        let module = model.module()?;
        let step = module.function("train_step").expect("it is compiled");
        assert!(step.inputs[1..].iter().all(|input| input.ty.dtype == DType::F32), "targets and weights are f32");
    }
    let model = small()?;
    assert_eq!(dtypes(&model)?.0, DType::F32);
    assert_eq!(model.module()?.model.fields.get("dtype_policy"), None);
    let model = Sequential::new().add(Input::new([4])).add(Dense::new(2).dtype("mixed_bfloat16"));
    let model = model.add(Dense::new(2).name("last"));
    model.quantize(Quantize::new("int8").filters(["^la", "none"]))?;
    assert_eq!(model.layers()?[1].quantization_mode()?, Some("int8"));
    let fields = model.module()?.model.fields;
    assert_eq!(fields.get("dtype_policy").map(String::as_str), Some("mixed_bfloat16, int8_from_float32"));
    Ok(())
}

#[test]
fn a_layer_has_its_own_policy() -> kc::Result<()> {
    set_dtype_policy("mixed_bfloat16")?;
    let hidden = Dense::new(4);
    let out = Dense::new(2).dtype("float32");
    let lstm = LSTM::new(3).dtype(DType::F32);
    set_dtype_policy("float32")?;
    assert_eq!(hidden.dtype_policy()?.name(), "mixed_bfloat16");
    let x = Input::new([5, 3]).tensor()?;
    let y = hidden.call(&x)?;
    assert_eq!((y.dtype(), out.call(&y)?.dtype()), (DType::Bf16, DType::F32));
    // the cell that a layer makes has the layer's policy
    assert_eq!(lstm.call(&y)?.dtype(), DType::F32);
    // numbers that are none of floating point stay
    let words = Input::new([5]).dtype("int32").tensor()?;
    let rows = Embedding::new(300, 4).dtype("mixed_bfloat16");
    assert_eq!(rows.call(&words)?.dtype(), DType::Bf16);
    let error = Dense::new(2).dtype("mixed").call(&x).expect_err("no such policy").to_string();
    assert!(error.contains("unknown dtype policy `mixed`"), "{error}");
    assert!(error.contains("policies.rs"), "{error}");
    Ok(())
}

#[test]
fn a_map_gives_the_layers_inside_their_policies() -> kc::Result<()> {
    let map = DTypePolicyMap::new().default_policy(DTypePolicy::new("mixed_bfloat16")?);
    let map = map.with("lstm/lstm_cell", "float32")?.with("sequential_of/lstm/lstm_cell", "bfloat16")?;
    let x = Input::new([5, 3]).tensor()?;
    // the path is the layer's, or begins with the name of the sequential model that made it
    let lstm = LSTM::new(3).name("lstm").dtype(map.clone());
    let y = lstm.call(&x)?;
    assert_eq!(y.dtype(), DType::Bf16);
    let keeps = |model: &Model| dtypes(model).map(|(_, weights, _)| weights);
    assert_eq!(keeps(&Model::new(&x, &y)?)?, [DType::F32]);
    let model =
        Sequential::new().name("sequential_of").add(Input::new([5, 3])).add(LSTM::new(3).name("lstm").dtype(map));
    assert_eq!(keeps(&model)?, [DType::Bf16]);
    // the projections of attention are layers of their own
    let map = DTypePolicyMap::new().default_policy(DTypePolicy::new("bfloat16")?);
    let map = map.with("attention/query", "float32")?.with("attention/attention_output", "int8_from_float32")?;
    let y = MultiHeadAttention::new(2, 4).name("attention").dtype(map).call([&x, &x])?;
    let (bf16, f32) = (DType::Bf16, DType::F32);
    assert_eq!((y.dtype(), keeps(&Model::new(&x, &y)?)?), (f32, vec![f32, bf16, DType::I8, f32]));
    Ok(())
}

#[cfg(feature = "compile")]
#[test]
fn a_model_trains_and_predicts_in_bfloat16() -> kc::Result<()> {
    set_dtype_policy("mixed_bfloat16")?;
    kc::utils::set_random_seed(1);
    let mut model = small()?;
    set_dtype_policy("float32")?;
    model.compile(Adam::new().learning_rate(0.05), "mse", ())?;
    let pixels: Vec<f32> = (0..32 * 64).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    let x = Array::from_slice(&pixels, &[32, 8, 8, 1])?;
    let targets: Vec<f32> = (0..32 * 3).map(|i| (i % 3) as f32 / 4.0).collect();
    let y = Array::from_slice(&targets, &[32, 3])?;
    let history = model.fit(&x, &y, Fit::new().epochs(8).batch_size(8).verbose(Verbose::Silent))?;
    let losses = &history.logs["loss"];
    assert!(losses[7] < losses[0] / 4.0, "{losses:?}");
    let outputs = model.predict(&x)?;
    assert_eq!((outputs.dtype(), outputs.shape()), (DType::Bf16, &[32, 3][..]));
    Ok(())
}

#[test]
fn a_model_in_f16_has_its_loss_scaled() -> kc::Result<()> {
    let scaled = |policy: &str, arguments: Compile| -> kc::Result<Vec<String>> {
        set_dtype_policy(policy)?;
        let model = Sequential::new().add(Input::new([4])).add(Dense::new(1));
        set_dtype_policy("float32")?;
        let mut model: Model = model.into();
        model.compile_with(arguments.loss("mse"))?;
        let state = model.module()?.state.into_iter().filter(|state| state.role == StateRole::Optimizer);
        Ok(state.map(|state| state.name).filter(|name| !name.starts_with("adam/dense")).collect())
    };
    let own = ["loss_scale_optimizer/step_counter", "loss_scale_optimizer/dynamic_scale"];
    assert_eq!(scaled("mixed_float16", Compile::new())?, own);
    assert_eq!(scaled("mixed_float16", Compile::new().auto_scale_loss(false))?, [""; 0]);
    assert_eq!(scaled("mixed_bfloat16", Compile::new())?, [""; 0]);
    let given = LossScaleOptimizer::new("adam").name("own");
    assert_eq!(scaled("mixed_float16", Compile::new().optimizer(given))?, ["own/step_counter", "own/dynamic_scale"]);
    for (optimizer, message) in [
        (LossScaleOptimizer::new(LossScaleOptimizer::new("adam")), "wrap an optimizer once"),
        (LossScaleOptimizer::new("adam").initial_scale(0.0), "`initial_scale` is 0, expected a finite number above 0"),
        (LossScaleOptimizer::new("adam").dynamic_growth_steps(0u32), "`dynamic_growth_steps` is 0"),
    ] {
        let error = scaled("float32", Compile::new().optimizer(optimizer)).expect_err("refused").to_string();
        assert!(error.contains(message), "{error}");
    }
    Ok(())
}

/// The scale is halved until the gradients are numbers of f16; what is written to a package goes on with it.
#[cfg(feature = "compile")]
#[test]
fn a_step_that_overflows_changes_the_scale_alone() -> kc::Result<()> {
    kc::utils::set_random_seed(2);
    let mut model = Sequential::new().add(Input::new([2])).add(Dense::new(1).dtype("mixed_float16"));
    let optimizer = LossScaleOptimizer::new(SGD::new().momentum(0.5)).initial_scale(2f64.powi(20));
    model.compile(optimizer, "mse", ())?;
    let (x, y) = (Array::from_slice(&[1f32, 2.0, 3.0, 4.0], &[2, 2])?, Array::from_slice(&[50f32, 70.0], &[2, 1])?);
    let before = model.get_weights()?;
    let state = |model: &Model, name: &str| -> kc::Result<f64> {
        let package = model.package()?;
        let mut session = kc_runtime::Session::new(&package, &Default::default()).expect("a package of its own");
        let index = session.state_index(name).expect("a state tensor");
        Ok(session.state().expect("on the host")[index].first_as_f64().expect("a scalar"))
    };
    let once = || Fit::new().epochs(1).verbose(Verbose::Silent);
    model.fit(&x, &y, once())?;
    assert_eq!(model.get_weights()?, before);
    assert_eq!(state(&model, "loss_scale_optimizer/dynamic_scale")?, 2f64.powi(19));
    assert_eq!(state(&model, "sgd/iterations")?, 0.0);
    for _ in 0..20 {
        model.fit(&x, &y, once())?;
    }
    assert_ne!(model.get_weights()?, before);
    let scale = state(&model, "loss_scale_optimizer/dynamic_scale")?;
    assert!((1.0..2f64.powi(13)).contains(&scale), "{scale}");
    Ok(())
}

/// Weights that are quantised give nearly what they gave, before the model runs first and behind.
#[cfg(feature = "compile")]
#[test]
fn a_quantised_model_gives_nearly_the_same() -> kc::Result<()> {
    let make = |seed: u32| -> kc::Result<Sequential> {
        kc::utils::clear_session();
        kc::utils::set_random_seed(seed);
        let words = Sequential::new().add(Input::new([6]).dtype("int32")).add(Embedding::new(50, 8));
        Ok(words.add(LSTM::new(12)).add(Dense::new(16).activation("tanh")).add(Dense::new(3)))
    };
    let words = Array::from_slice(&(0..24).map(|i| i * 7 % 50).collect::<Vec<i32>>(), &[4, 6])?;
    let whole = make(3)?.predict(&words)?;
    let largest = whole.as_slice::<f32>()?.iter().fold(0f32, |largest, y| largest.max(y.abs()));
    for has_run in [false, true] {
        let model = make(3)?;
        if has_run {
            model.predict(&words)?;
        }
        model.quantize("int8")?;
        let quantised = model.predict(&words)?;
        for (right, ours) in whole.as_slice::<f32>()?.iter().zip(quantised.as_slice::<f32>()?) {
            assert!((right - ours).abs() < largest / 40.0 && right != ours, "{ours}, in whole {right}");
        }
        let dtypes: Vec<DType> = model.get_weights()?.iter().map(Array::dtype).collect();
        let (i8, f32) = (DType::I8, DType::F32);
        assert_eq!(dtypes, [i8, f32, f32, f32, f32, f32, i8, f32, f32, i8, f32]);
        let paths = model.weight_paths()?;
        assert_eq!(paths[..2], ["sequential/embedding/embeddings", "sequential/embedding/embeddings_scale"]);
        assert_eq!(paths[5..8], ["sequential/dense/bias", "sequential/dense/kernel", "sequential/dense/kernel_scale"]);
        let error = model.quantize("int8").expect_err("once").to_string();
        assert!(error.contains("quantised already: its policy is `int8_from_float32`"), "{error}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_quantised_says_so() {
    let message = |result: kc::Result<()>| result.expect_err("refused").to_string();
    assert_eq!(message(Dense::new(2).quantize("int4")), "the quantisation `int4` is not there; there is: int8");
    assert_eq!(message(Dense::new(2).quantize("int9")), "unknown mode of quantisation `int9`; there is: int8");
    assert_eq!(
        message(LSTM::new(2).name("lstm").quantize("int8")),
        "layer `lstm` (LSTM): it has no weights that can be quantised; those of Dense, EinsumDense, Embedding and MultiHeadAttention can"
    );
    let narrow = Dense::new(2).name("narrow").dtype("mixed_float16");
    assert!(message(narrow.quantize("int8")).contains("does not go with the compute dtype float16"));
    let filters = Quantize::new("int8").filters(["("]);
    assert!(message(Dense::new(2).quantize(filters)).starts_with("`filters`: `(` is no regular expression"));
    let twice = EinsumDense::new("...x,xy->...y", [Some(2)]).name("twice").dtype("int8_from_float32");
    let inputs = [Input::new([3, 4]).tensor(), Input::new([4]).tensor()].map(|input| input.expect("an input"));
    let outputs = inputs.iter().map(|input| twice.call(input)).collect::<kc::Result<Vec<_>>>().expect("each by itself");
    let model = Model::new(&inputs[..], outputs).expect("a graph");
    assert!(
        message(model.module().map(|_| ()))
            .contains("the input's shape is (None, 4), but the layer was built for an output of 3 axes")
    );
    let range = AbsMaxQuantizer::new().value_range(-200, 127);
    let range = Int8QuantizationConfig::new().weight_quantizer(range);
    assert!(message(Dense::new(2).quantize(range)).contains("`value_range` is -200 to 127"));
    assert!(message(DTypePolicy::new("gptq/4/128_from_float32").map(|_| ())).contains("`gptq/4/128` is not there"));
}

/// Of inputs that stay as they are, a quantised kernel gives the products of its numbers.
#[cfg(feature = "compile")]
#[test]
fn weights_alone_can_be_quantised() -> kc::Result<()> {
    kc::utils::set_random_seed(4);
    let model = Sequential::new().add(Input::new([6])).add(Dense::new(4).use_bias(false));
    let x = Array::from_slice(&(0..18).map(|i| (i * 5 % 7) as f32 - 3.0).collect::<Vec<f32>>(), &[3, 6])?;
    let kernel = model.get_weights()?.remove(0);
    model.quantize(Int8QuantizationConfig::new().activation_quantizer(None))?;
    let weights = model.get_weights()?;
    let (values, scale) = kc::quantizers::abs_max_quantize(kernel, [0]);
    assert_eq!(weights[0], values.eval()?);
    assert_eq!(weights[1], ops::squeeze(&scale).axis(0).eval()?);
    let numbers = ops::cast(values, "float32") / scale;
    let (right, ours) = (ops::matmul(x.clone(), numbers).eval()?, model.predict(&x)?);
    for (right, ours) in right.as_slice::<f32>()?.iter().zip(ours.as_slice::<f32>()?) {
        assert!((right - ours).abs() < 1e-5, "{ours}, expected {right}");
    }
    Ok(())
}
