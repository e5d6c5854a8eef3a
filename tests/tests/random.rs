//! Random functions on every way of executing a graph: the same numbers for the same seed.

use kc::ops::{self, Tensor};
use kc::random;
use kc_tests::arrays::{Tolerance, difference, values};
use kc_tests::runner::Runner;

/// Draws of all functions and dtypes: what bits alone decide, and what is computed by functions such as the logarithm.
fn draws() -> [Vec<(&'static str, Tensor)>; 2] {
    let logits = || ops::log([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]]);
    let x = || ops::reshape(ops::arange(24.0), [4, 6]);
    let mut exact: Vec<(&'static str, Tensor)> = vec![
        ("randint", random::randint([19], -3, 9).seed(3).into()),
        ("randint of a byte", random::randint([19], 0, 256).dtype("uint8").seed(3).into()),
        ("shuffle", random::shuffle(x()).seed(4).into()),
        ("shuffle along an axis", random::shuffle(x()).axis(-1).seed(4).into()),
        ("dropout", random::dropout(x(), 0.5).seed(5).into()),
        ("dropout of rows", random::dropout(x(), 0.5).noise_shape(vec![None, Some(1)]).seed(5).into()),
        ("uniform of none", random::uniform([0, 3]).seed(1).into()),
        ("uniform scalar", random::uniform(Vec::<i64>::new()).seed(1).into()),
        ("categorical", random::categorical(logits(), 19).seed(6).into()),
    ];
    for dtype in ["float32", "float16", "bfloat16", "float64"] {
        exact.push((dtype, random::uniform([3, 5]).minval(-2.0).maxval(3.0).dtype(dtype).seed(2).into()));
    }
    let mut computed: Vec<(&'static str, Tensor)> = vec![
        ("dropout of few", random::dropout(x(), 0.3).seed(5).into()),
        ("gamma", random::gamma([11], [0.05, 0.5, 1.0, 2.5, 10.0, 200.0, 0.3, 7.0, 1.5, 0.9, 30.0]).seed(3).into()),
        ("beta", random::beta([4], [0.5, 1.0, 2.0, 30.0], [0.5, 3.0, 2.0, 0.1]).seed(3).into()),
        ("binomial", random::binomial([8], COUNTS, PROBABILITIES).seed(3).into()),
        ("binomial of doubles", random::binomial([9], 50, 0.5).dtype("float64").seed(9).into()),
    ];
    for dtype in ["float32", "float16", "bfloat16", "float64"] {
        computed.push((dtype, random::normal([3, 5]).mean(1.0).stddev(0.5).dtype(dtype).seed(2).into()));
    }
    for dtype in ["float32", "float64"] {
        computed.push((dtype, random::truncated_normal([3, 5]).dtype(dtype).seed(2).into()));
    }
    [exact, computed]
}

const COUNTS: [i32; 8] = [1, 4, 10, 20, 40, 100, 1000, 10000];
const PROBABILITIES: [f64; 8] = [0.5, 0.1, 0.9, 0.3, 0.7, 0.25, 0.002, 0.6];

#[test]
fn every_runner_draws_the_same() {
    let [exact, computed] = draws();
    let (names, tensors): (Vec<&str>, Vec<Tensor>) = exact.iter().chain(&computed).cloned().unzip();
    let (module, arrays) = ops::module(&tensors).expect("they can be traced");
    let inputs: Vec<_> = arrays.iter().collect();
    let run = |runner: Runner| {
        let mut execution = runner.load(&module, 2).unwrap_or_else(|error| panic!("{}: {error}", runner.name()));
        execution.run("call", &inputs).unwrap_or_else(|error| panic!("{}: {error}", runner.name()))
    };
    let expected = run(Runner::Interpreter);
    let mut wrong = Vec::new();
    for runner in Runner::common() {
        if let Some(reason) = runner.unavailable() {
            eprintln!("{} is skipped: {reason}", runner.name());
            continue;
        }
        for (position, (ours, right)) in run(runner).iter().zip(&expected).enumerate() {
            let what = format!("{}: {} ({})", runner.name(), names[position], right.dtype());
            if position < exact.len() && ours.bytes() != right.bytes() {
                wrong.push(format!("{what}: {:?} expected {:?}", values(ours), values(right)));
            }
            // an ulp of the dtype
            let bound = match right.dtype() {
                kc_ir::DType::F16 => 1e-3,
                kc_ir::DType::Bf16 => 8e-3,
                kc_ir::DType::F64 => 1e-14,
                _ => 1e-6,
            };
            wrong.extend(difference(&what, ours, right, Tolerance { atol: bound, rtol: bound }));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Mean and variance of `n p` and `n p (1 - p)`, and the share of each number of successes.
#[test]
fn binomial_numbers_have_their_distribution() {
    for (seed, (count, p)) in [(12, 0.3f64), (40, 0.5), (200, 0.9), (3, 0.97)].into_iter().enumerate() {
        const DRAWN: usize = 20_000;
        let drawn =
            ops::evaluate(&[random::binomial([DRAWN as i64], count, p).seed(seed as u32).into()]).expect("numbers");
        let drawn = values(&drawn[0]);
        let n = f64::from(count);
        let mut probability = (1.0 - p).powf(n);
        let mut statistic = 0.0;
        let mut degrees = 0;
        for successes in 0..=count {
            let expected = probability * DRAWN as f64;
            if expected >= 5.0 {
                let found = drawn.iter().filter(|&&x| x == f64::from(successes)).count() as f64;
                statistic += (found - expected).powi(2) / expected;
                degrees += 1;
            }
            probability *= (n - f64::from(successes)) / f64::from(successes + 1) * p / (1.0 - p);
        }
        // far beyond what chance gives once in a million
        let degrees = f64::from(degrees);
        assert!(
            statistic < degrees + 5.5 * (2.0 * degrees).sqrt() + 12.0,
            "B({count}, {p}): chi squared is {statistic}, {degrees}"
        );
        assert!(drawn.iter().all(|&x| x >= 0.0 && x <= n && x.fract() == 0.0));
    }
}
