//! The loops: what Keras does, step by step, and what they say about data that does not fit.

mod common;

use common::{manifest, session, session_of, weight};
use kc_abi::DType;
use kc_abi::manifest::ValueCheck;
use kc_runtime::random::NumpyRandom;
use kc_runtime::training::CallbackError;
use kc_runtime::training::callbacks::*;
use kc_runtime::*;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn floats(values: &[f32], shape: &[usize]) -> Array {
    Array::from_slice(values, shape).unwrap()
}

/// `y = 2x` for x = 0, 0.1, ...
fn line(samples: usize) -> Dataset {
    let x: Vec<f32> = (0..samples).map(|i| i as f32 / 10.0).collect();
    let y: Vec<f32> = x.iter().map(|x| 2.0 * x).collect();
    Dataset::new(floats(&x, &[samples, 1]), floats(&y, &[samples]))
}

fn silent() -> FitOptions<'static> {
    FitOptions { verbose: Verbose::Silent, ..Default::default() }
}

/// What the model computes, in Rust: the weight after an epoch over batches of the given samples and the mean of the loss.
fn reference(weight: &mut f32, rate: f32, batches: &[Vec<(f32, f32, f32)>]) -> f64 {
    let (mut total, mut count) = (0f32, 0f32);
    for batch in batches {
        let mut gradient = 0f32;
        for &(x, y, sample_weight) in batch {
            total += sample_weight * (*weight * x - y).powi(2);
            count += 1.0;
            gradient += 2.0 * sample_weight * (*weight * x - y) * x;
        }
        *weight -= rate * gradient / batch.len() as f32;
    }
    f64::from(total / count)
}

#[test]
fn an_epoch_is_every_sample_once_and_its_loss_the_running_mean() {
    let data = line(10);
    let mut session = session(1, 0);
    let options = FitOptions { batch_size: 4, epochs: 2, order: NumpyRandom::new(9), ..silent() };
    let history = fit(&mut session, &data, &options, &mut []).unwrap();
    let (mut expected, mut random) = (0f32, NumpyRandom::new(9));
    for epoch in 0..2 {
        let mut order = vec![0; 10];
        random.permutation(&mut order);
        let samples: Vec<(f32, f32, f32)> =
            order.iter().map(|&i| (i as f32 / 10.0, 2.0 * (i as f32 / 10.0), 1.0)).collect();
        let batches: Vec<_> = samples.chunks(4).map(<[_]>::to_vec).collect();
        let loss = reference(&mut expected, 0.25, &batches);
        assert_eq!(history.get("loss").unwrap()[epoch], loss);
    }
    assert_eq!(weight(&mut session), expected);
    assert_eq!(history.order, random);
    assert_eq!((history.epochs, history.interrupted), (vec![0, 1], false));
    assert_eq!(session.state().unwrap()[2], Array::scalar(6i64), "two epochs of three steps");
}

#[test]
fn a_training_that_is_resumed_ends_where_one_without_a_break_does() {
    let data = line(50);
    let run = |parts: &[(usize, usize)]| {
        let mut session = session(2, 0);
        for &(initial_epoch, epochs) in parts {
            let order = NumpyRandom::new(4);
            let skipped_orders = initial_epoch;
            let options = FitOptions { initial_epoch, epochs, order, skipped_orders, batch_size: 8, ..silent() };
            fit(&mut session, &data, &options, &mut []).unwrap();
        }
        session.state().unwrap()[..3].to_vec()
    };
    assert_eq!(run(&[(0, 4)]), run(&[(0, 1), (1, 4)]));
}

#[test]
fn the_validation_split_is_the_end_of_the_data_before_shuffling() {
    let data = line(10);
    let mut session = session(1, 0);
    let options = FitOptions { batch_size: 7, validation_split: 0.3, shuffle: true, ..silent() };
    let history = fit(&mut session, &data, &options, &mut []).unwrap();
    assert_eq!(session.state().unwrap()[2], Array::scalar(1i64), "7 samples are one step");
    let w = weight(&mut session);
    let errors: f32 = (7..10).map(|i| (w * (i as f32 / 10.0) - 2.0 * (i as f32 / 10.0)).powi(2)).sum();
    assert_eq!(history.get("val_loss").unwrap(), [f64::from(errors / 3.0)]);
    assert_eq!(history.logs.keys().collect::<Vec<_>>(), ["loss", "val_loss"]);
}

