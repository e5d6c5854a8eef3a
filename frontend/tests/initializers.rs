//! First values of weights against those of real Keras (JAX back end), computed by the interpreter.

use kc::prelude::*;
use kc_ir::tensor::{Literal, ResultSlot, Scalar, interpret};

/// The first values of a dense layer's kernel `[2, 3]`.
fn kernel(initializer: impl Into<Initializer>) -> Vec<f64> {
    kc::utils::clear_session();
    let layer = Dense::new(3).use_bias(false).kernel_initializer(initializer);
    let module = Sequential::new().add(Input::new([2])).add(layer).module().unwrap();
    let init = module.function("init").unwrap();
    assert_eq!((init.inputs.len(), init.results.as_slice()), (0, &[ResultSlot::State(0)][..]));
    interpret(&init.graph, &[]).unwrap()[0].to_f64_vec()
}

fn check(initializer: impl Into<Initializer>, expected: [f64; 6]) {
    let initializer = initializer.into();
    let given = kernel(initializer.clone());
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

/// The values of the models' weights for seeds of `init`.
fn weights(layers: Vec<LayerRef>, seeds: &[u32]) -> Vec<Vec<f64>> {
    kc::utils::clear_session();
    let module = Sequential::from(layers).module().unwrap();
    let init = module.function("init").unwrap();
    assert_eq!(init.inputs[0].ty.to_string(), format!("u32[{}]", seeds.len()));
    let words = seeds.iter().map(|&seed| Scalar::Int(seed.into()));
    let seeds = Literal::from_scalars(DType::U32, vec![seeds.len()], words);
    interpret(&init.graph, &[seeds]).unwrap().iter().map(Literal::to_f64_vec).collect()
}

#[test]
fn what_has_no_seed_has_one_of_those_that_init_takes() {
    let dense = || Dense::new(3).use_bias(false);
    let values = weights(layers![Input::new([3]), dense(), dense()], &[42, 7]);
    assert_ne!(values[0], values[1]);
    let given = dense().kernel_initializer(GlorotUniform::new().seed(7));
    assert_eq!(weights(layers![Input::new([3]), given, dense()], &[42]), [values[1].clone(), values[0].clone()]);
    // one initializer is one seed
    let shared = Initializer::from(GlorotUniform::new());
    let pair = || dense().kernel_initializer(shared.clone());
    assert_eq!(weights(layers![Input::new([3]), pair(), pair()], &[7]), [values[1].clone(), values[1].clone()]);
    // a generator gives each weight another one
    let generator = SeedGenerator::with_seed(7);
    let pair = [(); 2].map(|()| dense().kernel_initializer(GlorotUniform::new().seed(&generator)));
    let [first, second] = pair;
    let of_generator = weights(layers![Input::new([3]), first, second, dense()], &[42]);
    assert_eq!(of_generator[0], values[1]);
    assert_ne!(of_generator[1], values[1]);
    assert_eq!(of_generator[2], values[0]);
}

#[test]
fn seeds_are_drawn_in_the_order_in_which_keras_makes_their_owners() {
    // Python: random.seed(42); [random.randint(1, 10**9) for _ in range(6)]
    let drawn = [686579304, 119540832, 26855093, 796233791, 295310486, 262950629];
    kc::utils::set_random_seed(42);
    let replaced = Dense::new(3).kernel_initializer("he_normal").bias_initializer("random_normal");
    let dropped = Dropout::new(0.5);
    let without = Dropout::new(0.0);
    let own = HeNormal::new();
    let layers = layers![Input::new([3]), replaced, dropped, without, Dense::new(3).kernel_initializer(own)];
    let mut model = Model::from(Sequential::from(layers));
    model.compile("sgd", "mse", ()).unwrap();
    let kernel = |seed: u32, shape: &[i64]| {
        kc::utils::clear_session();
        let layer = Dense::new(3).use_bias(false).kernel_initializer(HeNormal::new().seed(seed));
        let module = Sequential::new().add(Input::new(shape)).add(layer).module().unwrap();
        interpret(&module.function("init").unwrap().graph, &[]).unwrap()[0].to_f64_vec()
    };
    let weights = model.get_weights().unwrap();
    let close = |given: &Array, expected: Vec<f64>| {
        let given = given.as_slice::<f32>().unwrap();
        assert!(given.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6), "{given:?}");
    };
    close(&weights[0], kernel(drawn[0], &[3]));
    close(&weights[2], kernel(drawn[3], &[3]));
}
