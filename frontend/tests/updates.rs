//! What a step makes of weights: constraints and gradient accumulation, in numbers worked out by hand.
#![cfg(feature = "compile")]

use kc::prelude::*;

fn array(values: &[f32], shape: &[usize]) -> Array {
    Array::from_slice(values, shape).unwrap()
}

/// One step of one sample.
fn step(model: &mut Sequential, x: &Array, y: &Array) {
    model.fit(x, y, Fit::new().batch_size(1).verbose(Verbose::Silent)).unwrap();
}

fn assert_close(ours: &[f32], right: &[f32]) {
    let close = ours.len() == right.len() && ours.iter().zip(right).all(|(a, b)| (a - b).abs() < 1e-6);
    assert!(close, "{ours:?}, expected {right:?}");
}

/// A kernel whose columns have the norms 5 and 1, after a step that holds it to a constraint and does nothing else.
fn held(constraint: impl Into<Constraint>) -> Vec<f32> {
    kc::utils::clear_session();
    let dense = Dense::new(2).use_bias(false).kernel_constraint(constraint);
    let mut model = Sequential::new().add(Input::new([2])).add(dense);
    model.compile(SGD::new().learning_rate(0.0), "mse", ()).unwrap();
    model.set_weights(&[array(&[3.0, -0.6, 4.0, 0.8], &[2, 2])]).unwrap();
    step(&mut model, &array(&[1.0, 1.0], &[1, 2]), &array(&[0.0, 0.0], &[1, 2]));
    model.get_weights().unwrap()[0].as_slice::<f32>().unwrap().to_vec()
}

#[test]
fn constraints_by_name() {
    assert_close(&held("max_norm"), &[1.2, -0.6, 1.6, 0.8]);
    assert_close(&held("non_neg"), &[3.0, 0.0, 4.0, 0.8]);
    assert_close(&held("unit_norm"), &[0.6, -0.6, 0.8, 0.8]);
    assert_close(&held("MinMaxNorm"), &[0.6, -0.6, 0.8, 0.8]);
}

#[test]
fn constraints_with_arguments() {
    let part_of_the_way = MinMaxNorm::new().min_value(2.0).max_value(4.0).rate(0.5);
    assert_close(&held(part_of_the_way), &[2.7, -0.9, 3.6, 1.2]);
    let rows = MaxNorm::new().max_value(1.0).axis(1);
    assert_close(&held(rows), &[0.980_581, -0.196_116, 0.980_581, 0.196_116]);
    let whole = UnitNorm::new().axis([0, -1]);
    assert_close(&held(whole), &[0.588_348, -0.117_670, 0.784_465, 0.156_893]);
}

#[test]
fn kernel_and_bias_of_a_convolution_have_constraints_of_their_own() {
    kc::utils::clear_session();
    let convolution = Conv2D::new(1, 1).kernel_constraint("non_neg").bias_constraint(MaxNorm::new());
    let mut model = Sequential::new().add(Input::new([1, 1, 2])).add(convolution);
    model.compile(SGD::new().learning_rate(0.0), "mse", ()).unwrap();
    model.set_weights(&[array(&[-1.0, 2.0], &[1, 1, 2, 1]), array(&[-3.0], &[1])]).unwrap();
    step(&mut model, &array(&[1.0, 1.0], &[1, 1, 1, 2]), &array(&[0.0], &[1, 1, 1, 1]));
    let weights = model.get_weights().unwrap();
    assert_close(weights[0].as_slice::<f32>().unwrap(), &[0.0, 2.0]);
    assert_close(weights[1].as_slice::<f32>().unwrap(), &[-2.0]);
}

/// The weight after each step: it starts at 1, the loss of a sample is `(x w)^2`.
fn weights_after(optimizer: impl Into<OptimizerSpec>, samples: &[f32]) -> Vec<f32> {
    kc::utils::clear_session();
    let mut model = Sequential::new().add(Input::new([1])).add(Dense::new(1).use_bias(false));
    model.compile(optimizer.into(), "mse", ()).unwrap();
    model.set_weights(&[array(&[1.0], &[1, 1])]).unwrap();
    let mut weights = Vec::new();
    for &x in samples {
        step(&mut model, &array(&[x], &[1, 1]), &array(&[0.0], &[1, 1]));
        weights.extend_from_slice(model.get_weights().unwrap()[0].as_slice::<f32>().unwrap());
    }
    weights
}

#[test]
fn every_second_step_takes_the_mean_of_two_gradients() {
    let sgd = SGD::new().learning_rate(0.1).momentum(0.5).gradient_accumulation_steps(2);
    // gradients 2 and 8, then 1 and 4; the momentum is -0.5 after both updates
    assert_close(&weights_after(sgd, &[1.0, 2.0, 1.0, 2.0]), &[1.0, 0.5, 0.5, 0.0]);
}

#[test]
fn weights_do_not_decay_between_updates() {
    let sgd = SGD::new().learning_rate(0.1).weight_decay(1.0).gradient_accumulation_steps(2);
    assert_close(&weights_after(sgd, &[0.0, 0.0, 0.0]), &[1.0, 0.9, 0.9]);
}

