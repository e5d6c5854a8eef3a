//! Dtype policies: what layers compute in, keep and give.

use kc::config::set_dtype_policy;
use kc::dtype_policies::{DTypePolicy, DTypePolicyMap};
use kc::prelude::*;
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
        model.compile(Adam::new().weight_decay(0.1), "mse", ["mae"])?;
        assert_eq!(dtypes(&model)?, (gives, vec![keeps], vec![keeps]), "{name}");
        let module = model.module()?;
        let step = module.function("train_step").expect("it is compiled");
        assert!(step.inputs[1..].iter().all(|input| input.ty.dtype == DType::F32), "targets and weights are f32");
    }
    let model = small()?;
    assert_eq!(dtypes(&model)?.0, DType::F32);
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
