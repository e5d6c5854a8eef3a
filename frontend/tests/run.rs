//! Models that run in the process, and what they say when they cannot.
#![cfg(feature = "compile")]

use kc::prelude::*;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Points of the plane and on which side of a line they lie.
fn points(count: usize) -> (Array, Array) {
    let coordinate = |i: usize| ((i * 7919) % 1009) as f32 / 504.5 - 1.0;
    let x: Vec<f32> = (0..2 * count).map(coordinate).collect();
    let y: Vec<i64> = x.chunks(2).map(|point| i64::from(point[0] > point[1])).collect();
    (Array::from_slice(&x, &[count, 2]).unwrap(), Array::from_slice(&y, &[count]).unwrap())
}

fn classifier() -> Sequential {
    seeded(7)
}

fn seeded(seed: u32) -> Sequential {
    kc::utils::clear_session();
    kc::utils::set_random_seed(seed);
    let mut model = Sequential::new()
        .add(Input::new([2]))
        .add(Dense::new(8).activation("relu"))
        .add(Dropout::new(0.1))
        .add(Dense::new(2).activation("softmax"));
    model.compile(Adam::new().learning_rate(0.05), "sparse_categorical_crossentropy", ["accuracy"]).unwrap();
    model
}

fn quiet<'a>() -> Fit<'a> {
    Fit::new().verbose(Verbose::Silent)
}

const QUIET: EvaluateOptions =
    EvaluateOptions { batch_size: 32, steps: None, verbose: Verbose::Silent, on_stderr: false, interrupt: None };

#[test]
fn a_model_learns() {
    let (x, y) = points(300);
    let mut model = classifier();
    let mut stop = EarlyStopping { patience: 50, ..EarlyStopping::new("val_loss") };
    let arguments = quiet().epochs(15).validation_split(0.2).callback(&mut stop);
    let history = model.fit(&x, &y, arguments).unwrap();
    assert_eq!(history.epochs.len(), 15);
    assert_eq!(history.logs.keys().collect::<Vec<_>>(), ["accuracy", "loss", "val_accuracy", "val_loss"]);
    assert!(history.last("val_accuracy").unwrap() > 0.9, "{history:?}");
    let logs = model.evaluate_with(&x, &y, &QUIET).unwrap();
    assert!(logs.get("accuracy").unwrap() > 0.9, "{logs:?}");
    let predicted = model.predict(&x).unwrap();
    assert_eq!(predicted.shape(), [300, 2]);
    let rows = predicted.as_slice::<f32>().unwrap().chunks(2);
    assert!(rows.into_iter().all(|row| (row[0] + row[1] - 1.0).abs() < 1e-5));
}

#[test]
fn the_same_seed_trains_the_same_weights() {
    let (x, y) = points(100);
    let train = |seed: u32| {
        let mut model = seeded(seed);
        model.fit(&x, &y, quiet().epochs(2)).unwrap();
        model.get_weights().unwrap()
    };
    assert_eq!(train(1), train(1));
    assert_ne!(train(1), train(2));
}

#[test]
fn weights_move_from_model_to_model_and_stay_when_it_is_compiled_anew() {
    let (x, _) = points(10);
    let model = classifier();
    let expected = model.predict(&x).unwrap();
    let weights = model.get_weights().unwrap();
    let shapes: Vec<&[usize]> = weights.iter().map(Array::shape).collect();
    assert_eq!(shapes, [&[2, 8][..], &[8], &[8, 2], &[2]]);
    let mut other = seeded(99);
    assert_ne!(other.predict(&x).unwrap(), expected);
    other.set_weights(&weights).unwrap();
    assert_eq!(other.predict(&x).unwrap(), expected);
    other.compile("sgd", "sparse_categorical_crossentropy", ()).unwrap();
    assert_eq!(other.predict(&x).unwrap(), expected);
}

#[test]
fn a_batch_larger_than_the_data_is_the_data() {
    let (x, y) = points(5);
    let mut model = classifier();
    let history = model.fit(&x, &y, quiet().batch_size(64)).unwrap();
    assert!(history.last("loss").unwrap().is_finite());
}

#[test]
fn a_layer_with_several_outputs_and_a_metric_of_ones_own() {
    #[derive(Clone, Debug)]
    struct Halves {
        base: Base,
    }
    impl Layer for Halves {
        fn base(&self) -> &Base {
            &self.base
        }
        fn base_mut(&mut self) -> &mut Base {
            &mut self.base
        }
        fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> kc::Result<Vec<Value>> {
            let half = scope.binary_constant(Binary::Multiply, inputs[0], 0.5)?;
            let rest = scope.binary(Binary::Subtract, inputs[0], half)?;
            Ok(vec![half, rest])
        }
    }
    #[derive(Debug)]
    struct LargestError;
    impl Metric for LargestError {
        fn name(&self) -> String {
            "largest_error".to_string()
        }
        fn values(&self, scope: &mut Scope, y_true: Value, y_pred: Value) -> kc::Result<Value> {
            let difference = scope.binary(Binary::Subtract, y_true, y_pred)?;
            let size = scope.unary(Unary::Abs, difference)?;
            Ok(scope.reduce(Reduction::Max, &[1], size)?)
        }
    }
    kc::utils::clear_session();
    let input = Input::new([2]);
    let halves = Halves { base: Base::new("Halves") }.call_all(&input).unwrap();
    let sum = Add::new().call(halves).unwrap();
    let mut model = Model::new(&input, &sum).unwrap();
    model.compile("sgd", "mse", [MetricSpec::from(LargestError), "mse".into()]).unwrap();
    let (x, _) = points(3);
    let logs = model.evaluate_with(&x, Array::zeros(DType::F32, &[3, 2]).unwrap(), &QUIET).unwrap();
    let values = x.as_slice::<f32>().unwrap();
    let expected = values.chunks(2).map(|row| row[0].abs().max(row[1].abs())).sum::<f32>() / 3.0;
    assert!((logs.get("largest_error").unwrap() - f64::from(expected)).abs() < 1e-6, "{logs:?}");
    let squares = values.iter().map(|value| value * value).sum::<f32>() / 6.0;
    assert!((logs.get("loss").unwrap() - f64::from(squares)).abs() < 1e-6, "{logs:?}");
    assert_eq!(logs.get("loss"), logs.get("mse"));
}