#[test]
fn the_mean_is_clipped_and_not_each_gradient() {
    let sgd = SGD::new().learning_rate(0.1).clipvalue(4.0).gradient_accumulation_steps(2);
    assert_close(&weights_after(sgd, &[0.0, 2.0]), &[1.0, 0.6]);
    let sgd = SGD::new().learning_rate(0.1).clipvalue(1.0).gradient_accumulation_steps(2);
    assert_close(&weights_after(sgd, &[0.0, 2.0]), &[1.0, 0.9]);
}

#[test]
fn an_optimizer_counts_updates() {
    let adam = Adam::new().learning_rate(0.1).gradient_accumulation_steps(3);
    // Adam's first step is as long as the rate
    assert_close(&weights_after(adam, &[1.0; 4]), &[1.0, 1.0, 0.9, 0.9]);
}

#[test]
fn the_average_moves_in_every_step_and_counts_updates() {
    let sgd = SGD::new().learning_rate(0.1).gradient_accumulation_steps(2);
    let sgd = sgd.use_ema(true).ema_momentum(0.5).ema_overwrite_frequency(2);
    // the last step makes 0.64 of 0.8, and the mean of both is the average
    assert_close(&weights_after(sgd, &[1.0; 4]), &[1.0, 0.8, 0.8, 0.72]);
}

#[test]
fn no_steps_to_accumulate_make_every_step_an_update() {
    let sgd = SGD::new().learning_rate(0.1).gradient_accumulation_steps(0);
    assert_close(&weights_after(sgd, &[1.0, 1.0]), &[0.8, 0.64]);
}

/// A model of layers with masks, state, random numbers and a loss of their own, made in a scope.
fn scoped(scope: Option<RematScope>) -> Sequential {
    kc::utils::clear_session();
    kc::utils::set_random_seed(5);
    let open = scope.map(|scope| scope.enter().unwrap());
    let mut model = Sequential::new()
        .add(Input::new([6, 4]))
        .add(Masking::new())
        .add(LSTM::new(5))
        .add(Dense::new(8).activation("gelu").activity_regularizer(L2::new(0.1)).name("wide"))
        .add(BatchNormalization::new())
        .add(Dropout::new(0.3))
        .add(Dense::new(3).activation("softmax"));
    drop(open);
    model.compile(SGD::new().learning_rate(0.1), "sparse_categorical_crossentropy", ()).unwrap();
    model
}

/// How many regions of the train step derivatives compute again, those within each other counted too.
fn computed_again(model: &Sequential) -> usize {
    fn count(graph: &kc_ir::tensor::Graph) -> usize {
        let own = |node: &kc_ir::tensor::Node| usize::from(node.op.operation().name() == "remat");
        let inner = |node: &kc_ir::tensor::Node| -> usize {
            node.op.operation().regions().into_iter().map(|region| count(region.graph())).sum()
        };
        graph.nodes.iter().map(|node| own(node) + inner(node)).sum()
    }
    count(&model.module().unwrap().function("train_step").unwrap().graph)
}

#[test]
fn layers_of_a_remat_scope_train_to_the_same_weights() {
    let values = |count: usize| (0..count).map(|i| ((i * 7919) % 1009) as f32 / 504.5 - 1.0);
    let mut x: Vec<f32> = values(16 * 24).collect();
    x[20..24].fill(0.0);
    let y: Vec<i64> = (0..16).map(|i| i % 3).collect();
    let (x, y) = (array(&x, &[16, 6, 4]), Array::from_slice(&y, &[16]).unwrap());
    let trained = |scope: Option<RematScope>| {
        let mut model = scoped(scope);
        let count = computed_again(&model);
        model.fit(&x, &y, Fit::new().epochs(3).batch_size(8).verbose(Verbose::Silent)).unwrap();
        let weights = model.get_weights().unwrap();
        let all = weights.iter().filter(|weight| weight.dtype() == DType::F32);
        (count, all.flat_map(|weight| weight.as_slice::<f32>().unwrap().to_vec()).collect::<Vec<f32>>())
    };
    let (none, plain) = trained(None);
    assert_eq!(none, 0);
    let scopes = [
        (RematScope::new(), 6),
        // of the cell's gates each, of the dense layers both
        (RematScope::new().mode("activations"), 7),
        (RematScope::new().mode("larger_than").output_size_threshold(7), 4),
        (RematScope::new().mode("list_of_layers").layer_names(["wide"]), 1),
        (RematScope::new().mode(None), 0),
    ];
    for (scope, expected) in scopes {
        let (count, weights) = trained(Some(scope.clone()));
        assert_eq!(count, expected, "{scope:?}");
        assert_close(&weights, &plain);
    }
}

#[test]
fn the_mode_of_a_remat_scope_is_known() {
    let error = RematScope::new().mode("activation").enter().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`RematScope`: unknown mode `activation`; did you mean `activations`? Known are: full, activations, larger_than, list_of_layers"
    );
}
