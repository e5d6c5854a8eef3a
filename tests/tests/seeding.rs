//! What a seed gives in Keras it gives here: initial weights, dropout masks, orders of the samples, and so the losses of a training.
//! `golden/seeding.py` wrote what Keras gives.

use kc::datasets::read_npz;
use kc::initializers::{LecunUniform, RandomNormal, TruncatedNormal};
use kc::prelude::*;
use kc_tests::arrays::values;
use std::collections::BTreeMap;
use std::path::Path;

fn mlp() -> kc::Result<Model> {
    let generator = SeedGenerator::with_seed(11);
    let model = Sequential::new()
        .add(Input::new([8]))
        .add(Dense::new(16).activation("relu"))
        .add(Dropout::new(0.3))
        .add(
            Dense::new(12)
                .activation("tanh")
                .kernel_initializer("he_normal")
                .bias_initializer(RandomNormal::new().stddev(0.1)),
        )
        .add(Dropout::new(0.25).seed(5))
        .add(Dense::new(12).kernel_initializer(LecunUniform::new().seed(&generator)))
        .add(Dense::new(12).kernel_initializer(LecunUniform::new().seed(&generator)))
        .add(Dropout::new(0.0))
        .add(Dense::new(4).activation("softmax").kernel_initializer(TruncatedNormal::new()));
    Ok(model.into())
}

fn cnn() -> kc::Result<Model> {
    let model = Sequential::new()
        .add(Input::new([8, 8, 2]))
        .add(Conv2D::new(6, 3).activation("relu").kernel_initializer("he_uniform"))
        .add(BatchNormalization::new())
        .add(MaxPooling2D::new(2))
        .add(Dropout::new(0.2))
        .add(Conv2D::new(8, 2).activation("relu"))
        .add(Flatten::new())
        .add(Dropout::new(0.4))
        .add(Dense::new(4).activation("softmax"));
    Ok(model.into())
}

fn encoder() -> kc::Result<Model> {
    let x = Input::new([5, 8]);
    let attention = MultiHeadAttention::new(2, 4).dropout(0.1);
    let dense = Dense::new(8).activation("gelu");
    let y = Add::new().call((&x, &attention.call([&x, &x])?))?;
    let y = LayerNormalization::new().call(&y)?;
    let y = Flatten::new().call(dense.call(&y)?)?;
    let y = Dropout::new(0.2).call(&y)?;
    Model::new(&x, &Dense::new(4).activation("softmax").call(&y)?)
}

/// The running loss after each batch.
#[derive(Default)]
struct Losses(Vec<f64>);

impl Callback for Losses {
    fn name(&self) -> &str {
        "Losses"
    }
    fn on_train_batch_end(
        &mut self,
        training: &mut Training<'_>,
        _: usize,
    ) -> Result<(), kc_runtime::training::CallbackError> {
        self.0.extend(training.logs()?.get("loss"));
        Ok(())
    }
}

/// The weights that the golden arrays with a prefix are, each within so much of the largest of its array, or of 0.01.
fn compare(arrays: &BTreeMap<String, Array>, prefix: &str, model: &Model, tolerance: f64) {
    let ours = model.get_weights().unwrap();
    let right: Vec<_> = arrays.iter().filter(|(name, _)| name.starts_with(prefix)).collect();
    assert_eq!(ours.len(), right.len());
    for (ours, (name, right)) in ours.iter().zip(right) {
        assert_eq!(ours.shape(), right.shape(), "{name}");
        let largest = values(right).iter().fold(0.01, |largest: f64, x| largest.max(x.abs()));
        for (position, (ours, right)) in values(ours).into_iter().zip(values(right)).enumerate() {
            let error = (ours - right).abs();
            assert!(error <= tolerance * largest, "{name}: {ours} at {position}, expected {right}");
        }
    }
}

fn check(name: &str, seed: u32, build: fn() -> kc::Result<Model>, optimizer: impl Into<OptimizerSpec>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("seeding_{name}.npz"));
    let arrays = read_npz(&path).unwrap();
    kc::utils::set_random_seed(seed);
    let mut model = build().unwrap();
    model.compile(optimizer.into(), "sparse_categorical_crossentropy", ()).unwrap();
    // a normal number may differ by a few units in the last place
    compare(&arrays, "w_init_", &model, 4.0 * f64::from(f32::EPSILON));
    let mut losses = Losses::default();
    let (x, y) = (&arrays["x"], &arrays["y"]);
    for epochs in [3, 2] {
        let fit = Fit::new().batch_size(16).epochs(epochs).verbose(Verbose::Silent).callback(&mut losses);
        model.fit(x, y, fit).unwrap();
    }
    let right = values(&arrays["loss"]);
    assert_eq!(losses.0.len(), right.len());
    for (step, (ours, right)) in losses.0.iter().zip(&right).enumerate() {
        assert!((ours - right).abs() <= 1e-5 * right, "{name}: the loss of step {step} is {ours}, expected {right}");
    }
    compare(&arrays, "w_final_", &model, 1e-4);
}

#[test]
fn a_dense_network() {
    check("mlp", 42, mlp, "adam");
}

#[test]
fn a_convolutional_network() {
    check("cnn", 2_000_000_011, cnn, SGD::new().learning_rate(0.05).momentum(0.9));
}

#[test]
fn a_transformer_block() {
    check("encoder", 0, encoder, SGD::new().learning_rate(0.1));
}