#[test]
fn validation_follows_every_nth_epoch() {
    let data = line(8);
    let validation = line(5);
    let mut session = session(1, 0);
    let options = FitOptions { epochs: 5, validation_data: Some(&validation), validation_freq: 2, ..silent() };
    let history = fit(&mut session, &data, &options, &mut []).unwrap();
    assert_eq!((history.get("loss").unwrap().len(), history.get("val_loss").unwrap().len()), (5, 2));
    let logs = evaluate(
        &mut session,
        &validation,
        &EvaluateOptions { verbose: Verbose::Silent, ..Default::default() },
        &mut [],
    );
    assert!(logs.unwrap().get("loss").is_some());
}

#[test]
fn a_batch_larger_than_the_data_is_one_smaller_batch() {
    let data = line(3);
    let mut session = session(1, 1);
    let options = FitOptions { batch_size: 1000, shuffle: false, ..silent() };
    let history = fit(&mut session, &data, &options, &mut []).unwrap();
    let mut expected = 1f32;
    let loss = reference(&mut expected, 0.25, &[vec![(0.0, 0.0, 1.0), (0.1, 0.2, 1.0), (0.2, 0.4, 1.0)]]);
    assert_eq!((history.last("loss"), weight(&mut session)), (Some(loss), expected));
    assert_eq!(session.state().unwrap()[2], Array::scalar(1i64));
}

#[test]
fn steps_of_an_epoch_go_on_where_the_last_epoch_ended() {
    let data = line(10);
    let steps = |steps_per_epoch, epochs| {
        let mut session = session(1, 0);
        let mut count = Count::default();
        let options =
            FitOptions { batch_size: 3, epochs, steps_per_epoch: Some(steps_per_epoch), shuffle: false, ..silent() };
        fit(&mut session, &data, &options, &mut [&mut count]).unwrap();
        (count.steps_of_epochs, weight(&mut session))
    };
    // four batches a pass
    assert_eq!(steps(2, 4).0, [2, 2, 2, 2]);
    assert_eq!(steps(2, 4).1, steps(4, 2).1);
    assert_eq!(steps(6, 2).0, [4, 4], "an epoch ends where the data does");
    assert_eq!(steps(3, 3).0, [3, 1, 3]);
}

#[derive(Default)]
struct Count {
    steps_of_epochs: Vec<usize>,
    steps: usize,
}

impl Callback for Count {
    fn name(&self) -> &str {
        "Count"
    }
    fn on_train_batch_end(&mut self, _: &mut Training, _: usize) -> Result<(), CallbackError> {
        self.steps += 1;
        Ok(())
    }
    fn on_epoch_end(&mut self, _: &mut Training, _: usize, _: &mut Logs) -> Result<(), CallbackError> {
        self.steps_of_epochs.push(std::mem::take(&mut self.steps));
        Ok(())
    }
}

#[test]
fn weights_of_samples_and_of_classes() {
    let x = [1f32, 2.0, 3.0];
    let weights = [0.5f32, 1.0, 2.0];
    let options = FitOptions { shuffle: false, ..silent() };
    let train = |targets: Array, weights: Option<Array>, class_weight: Option<BTreeMap<i64, f64>>| {
        let mut data = Dataset::new(floats(&x, &[3, 1]), targets);
        data.sample_weights.extend(weights);
        let mut session = session(1, 0);
        let options = FitOptions { class_weight, ..options.clone() };
        let history = fit(&mut session, &data, &options, &mut []).unwrap();
        (history.last("loss").unwrap(), weight(&mut session))
    };
    let mut expected = 0f32;
    let samples = [(1f32, 0f32, 0.5f32), (2.0, 1.0, 1.0), (3.0, 2.0, 2.0)];
    let loss = reference(&mut expected, 0.25, &[samples.to_vec()]);
    let labels = || Array::from_slice(&[0u8, 1, 2], &[3]).unwrap();
    assert_eq!(train(labels(), Some(floats(&weights, &[3])), None), (loss, expected));
    assert_eq!(train(labels(), Some(floats(&weights, &[3, 1])), None), (loss, expected));
    // class 1 is not named
    let classes = || Some(BTreeMap::from([(0, 0.5), (2, 2.0)]));
    assert_eq!(train(labels(), None, classes()), (loss, expected));
    assert_eq!(train(labels().reshaped(&[3, 1]).unwrap(), None, classes()), (loss, expected));

    let data = Dataset::new(floats(&x, &[3, 1]), labels()).with_sample_weights(floats(&weights, &[3]));
    let options = FitOptions { class_weight: classes(), ..options };
    assert_eq!(
        fit(&mut session(1, 0), &data, &options, &mut []).unwrap_err().to_string(),
        "`class_weight` and sample weights cannot be given at the same time; \
         multiply the sample weights by the classes' weights"
    );
}

