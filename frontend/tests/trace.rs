//! What a model is traced into.

use kc::prelude::*;
use kc_ir::manifest::{InputRole, StateRole, ValueCheck};
use kc_ir::tensor::{Argument, ResultSlot};

fn mlp() -> Sequential {
    kc::utils::clear_session();
    Sequential::new()
        .add(Input::new([28, 28]))
        .add(Flatten::new())
        .add(Dense::new(128).activation("relu"))
        .add(Dropout::new(0.2))
        .add(Dense::new(10).activation("softmax"))
}

#[test]
fn a_compiled_model_has_the_five_entry_points() {
    let mut model = mlp();
    model.compile(Adam::new(), SparseCategoricalCrossentropy::new(), ["accuracy"]).unwrap();
    let module = model.module().unwrap();
    let names: Vec<&str> = module.functions.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(names, ["init", "predict", "test_step", "train_step", "metric_results"]);

    let state: Vec<(&str, StateRole, String)> =
        module.state.iter().map(|state| (state.name.as_str(), state.role, state.ty.to_string())).collect();
    use StateRole::*;
    let expected = [
        ("dense/kernel", Trainable, "f32[784, 128]"),
        ("dense/bias", Trainable, "f32[128]"),
        ("dropout/seed_generator_state", Seed, "u32[2]"),
        ("dense_1/kernel", Trainable, "f32[128, 10]"),
        ("dense_1/bias", Trainable, "f32[10]"),
        ("adam/iterations", Iterations, "i64[]"),
        ("adam/learning_rate", LearningRate, "f32[]"),
        ("adam/dense_kernel_momentum", Optimizer, "f32[784, 128]"),
        ("adam/dense_kernel_velocity", Optimizer, "f32[784, 128]"),
        ("adam/dense_bias_momentum", Optimizer, "f32[128]"),
        ("adam/dense_bias_velocity", Optimizer, "f32[128]"),
        ("adam/dense_1_kernel_momentum", Optimizer, "f32[128, 10]"),
        ("adam/dense_1_kernel_velocity", Optimizer, "f32[128, 10]"),
        ("adam/dense_1_bias_momentum", Optimizer, "f32[10]"),
        ("adam/dense_1_bias_velocity", Optimizer, "f32[10]"),
        ("loss/total", Metric, "f32[]"),
        ("loss/count", Metric, "f32[]"),
        ("accuracy/total", Metric, "f32[]"),
        ("accuracy/count", Metric, "f32[]"),
    ];
    assert_eq!(state, expected.map(|(name, role, ty)| (name, role, ty.to_string())));

    let step = module.function("train_step").unwrap();
    let inputs: Vec<(&str, InputRole, String)> =
        step.inputs.iter().map(|input| (input.name.as_str(), input.role, input.ty.to_string())).collect();
    assert_eq!(
        inputs,
        [
            ("input_layer", InputRole::Feature, "f32[B, 28, 28]".to_string()),
            ("y", InputRole::Target, "i32[B]".to_string()),
            ("sample_weight", InputRole::SampleWeight, "f32[B]".to_string()),
        ]
    );
    assert_eq!(step.inputs[1].checks, [ValueCheck::ClassLabels { classes: 10 }]);
    assert!(step.outputs.is_empty());
    // everything changes in a step but the learning rate
    let written: Vec<usize> = step
        .results
        .iter()
        .map(|slot| match slot {
            ResultSlot::State(index) => *index,
            ResultSlot::Output(_) => panic!("a step has no outputs"),
        })
        .collect();
    assert_eq!(written, (0..module.state.len()).filter(|&index| index != 6).collect::<Vec<_>>());

    let results = module.function("metric_results").unwrap();
    let logs: Vec<&str> = results.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(logs, ["loss", "accuracy"]);
    let init = module.function("init").unwrap();
    assert_eq!(init.inputs[0].role, InputRole::Seeds);
    assert_eq!(init.results.len(), module.state.len());
    let predict = module.function("predict").unwrap();
    assert_eq!(predict.outputs[0].ty.to_string(), "f32[B, 10]");
    // prediction takes the features and the weights, and no seed
    assert_eq!(
        predict.arguments,
        [Argument::Input(0), Argument::State(0), Argument::State(1), Argument::State(3), Argument::State(4)]
    );
}

#[test]
fn two_traces_of_one_model_are_equal() {
    let mut model = mlp();
    model.compile("sgd", "sparse_categorical_crossentropy", ()).unwrap();
    assert_eq!(model.module().unwrap(), model.module().unwrap());
}

