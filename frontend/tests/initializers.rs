//! First values of weights against those of real Keras (JAX back end), computed by the interpreter.

use kc::prelude::*;
use kc_ir::tensor::{Literal, ResultSlot, Scalar, interpret};

/// The first values of a dense layer's kernel `[2, 3]` for a key of the model.
fn kernel(initializer: impl Into<Initializer>, key: u32) -> Vec<f64> {
    kc::utils::clear_session();
    let layer = Dense::new(3).use_bias(false).kernel_initializer(initializer);
    let module = Sequential::new().add(Input::new([2])).add(layer).module().unwrap();
    let init = module.function("init").unwrap();
    assert_eq!(init.results, [ResultSlot::State(0)]);
    let key = Literal::from_scalars(DType::U32, vec![2], [Scalar::Int(0), Scalar::Int(key.into())]);
    let arguments: Vec<Literal> = init.arguments.iter().map(|_| key.clone()).collect();
    interpret(&init.graph, &arguments).unwrap()[0].to_f64_vec()
}

fn check(initializer: impl Into<Initializer>, expected: [f64; 6]) {
    let initializer = initializer.into();
    let given = kernel(initializer.clone(), 0);
    for (given, expected) in given.iter().zip(expected) {
        assert!((given - expected).abs() < 1e-6 + 1e-5 * expected.abs(), "{initializer:?}: {given} is not {expected}");
    }
}

#[test]
fn a_seed_gives_the_numbers_of_keras() {
    check(GlorotUniform::new().seed(42), [0.14619738, -0.9518352, -0.25924283, 0.46438885, 0.626912, -0.21274202]);
    check(GlorotNormal::new().seed(42), [0.11528544, -0.9851624, -0.20635423, 0.38185108, 0.5386633, -0.16857563]);
    check(HeUniform::new().seed(42), [0.23115833, -1.5049835, -0.40989888, 0.7342632, 0.99123484, -0.33637464]);
    check(HeNormal::new().seed(42), [0.18228228, -1.5576785, -0.3262747, 0.6037596, 0.85170144, -0.26654148]);
    check(LecunUniform::new().seed(42), [0.16345364, -1.0641842, -0.2898423, 0.5192025, 0.7009089, -0.23785281]);
    check(LecunNormal::new().seed(42), [0.12889305, -1.101445, -0.23071104, 0.42692247, 0.60224384, -0.18847328]);
    check(RandomNormal::new().seed(42), [0.008402712, -0.07548944, -0.01505457, 0.027956514, 0.0396558, -0.012292779]);
    check(
        RandomUniform::new().seed(42),
        [0.006672967, -0.043445136, -0.011832762, 0.021196354, 0.028614486, -0.0097103],
    );
    check(
        TruncatedNormal::new().seed(42),
        [0.008017009, -0.0685087, -0.01434998, 0.02655412, 0.037458923, -0.011722836],
    );
}

#[test]
fn constants() {
    check("zeros", [0.0; 6]);
    check("ones", [1.0; 6]);
    check(0.25, [0.25; 6]);
}

#[test]
fn without_a_seed_the_models_key_decides() {
    assert_eq!(kernel("he_normal", 1), kernel("he_normal", 1));
    assert_ne!(kernel("he_normal", 1), kernel("he_normal", 2));
    assert_eq!(kernel(HeNormal::new().seed(3), 1), kernel(HeNormal::new().seed(3), 2));
}

#[test]
fn two_weights_without_a_seed_differ() {
    kc::utils::clear_session();
    let module = Sequential::new()
        .add(Input::new([3]))
        .add(Dense::new(3).use_bias(false))
        .add(Dense::new(3).use_bias(false))
        .module()
        .unwrap();
    let init = module.function("init").unwrap();
    let key = Literal::from_scalars(DType::U32, vec![2], [Scalar::Int(0), Scalar::Int(5)]);
    let values = interpret(&init.graph, &[key]).unwrap();
    assert_ne!(values[0], values[1]);
}