#[test]
fn predictions_are_of_every_sample_in_order() {
    for threads in [1, 2] {
        let mut session = session(threads, 3);
        let pixels: Vec<u8> = (0..=255).collect();
        let data = Dataset::unlabelled(Array::from_slice(&pixels, &[256]).unwrap());
        let options = EvaluateOptions { batch_size: 100, verbose: Verbose::Silent, ..Default::default() };
        let outputs = predict(&mut session, &data, &options, &mut []).unwrap();
        let expected: Vec<f32> = (0..256).map(|i| 3.0 * i as f32).collect();
        assert_eq!(outputs, [floats(&expected, &[256])]);
        let two = EvaluateOptions { steps: Some(2), ..options };
        assert_eq!(predict(&mut session, &data, &two, &mut []).unwrap(), [floats(&expected[..200], &[200])]);
    }
}

/// The message of `fit` for that data, with a model of three classes.
fn refused(data: &Dataset) -> String {
    let mut session = session_of(manifest(vec![ValueCheck::ClassLabels { classes: 3 }]), &SessionOptions::default());
    session.init(0).unwrap();
    let error = fit(&mut session, data, &silent(), &mut []).unwrap_err();
    assert_eq!(session.state().unwrap()[2], Array::scalar(0i64), "no step was done");
    error.to_string()
}

#[test]
fn data_that_does_not_fit_is_refused_before_the_first_step() {
    let x = || floats(&[1.0, 2.0, 3.0], &[3, 1]);
    let y = || Array::from_slice(&[0u8, 1, 2], &[3]).unwrap();
    let labels = |values: &[f64]| Array::from_slice(values, &[values.len()]).unwrap();

    assert_eq!(
        refused(&Dataset::new(x(), Array::from_slice(&[0u8, 3, 2], &[3]).unwrap())),
        "`y` must hold class labels, whole numbers from 0 to 2, but sample 1 has 3"
    );
    assert_eq!(
        refused(&Dataset::new(x(), Array::from_slice(&[0i32, 1, -1], &[3, 1]).unwrap())),
        "`y` must hold class labels, whole numbers from 0 to 2, but sample 2 has -1"
    );
    assert_eq!(
        refused(&Dataset::new(x(), labels(&[0.5, 1.0, 2.0]))),
        "`y` must hold class labels, whole numbers from 0 to 2, but sample 0 has 0.5"
    );
    assert_eq!(
        refused(&Dataset::new(floats(&[1.0, 2.0, f32::NAN], &[3, 1]), y())),
        "`x` must not hold NaN, but sample 2 has NaN at (0,); remove or replace such samples"
    );
    assert_eq!(
        refused(&Dataset::new(floats(&[1.0; 6], &[3, 2]), y())),
        "`x` must have the shape (None, 1), where the first axis counts the samples; an array of shape (3, 2) was given"
    );
    assert_eq!(
        refused(&Dataset::new(x(), floats(&[0.0; 6], &[3, 2]))),
        "`y` must have the shape (None,), where the first axis counts the samples; an array of shape (3, 2) was given"
    );
    assert_eq!(
        refused(&Dataset::new(Array::scalar(1f32), y())),
        "`x` must have the shape (None, 1), where the first axis counts the samples; an array of shape () was given"
    );
    assert_eq!(
        refused(&Dataset::new(floats(&[], &[0, 1]), floats(&[], &[0]))),
        "the data is empty: `x` has the shape (0, 1); at least one sample is expected"
    );
    assert_eq!(
        refused(&Dataset::new(x(), labels(&[0.0, 1.0]))),
        "all arrays must have the same number of samples: `x` has 3, `y` has 2"
    );
    assert_eq!(
        refused(&Dataset::new(x(), y()).with_sample_weights(floats(&[1.0; 4], &[4]))),
        "all arrays must have the same number of samples: `x` has 3, `y` has 3, `sample_weight` has 4"
    );
    assert_eq!(refused(&Dataset::unlabelled(x())), "the model has 1 targets (`y`), 0 arrays were given");
    assert_eq!(
        refused(&Dataset { features: vec![x(), x()], ..Dataset::new(x(), y()) }),
        "the model has 1 inputs (`x`), 2 arrays were given"
    );
    assert_eq!(
        refused(&Dataset { sample_weights: vec![x(), x()], ..Dataset::new(x(), y()) }),
        "the model has 1 sample weights (`sample_weight`), 2 arrays were given"
    );
}