#[test]
fn a_summary_names_layers_shapes_and_parameters() {
    let module = mlp().module().unwrap();
    let lines: Vec<String> = module
        .model
        .layers
        .iter()
        .map(|layer| format!("{} ({}) {} {}", layer.name, layer.class, layer.output_shape, layer.parameters))
        .collect();
    assert_eq!(
        lines,
        [
            "input_layer (InputLayer) (None, 28, 28) 0",
            "flatten (Flatten) (None, 784) 0",
            "dense (Dense) (None, 128) 100480",
            "dropout (Dropout) (None, 128) 0",
            "dense_1 (Dense) (None, 10) 1290",
        ]
    );
}

#[test]
fn the_input_layer_is_a_layer_of_a_functional_model_only() {
    kc::utils::clear_session();
    let names = |model: &Model| -> Vec<String> {
        model.layers().unwrap().iter().map(|layer| layer.base().name().to_string()).collect()
    };
    assert_eq!(names(&Sequential::new().add(Input::new([4])).add(Dense::new(3))), ["dense"]);
    let input = Input::new([4]).name("x");
    let output = Dense::new(3).call(&input).unwrap();
    assert_eq!(names(&Model::new(&input, &output).unwrap()), ["x", "dense_1"]);
}

#[test]
fn a_shared_layer_has_its_weights_once() {
    kc::utils::clear_session();
    let (left, right) = (Input::new([4]).name("left"), Input::new([4]).name("right"));
    let shared = Dense::new(3);
    let (a, b) = (shared.call(&left).unwrap(), shared.call(&right).unwrap());
    let head = Dense::new(1).name("head").call(&a).unwrap();
    let model = Model::new([&left, &right], [&head, &b]).unwrap();
    let module = model.module().unwrap();
    let state: Vec<&str> = module.state.iter().map(|state| state.name.as_str()).collect();
    assert_eq!(state, ["dense/kernel", "dense/bias", "head/kernel", "head/bias"]);
    let outputs: Vec<String> =
        module.function("predict").unwrap().outputs.iter().map(|o| format!("{}: {}", o.name, o.ty)).collect();
    assert_eq!(outputs, ["head: f32[B, 1]", "dense: f32[B, 3]"]);
}

#[test]
fn each_output_has_its_loss_and_metrics() {
    kc::utils::clear_session();
    let input = Input::new([4]);
    let class = Dense::new(3).activation("softmax").name("class").call(&input).unwrap();
    let value = Dense::new(1).name("value").call(&input).unwrap();
    let mut model = Model::new(&input, [&class, &value]).unwrap();
    model
        .compile_with(
            Compile::new()
                .optimizer(SGD::new().momentum(0.9))
                .loss(["sparse_categorical_crossentropy", "mse"])
                .loss_weights([1.0, 0.5])
                .metrics(vec![vec!["accuracy".into()], vec![]]),
        )
        .unwrap();
    let module = model.module().unwrap();
    let logs: Vec<String> =
        module.function("metric_results").unwrap().outputs.iter().map(|output| output.name.clone()).collect();
    assert_eq!(logs, ["loss", "class_accuracy", "class_loss", "value_loss"]);
    let inputs: Vec<String> =
        module.function("train_step").unwrap().inputs.iter().map(|i| format!("{}: {}", i.name, i.ty)).collect();
    assert_eq!(
        inputs,
        [
            "input_layer: f32[B, 4]",
            "y_class: i32[B]",
            "y_value: f32[B, 1]",
            "sample_weight_class: f32[B]",
            "sample_weight_value: f32[B]",
        ]
    );
}

#[test]
fn a_layer_of_layers_names_weights_by_its_path() {
    #[derive(Clone, Debug)]
    struct Block {
        base: Base,
        first: Dense,
        second: Dense,
    }
    impl Layer for Block {
        fn base(&self) -> &Base {
            &self.base
        }
        fn base_mut(&mut self) -> &mut Base {
            &mut self.base
        }
        fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> kc::Result<Vec<Value>> {
            let hidden = scope.call(&self.first, inputs)?;
            let out = scope.call(&self.second, &hidden)?;
            Ok(vec![scope.binary(Binary::Add, out[0], inputs[0])?])
        }
    }
    kc::utils::clear_session();
    let block = Block { base: Base::new("Block"), first: Dense::new(8).activation("relu"), second: Dense::new(4) };
    let model = Sequential::new().add(Input::new([4])).add(block.trainable(false));
    let module = model.module().unwrap();
    let state: Vec<(&str, StateRole)> = module.state.iter().map(|state| (state.name.as_str(), state.role)).collect();
    let frozen = StateRole::NonTrainable;
    assert_eq!(
        state,
        [
            ("block/dense/kernel", frozen),
            ("block/dense/bias", frozen),
            ("block/dense_1/kernel", frozen),
            ("block/dense_1/bias", frozen),
        ]
    );
}

