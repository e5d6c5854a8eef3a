//! `kc::random` against what real Keras (JAX back end) printed.

use kc::ops::Expression;
use kc::prelude::*;
use kc::random;

fn check(given: impl Expression, expected: &[f64]) {
    let array = given.eval().unwrap().cast(DType::F64);
    let given = array.as_slice::<f64>().unwrap();
    assert_eq!(given.len(), expected.len());
    for (given, expected) in given.iter().zip(expected) {
        assert!((given - expected).abs() <= 2e-6 * (1.0 + expected.abs()), "{given} is not {expected}");
    }
}

#[test]
fn what_has_no_seed_takes_those_of_the_global_generator() {
    kc::utils::set_random_seed(42);
    check(random::normal([3]), &[-1.4514600038528442, 0.14812569320201874, -0.6530376672744751]);
    check(random::uniform([3]).minval(-1.0), &[0.22006678581237793, 0.07101631164550781, 0.3485414981842041]);
    let generator = SeedGenerator::with_seed(7);
    check(random::uniform([2]).seed(&generator), &[0.3307110071182251, 0.2777543067932129]);
    check(random::uniform([2]).seed(&generator), &[0.8677558898925781, 0.025617361068725586]);
}

#[test]
fn a_draw_is_one_tensor() {
    let x = random::normal([4]);
    assert_eq!(x.eval().unwrap(), x.eval().unwrap());
    assert_ne!(x.eval().unwrap(), random::normal([4]).eval().unwrap());
}

#[test]
fn a_seed_gives_the_numbers_of_keras() {
    check(
        random::normal([2, 2]).mean(1.0).stddev(0.5).seed(3),
        &[1.531322717666626, 0.9799749255180359, 1.1497141122817993, 1.508561372756958],
    );
    check(
        random::truncated_normal([4]).stddev(2.0).seed(3),
        &[1.9875116348266602, -0.07645398378372192, 0.5708370208740234, 1.9062309265136719],
    );
    check(random::randint([5], -3, 9).seed(3), &[-3.0, 2.0, 1.0, 3.0, 0.0]);
    check(random::randint([5], 0, 256).dtype("uint8").seed(3), &[144.0, 237.0, 80.0, 130.0, 99.0]);
    let logits = Array::from_slice(&[0f32, 1.0, -1.0, 0.5, 2.0, 2.0, 2.0, -3.0], &[2, 4]).unwrap();
    check(random::categorical(&logits, 4).seed(3), &[0.0, 3.0, 1.0, 3.0, 2.0, 1.0, 2.0, 2.0]);
    let x = Array::from_slice(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], &[2, 4]).unwrap();
    check(random::dropout(&x, 0.5).seed(3), &[0.0, 4.0, 0.0, 0.0, 10.0, 12.0, 0.0, 16.0]);
    let rows = vec![None, Some(1)];
    check(random::dropout(&x, 0.5).noise_shape(rows).seed(5), &[2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0]);
    // what is kept is divided by 0.7 in the dtype, not multiplied by its inverse
    let halves = ops::cast(ops::arange(24.0), "bfloat16");
    let kept = [
        0.0, 1.4296875, 0.0, 4.28125, 5.71875, 0.0, 0.0, 10.0, 11.4375, 12.875, 14.3125, 15.75, 17.125, 0.0, 20.0, 0.0,
        22.875, 24.375, 25.75, 27.125, 0.0, 30.0, 0.0, 33.0,
    ];
    check(ops::cast(random::dropout(halves, 0.3).seed(5), "float32"), &kept);
    check(random::shuffle([0, 1, 2, 3, 4, 5]).seed(3), &[1.0, 3.0, 5.0, 2.0, 0.0, 4.0]);
    check(random::shuffle([[0, 1, 2], [3, 4, 5]]).axis(1).seed(3), &[1.0, 2.0, 0.0, 3.0, 5.0, 4.0]);
}

#[test]
fn rejection_accepts_what_keras_accepts() {
    let alpha = [0.05, 0.5, 1.0, 2.5, 10.0, 200.0];
    check(
        random::gamma([6], alpha).seed(3),
        &[
            0.0004256217507645488,
            0.00020511796174105257,
            0.07104190438985825,
            2.16990327835083,
            6.932192325592041,
            173.45242309570312,
        ],
    );
    check(
        random::gamma([2, 2], 3.0).seed(9),
        &[1.3909525871276855, 4.039365768432617, 1.505518913269043, 1.9954090118408203],
    );
    let beta = random::beta([4], [0.5, 1.0, 2.0, 30.0], [0.5, 3.0, 2.0, 0.1]).seed(3);
    check(beta, &[0.793397068977356, 0.1491307020187378, 0.6250004172325134, 1.0]);
}

#[test]
fn successes_are_those_of_keras() {
    let counts = [1, 4, 10, 20, 40, 100, 1000, 10000];
    let probabilities = [0.5, 0.1, 0.9, 0.3, 0.7, 0.25, 0.002, 0.6];
    check(random::binomial([8], counts, probabilities).seed(3), &[0.0, 2.0, 7.0, 7.0, 26.0, 26.0, 3.0, 5867.0]);
    check(random::binomial([2, 3], 50, 0.5).seed(9), &[24.0, 25.0, 22.0, 23.0, 26.0, 30.0]);
    // a number of trials is rounded down
    check(random::binomial([2, 3], 5.7, 0.3).seed(9), &[1.0, 2.0, 1.0, 2.0, 0.0, 0.0]);
    check(random::binomial([4], [10.0, 20.0, 3.0, 7.0], [0.0, 1.0, 1.0, 0.0]).seed(1), &[0.0, 20.0, 3.0, 0.0]);
    let half = random::binomial([4], [10, 20, 3, 7], 0.5).dtype("float16").seed(1);
    assert_eq!(half.ty().unwrap().dtype, DType::F16);
    check(half, &[4.0, 7.0, 2.0, 4.0]);
    let none = f64::NAN;
    let many = f64::INFINITY;
    let counts = [-1.0, none, many, 10.0, 10.0, 0.0, many, many];
    let drawn = random::binomial([8], counts, [0.5, 0.5, 0.5, -0.1, none, 0.3, 0.0, 1.0]).seed(1).eval().unwrap();
    let drawn = drawn.as_slice::<f32>().unwrap();
    let shown: Vec<String> = drawn.iter().map(f32::to_string).collect();
    assert_eq!(shown, ["NaN", "NaN", "inf", "NaN", "NaN", "0", "inf", "inf"]);
}

#[test]
fn mistakes() {
    let uniform = random::uniform([2]).dtype("int32").ty().unwrap_err().to_string();
    assert!(uniform.contains("the dtype is int32, expected a floating-point dtype"), "{uniform}");
    let dropout = random::dropout([1.0, 2.0], 1.5).ty().unwrap_err().to_string();
    assert!(dropout.contains("`rate` is 1.5, expected a number from 0 to 1"), "{dropout}");
    let shuffle = random::shuffle([1, 2]).axis(1).ty().unwrap_err().to_string();
    assert!(shuffle.contains("axis 1 is out of range"), "{shuffle}");
}