#[test]
fn values_that_an_integer_input_does_not_have_are_refused_everywhere() {
    let mut manifest = manifest(vec![]);
    for entry in &mut manifest.entries {
        for input in entry.inputs.iter_mut().filter(|input| input.name == "x") {
            input.ty.dtype = DType::U8;
            input.checks.clear();
        }
    }
    let evaluation = EvaluateOptions { verbose: Verbose::Silent, ..Default::default() };
    let refused = |x: Array| {
        // The kernels are for another dtype of `x`: none of them runs.
        let mut session = session_of(manifest.clone(), &SessionOptions::default());
        let data = Dataset::new(x, floats(&[0.0; 3], &[3]));
        let message = fit(&mut session, &data, &silent(), &mut []).unwrap_err().to_string();
        assert_eq!(evaluate(&mut session, &data, &evaluation, &mut []).unwrap_err().to_string(), message);
        assert_eq!(predict(&mut session, &data, &evaluation, &mut []).unwrap_err().to_string(), message);
        message
    };
    let with = |value: f32| refused(floats(&[1.0, 2.0, value], &[3, 1]));
    assert_eq!(
        with(f32::NAN),
        "`x` takes uint8, whole numbers from 0 to 255, but sample 2 has NaN at (0,); remove or replace such samples"
    );
    assert_eq!(
        with(f32::NEG_INFINITY),
        "`x` takes uint8, whole numbers from 0 to 255, but sample 2 has -inf at (0,); remove or replace such samples"
    );
    assert_eq!(
        with(-3.0),
        "`x` takes uint8, whole numbers from 0 to 255, but sample 2 has -3 at (0,); \
         give values in that range, or give the model an input of another dtype"
    );
    assert_eq!(
        with(0.1),
        "`x` takes uint8, whole numbers from 0 to 255, but sample 2 has 0.1 at (0,); \
         give whole numbers, or give the model a float32 input"
    );
    assert_eq!(
        refused(Array::from_slice(&[0i64, 256, 1], &[3, 1]).unwrap()),
        "`x` takes uint8, whole numbers from 0 to 255, but sample 1 has 256 at (0,); \
         give values in that range, or give the model an input of another dtype"
    );
}

#[test]
fn options_out_of_their_range_are_refused() {
    let refused = |options: FitOptions| fit(&mut session(1, 0), &line(4), &options, &mut []).unwrap_err().to_string();
    assert_eq!(refused(FitOptions { batch_size: 0, ..silent() }), "`batch_size` must be at least 1, 0 was given");
    assert_eq!(
        refused(FitOptions { validation_split: 1.5, ..silent() }),
        "`validation_split` must be at least 0 and less than 1, 1.5 was given"
    );
    assert_eq!(
        refused(FitOptions { validation_split: 0.9, ..silent() }),
        "4 samples cannot be split with `validation_split=0.9` into a training and a validation set: \
         0 would be left for training; give more data or another split"
    );
}

/// Notes every hook.
#[derive(Default)]
struct Journal(Vec<String>);