#[test]
fn ops_carry_the_layer_and_the_line_that_made_it() {
    kc::utils::clear_session();
    let line = line!() + 1;
    let model = Sequential::new().add(Input::new([4])).add(Dense::new(3).name("hidden"));
    let module = model.module().unwrap();
    let graph = &module.function("predict").unwrap().graph;
    let located: Vec<_> = graph.nodes.iter().filter_map(|node| node.location.as_ref()).collect();
    assert!(!located.is_empty());
    for location in located {
        assert_eq!((location.line, location.layer.as_str()), (line, "hidden"));
        assert!(location.file.ends_with("trace.rs"), "{}", location.file);
    }
}

#[test]
fn a_frozen_normalization_keeps_its_statistics() {
    let written = |trainable: bool| {
        kc::utils::clear_session();
        let mut model = Sequential::new()
            .add(Input::new([4]))
            .add(BatchNormalization::new().trainable(trainable))
            .add(Dense::new(1));
        model.compile("sgd", "mse", ()).unwrap();
        let module = model.module().unwrap();
        let step = module.function("train_step").unwrap();
        let names = step.results.iter().map(|slot| match slot {
            ResultSlot::State(index) => module.state[*index].name.clone(),
            ResultSlot::Output(_) => panic!("a step has no outputs"),
        });
        names.filter(|name| name.starts_with("batch_normalization")).collect::<Vec<_>>()
    };
    assert_eq!(
        written(true),
        ["gamma", "beta", "moving_mean", "moving_variance"].map(|name| format!("batch_normalization/{name}"))
    );
    assert!(written(false).is_empty());
}

#[test]
fn a_model_is_a_layer() {
    kc::utils::clear_session();
    let encoder = Sequential::new().add(Input::new([4])).add(Dense::new(3).activation("relu"));
    let (left, right) = (Input::new([4]).name("left"), Input::new([4]).name("right"));
    let codes = [encoder.call(&left).unwrap(), encoder.call(&right).unwrap()];
    let output = Dense::new(1).call(Concatenate::new().call(codes).unwrap()).unwrap();
    let module = Model::new([&left, &right], &output).unwrap().module().unwrap();
    let state: Vec<&str> = module.state.iter().map(|state| state.name.as_str()).collect();
    assert_eq!(state, ["sequential/dense/kernel", "sequential/dense/bias", "dense_1/kernel", "dense_1/bias"]);
    let layers: Vec<(&str, u64)> =
        module.model.layers.iter().map(|layer| (layer.name.as_str(), layer.parameters)).collect();
    assert_eq!(layers, [("left", 0), ("right", 0), ("sequential", 15), ("concatenate", 0), ("dense_1", 7)]);
}

#[test]
fn optimizers_have_keras_variables() {
    let variables = |optimizer: &dyn Fn(&mut Sequential)| {
        kc::utils::clear_session();
        let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(1).use_bias(false));
        optimizer(&mut model);
        let module = model.module().unwrap();
        let optimizer = [StateRole::Optimizer, StateRole::Iterations, StateRole::LearningRate];
        let state = module.state.iter().filter(|state| optimizer.contains(&state.role));
        state.map(|state| state.name.clone()).collect::<Vec<_>>()
    };
    let scalars = ["sgd/iterations", "sgd/learning_rate"];
    assert_eq!(variables(&|model| model.compile(SGD::new(), "mse", ()).unwrap()), scalars);
    assert_eq!(
        variables(&|model| model.compile(SGD::new().momentum(0.9), "mse", ()).unwrap()),
        [scalars[0], scalars[1], "sgd/dense_kernel_momentum"]
    );
    assert_eq!(
        variables(&|model| model.compile(Adam::new().amsgrad(true).name("mine"), "mse", ()).unwrap()),
        [
            "mine/iterations",
            "mine/learning_rate",
            "mine/dense_kernel_momentum",
            "mine/dense_kernel_velocity",
            "mine/dense_kernel_velocity_hat",
        ]
    );
    assert_eq!(
        variables(&|model| model.compile(SGD::new().use_ema(true), "mse", ()).unwrap()),
        [scalars[0], scalars[1], "sgd/dense_kernel_average"]
    );
    let accumulating = || SGD::new().momentum(0.9).gradient_accumulation_steps(2);
    assert_eq!(
        variables(&|model| model.compile(accumulating(), "mse", ()).unwrap()),
        [scalars[0], scalars[1], "sgd/dense_kernel_gradient_accumulator", "sgd/dense_kernel_momentum"]
    );
}

#[test]
fn a_model_can_be_named() {
    let input = Input::new([4]);
    let output = Dense::new(1).call(&input).unwrap();
    let model = Model::new(&input, &output).unwrap().name("regressor");
    assert_eq!(model.module().unwrap().model.name, "regressor");
    let sequential = Sequential::new().name("stack").add(Input::new([4]));
    assert_eq!(sequential.module().unwrap().model.name, "stack");
}