/// The message, behind which stands a line of this file.
fn placed(error: kc::Error) -> String {
    let text = error.to_string();
    let (message, place) = text.split_once("\n  --> ").expect("a place");
    assert!(place.starts_with(&format!("{}:", file!())), "{place}");
    message.to_string()
}

#[test]
fn what_cannot_be_trained_is_named() {
    let (x, y) = points(6);
    let message = |x: &Array, y: &Array| placed(classifier().fit(x, y, quiet()).unwrap_err());
    let wide = Array::zeros(DType::F32, &[6, 3]).unwrap();
    assert_eq!(
        message(&wide, &y),
        "`input_layer` must have the shape (None, 2), where the first axis counts the samples; an array of shape (6, 3) was given"
    );
    let labels = Array::from_slice(&[0i64, 1, 2, 0, 1, 0], &[6]).unwrap();
    assert_eq!(message(&x, &labels), "`y` must hold class labels, whole numbers from 0 to 1, but sample 2 has 2");
    let mut holes = x.as_slice::<f32>().unwrap().to_vec();
    holes[3] = f32::NAN;
    let holes = Array::from_slice(&holes, &[6, 2]).unwrap();
    assert_eq!(
        message(&holes, &y),
        "`input_layer` must not hold NaN, but sample 1 has NaN at (1,); remove or replace such samples"
    );
    let (no_x, no_y) = (Array::zeros(DType::F32, &[0, 2]).unwrap(), Array::zeros(DType::I64, &[0]).unwrap());
    assert_eq!(
        message(&no_x, &no_y),
        "the data is empty: `input_layer` has the shape (0, 2); at least one sample is expected"
    );
    kc::utils::clear_session();
    let mut bare = Sequential::new().add(Input::new([2])).add(Dense::new(2));
    for (method, line, error) in [
        ("fit", line!(), bare.fit(&x, &y, quiet()).unwrap_err()),
        ("evaluate", line!(), bare.evaluate(&x, &y).unwrap_err()),
    ] {
        assert_eq!(
            error.to_string(),
            format!(
                "model `sequential` must be compiled before `{method}`: call `model.compile(optimizer, loss, metrics)`\n  \
                 --> {}:{line}",
                file!()
            )
        );
    }
    assert_eq!(
        classifier().set_weights(&[x]).unwrap_err().to_string(),
        "model `sequential` has 4 weights, 1 arrays were given"
    );
}

/// What is doubled until it is 100 never is, where it is 0.
#[test]
fn a_loop_without_an_end_is_ended() {
    let x = Input::new([2]);
    let outputs =
        kc::ops::while_loop(|v: kc::ops::Tensor| kc::ops::max(v).less(100), |v| v * 2, kc::ops::Tensor::from(&x))
            .results();
    let model = Model::new(&x, outputs).unwrap();
    let ones = Array::from_slice(&[1f32, 3.0], &[1, 2]).unwrap();
    assert_eq!(model.predict(&ones).unwrap().as_slice::<f32>().unwrap(), [64.0, 192.0]);
    let zeros = Array::from_slice(&[0f32, 0.0], &[1, 2]).unwrap();
    model.set_round_limit(Some(1000));
    assert_eq!(
        placed(model.predict(&zeros).unwrap_err()),
        "the `while` loops of `predict` take more than 1000 rounds, which is the session's limit; mend the condition that does not \
         end them, or allow more rounds"
    );
    model.set_round_limit(None);
    let flag = Arc::new(AtomicBool::new(true));
    model.set_interrupt(Some(flag.clone()));
    assert_eq!(placed(model.predict(&zeros).unwrap_err()), "`predict` was interrupted in a `while` loop");
    model.set_interrupt(None);
    // an interrupted prediction has the samples before
    let options = EvaluateOptions { interrupt: Some(flag.clone()), ..QUIET };
    assert_eq!(model.predict_with(&zeros, &options).unwrap().len(), 0);
    assert_eq!(model.predict(&ones).unwrap().as_slice::<f32>().unwrap(), [64.0, 192.0]);
}

#[test]
fn a_model_without_weights_predicts() {
    kc::utils::clear_session();
    let x = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
    let plain = Sequential::new().add(Input::new([2])).add(Rescaling::new(2.0));
    let doubled = |y: Array| assert_eq!(y.as_slice::<f32>().unwrap(), [2.0, 4.0, 6.0, 8.0]);
    doubled(plain.predict(&x).unwrap());
    // a package of it, too, though nobody has initialised it; of a compiled one, which has the state of its metrics
    for compiled in [false, true] {
        kc::utils::clear_session();
        let mut model = Sequential::new().add(Input::new([2])).add(Rescaling::new(2.0));
        if compiled {
            model.compile("adam", "mse", ["mse"]).unwrap();
        }
        let package = kc_codegen::compile(
            &model.module().unwrap(),
            &kc_codegen::Cranelift::new().unwrap(),
            &kc_codegen::Options::default(),
        );
        let package = package.unwrap();
        assert!(package.state.is_none());
        doubled(kc_runtime::Model::new(package).unwrap().predict(&[&x]).unwrap().remove(0));
    }
}