impl Callback for Journal {
    fn name(&self) -> &str {
        "Journal"
    }
    fn on_train_begin(&mut self, training: &mut Training) -> Result<(), CallbackError> {
        self.0.push(format!("train begins: {} epochs of {}", training.epochs, training.steps));
        Ok(())
    }
    fn on_train_end(&mut self, _: &mut Training, history: &History) -> Result<(), CallbackError> {
        self.0.push(format!("train ends: {:?}", history.epochs));
        Ok(())
    }
    fn on_epoch_begin(&mut self, _: &mut Training, epoch: usize) -> Result<(), CallbackError> {
        self.0.push(format!("epoch {epoch} begins"));
        Ok(())
    }
    fn on_epoch_end(&mut self, _: &mut Training, epoch: usize, logs: &mut Logs) -> Result<(), CallbackError> {
        self.0.push(format!("epoch {epoch} ends: {}", logs.names()));
        logs.set("mine", 1.0);
        Ok(())
    }
    fn on_train_batch_begin(&mut self, _: &mut Training, batch: usize) -> Result<(), CallbackError> {
        self.0.push(format!("batch {batch} begins"));
        Ok(())
    }
    fn on_train_batch_end(&mut self, training: &mut Training, batch: usize) -> Result<(), CallbackError> {
        let names = training.logs()?.names();
        self.0.push(format!("batch {batch} ends: {names}"));
        Ok(())
    }
    fn on_test_begin(&mut self, training: &mut Training) -> Result<(), CallbackError> {
        self.0.push(format!("test begins: {}", training.steps));
        Ok(())
    }
    fn on_test_end(&mut self, _: &mut Training, logs: &Logs) -> Result<(), CallbackError> {
        self.0.push(format!("test ends: {}", logs.names()));
        Ok(())
    }
    fn on_test_batch_begin(&mut self, _: &mut Training, batch: usize) -> Result<(), CallbackError> {
        self.0.push(format!("test batch {batch} begins"));
        Ok(())
    }
    fn on_test_batch_end(&mut self, _: &mut Training, batch: usize) -> Result<(), CallbackError> {
        self.0.push(format!("test batch {batch} ends"));
        Ok(())
    }
    fn on_predict_begin(&mut self, _: &mut Training) -> Result<(), CallbackError> {
        self.0.push("predict begins".into());
        Ok(())
    }
    fn on_predict_end(&mut self, _: &mut Training) -> Result<(), CallbackError> {
        self.0.push("predict ends".into());
        Ok(())
    }
    fn on_predict_batch_begin(&mut self, _: &mut Training, batch: usize) -> Result<(), CallbackError> {
        self.0.push(format!("predict batch {batch} begins"));
        Ok(())
    }
    fn on_predict_batch_end(&mut self, _: &mut Training, batch: usize) -> Result<(), CallbackError> {
        self.0.push(format!("predict batch {batch} ends"));
        Ok(())
    }
}

#[test]
fn hooks_are_called_in_keras_order() {
    let mut journal = Journal::default();
    let mut session = session(1, 0);
    let options = FitOptions { batch_size: 2, epochs: 1, validation_split: 0.4, ..silent() };
    let history = fit(&mut session, &line(5), &options, &mut [&mut journal]).unwrap();
    assert_eq!(history.get("mine"), Some(&[1.0][..]));
    let evaluation = EvaluateOptions { batch_size: 9, verbose: Verbose::Silent, ..Default::default() };
    predict(&mut session, &line(2), &evaluation, &mut [&mut journal]).unwrap();
    assert_eq!(
        journal.0,
        [
            "train begins: 1 epochs of 2",
            "epoch 0 begins",
            "batch 0 begins",
            "batch 0 ends: loss",
            "batch 1 begins",
            "batch 1 ends: loss",
            "test begins: 1",
            "test batch 0 begins",
            "test batch 0 ends",
            "test ends: loss",
            "epoch 0 ends: loss, val_loss",
            "train ends: [0]",
            "predict begins",
            "predict batch 0 begins",
            "predict batch 0 ends",
            "predict ends",
        ]
    );
}

/// Ends every epoch with the next of its values as the log `val_loss`.
struct Script(Vec<f64>);

impl Callback for Script {
    fn name(&self) -> &str {
        "Script"
    }
    fn on_epoch_end(&mut self, training: &mut Training, epoch: usize, logs: &mut Logs) -> Result<(), CallbackError> {
        // the weight tells the epoch
        training.session().set_state_tensor(0, &Array::scalar(epoch as f32))?;
        logs.set("val_loss", self.0[epoch]);
        Ok(())
    }
}

/// Trains until the callback ends it; the epochs, the weight and the learning rate then.
fn scripted(values: &[f64], callback: &mut dyn Callback) -> (usize, f32, f64) {
    let mut session = session(1, 0);
    let mut script = Script(values.to_vec());
    let options = FitOptions { epochs: values.len(), ..silent() };
    let history = fit(&mut session, &line(4), &options, &mut [&mut script, callback]).unwrap();
    (history.epochs.len(), weight(&mut session), session.learning_rate().unwrap().unwrap())
}

#[test]
fn early_stopping_waits_and_restores() {
    let values = [5.0, 3.0, 4.0, 3.0, 2.9, 6.0, 7.0, 8.0];
    let stop = |change: &dyn Fn(&mut EarlyStopping)| {
        let mut callback = EarlyStopping::default();
        change(&mut callback);
        let (epochs, weight, _) = scripted(&values, &mut callback);
        (epochs, weight, callback.stopped_epoch(), callback.best_epoch())
    };
    assert_eq!(stop(&|_| {}), (3, 2.0, Some(2), 1));
    assert_eq!(stop(&|c| c.patience = 2), (4, 3.0, Some(3), 1));
    assert_eq!(stop(&|c| c.patience = 3), (8, 7.0, Some(7), 4));
    assert_eq!(stop(&|c| c.patience = 4), (8, 7.0, None, 4));
    assert_eq!(
        stop(&|c| {
            c.patience = 3;
            c.restore_best_weights = true;
        }),
        (8, 4.0, Some(7), 4)
    );
    assert_eq!(
        stop(&|c| {
            c.patience = 3;
            c.min_delta = 0.5;
        }),
        (5, 4.0, Some(4), 1)
    );
    assert_eq!(stop(&|c| c.mode = Mode::Max), (2, 1.0, Some(1), 0));
    assert_eq!(stop(&|c| c.start_from_epoch = 4), (6, 5.0, Some(5), 4));
    // better than before but never than the baseline
    assert_eq!(
        stop(&|c| {
            c.patience = 3;
            c.baseline = Some(1.0);
        }),
        (3, 2.0, Some(2), 1)
    );
    let mut callback = EarlyStopping::new("val_wonder");
    let error = fit(&mut session(1, 0), &line(4), &silent(), &mut [&mut callback]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "EarlyStopping: it is not known whether a smaller or a larger `val_wonder` is better; \
         give EarlyStopping `Mode::Min` or `Mode::Max`"
    );
}

#[test]
fn the_learning_rate_follows_its_callbacks() {
    let mut scheduler = LearningRateScheduler::new(|epoch, rate| if epoch == 0 { 1.0 } else { rate / 2.0 });
    assert_eq!(scripted(&[1.0; 4], &mut scheduler).2, 0.125);
    let mut plateau = ReduceLROnPlateau { patience: 2, factor: 0.5, min_lr: 0.1, ..Default::default() };
    // 0.25 until epochs 1 and 2 bring nothing, 0.125 until 3 and 4 do, then never below 0.1
    assert_eq!(scripted(&[1.0; 3], &mut plateau).2, 0.125);
    assert_eq!(scripted(&[1.0; 9], &mut plateau).2 as f32, 0.1);
    let mut cooling = ReduceLROnPlateau { patience: 1, factor: 0.5, cooldown: 2, ..Default::default() };
    assert_eq!(scripted(&[1.0, 1.0, 1.0, 1.0], &mut cooling).2, 0.0625);
    let mut wrong = ReduceLROnPlateau { factor: 1.0, ..Default::default() };
    let error = fit(&mut session(1, 0), &line(4), &silent(), &mut [&mut wrong]).unwrap_err();
    assert_eq!(error.to_string(), "ReduceLROnPlateau: `factor` must be less than 1, 1 was given");
}

#[test]
fn a_loss_that_is_no_number_ends_the_training() {
    let mut session = session(1, 0);
    session.set_learning_rate(1e30);
    let options = FitOptions { batch_size: 1, epochs: 5, shuffle: false, ..silent() };
    let history = fit(&mut session, &line(50), &options, &mut [&mut TerminateOnNaN]).unwrap();
    assert_eq!(history.epochs, [0]);
    assert!(!history.last("loss").unwrap().is_finite());
    assert!(session.state().unwrap()[2].as_slice::<i64>().unwrap()[0] < 50);
}

/// Sets the flag after the given batch of the given epoch.
struct Interrupt(Arc<AtomicBool>, usize, usize);

impl Callback for Interrupt {
    fn name(&self) -> &str {
        "Interrupt"
    }
    fn on_epoch_begin(&mut self, _: &mut Training, epoch: usize) -> Result<(), CallbackError> {
        self.1 = self.1.wrapping_sub(usize::from(epoch > 0));
        Ok(())
    }
    fn on_train_batch_end(&mut self, _: &mut Training, batch: usize) -> Result<(), CallbackError> {
        if self.1 == 0 && batch == self.2 {
            self.0.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[test]
fn an_interrupt_ends_after_the_step_and_keeps_the_history() {
    let flag = Arc::new(AtomicBool::new(false));
    let options = FitOptions { batch_size: 2, epochs: 9, interrupt: Some(flag.clone()), ..silent() };
    let mut session = session(1, 0);
    let mut journal = Journal::default();
    let mut interrupt = Interrupt(flag, 2, 1);
    let history = fit(&mut session, &line(10), &options, &mut [&mut interrupt, &mut journal]).unwrap();
    assert_eq!((history.epochs, history.interrupted), (vec![0, 1], true));
    assert_eq!(session.state().unwrap()[2], Array::scalar(12i64), "two epochs of five steps, and two");
    assert_eq!(journal.0.last().unwrap(), "train ends: [0, 1]");
}

#[test]
fn checkpoints_and_logs_are_written() {
    let folder = std::env::temp_dir().join(format!("kc-runtime-training-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let mut checkpoint = ModelCheckpoint::new(path("w/{epoch:02d}-{val_loss:.1f}.safetensors"));
    checkpoint.save_weights_only = true;
    checkpoint.save_best_only = true;
    scripted(&[3.0, 4.0, 2.5, 2.5], &mut checkpoint);
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder.join("w")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert_eq!(names, [folder.join("w/01-3.0.safetensors"), folder.join("w/03-2.5.safetensors")]);
    assert_eq!(checkpoint.last(), Some(names[1].as_path()));
    let weights = package::safetensors::read(&std::fs::read(&names[1]).unwrap()).unwrap();
    assert_eq!(weights, BTreeMap::from([("dense/kernel".to_owned(), Array::scalar(2f32))]));

    let mut every = ModelCheckpoint::new(path("b/{epoch}-{batch}.safetensors"));
    every.save_weights_only = true;
    every.save_freq = SaveFrequency::Batches(3);
    let options = FitOptions { batch_size: 1, epochs: 2, ..silent() };
    fit(&mut session(1, 0), &line(4), &options, &mut [&mut every]).unwrap();
    assert!(folder.join("b/1-3.safetensors").exists() && folder.join("b/2-2.safetensors").exists());

    let csv = folder.join("log.csv");
    scripted(&[3.0, 4.0], &mut CsvLogger::new(&csv).separator(';'));
    scripted(&[5.0], &mut CsvLogger::new(&csv).separator(';').append());
    let text = std::fs::read_to_string(&csv).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "epoch;loss;val_loss");
    assert!(lines[1].starts_with("0;") && lines[1].ends_with(";3"), "{text}");
    assert!(lines[2].starts_with("1;") && lines[2].ends_with(";4"), "{text}");
    assert!(lines[3].starts_with("0;") && lines[3].ends_with(";5"), "{text}");
    assert_eq!(lines.len(), 4);

    // a session of functions has no code to write
    let mut package = ModelCheckpoint::new(path("model.kcp"));
    let error = fit(&mut session(1, 0), &line(4), &silent(), &mut [&mut package]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ModelCheckpoint: a session whose kernels are functions of the process cannot be saved as a package; \
         save its weights"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}
