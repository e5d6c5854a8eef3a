//! Every function of `kc::ops`: that its derivative is that of central differences, that it is 0, or why there is none.

use kc::ops::{self, Branch, Complex, Tensor};
use kc_tests::golden::ops::{Call, Domain, Slope, rows, slope, slope_of};
use std::collections::{BTreeMap, BTreeSet};

/// The names of `keras.ops`; the tables name those of `keras.ops.image` too.
const NAMES: &str = include_str!("../../frontend/tests/data/ops.txt");

/// Functions without a derivative, and why.
const WITHOUT: &[(&str, &str)] = &[
    (
        "its results are integers or truth values",
        "all allclose any argmax argmin argpartition argsort bitwise_and bitwise_invert bitwise_left_shift bitwise_not bitwise_or \
         bitwise_right_shift bitwise_xor count_nonzero digitize equal gcd greater greater_equal in_top_k isclose isfinite isin isinf \
         isnan isneginf isposinf isreal lcm left_shift less less_equal logical_and logical_not logical_or logical_xor matrix_rank \
         nanargmax nanargmin nonzero not_equal right_shift searchsorted signbit unravel_index",
    ),
    (
        "it takes no tensor of floating-point numbers",
        "arange bartlett blackman empty eye hamming hanning identity kaiser multi_hot one_hot ones tri zeros",
    ),
    ("its result is no tensor", "convert_to_numpy dtype is_tensor ndim shape size"),
    ("it bars derivatives", "stop_gradient"),
    ("it is made of the bits of numbers; Keras on JAX has none either", "nextafter view"),
    ("the number of its rounds is known only when it runs; Keras on JAX has none either", "while_loop"),
    ("eigenvectors of a matrix that is not symmetric have none; Keras on JAX has none either", "eig"),
];

/// Functions whose derivative is 0 wherever there is one.
const FLAT: &str = "ceil empty_like floor floor_divide heaviside imag ones_like round sign trunc zeros_like";

/// Calls at numbers where a derivative is infinite, or that have none.
fn is_singular(text: &str) -> bool {
    // the spread of one number, or of equal ones; a matrix without an inverse; the logarithm of nearly 0
    let spreads = ["std(f32[])", "std(f32[1, 3], axis=0)", "pinv(f32[2, 2])", "binary_crossentropy(f32[3], f32[3])"];
    let of_no_axes = text.contains("std(") && text.contains("axis=[]");
    of_no_axes || spreads.iter().any(|spread| text.trim_start_matches("nan") == *spread)
}

fn domain(name: &str) -> Domain {
    match name {
        "arccos" | "arcsin" | "arctanh" | "erfinv" => Domain::Unit,
        "arccosh" => Domain::AboveOne,
        "log" | "log1p" | "log2" | "log10" | "sqrt" | "rsqrt" | "power" => Domain::Positive,
        "cholesky" => Domain::Symmetric,
        _ => Domain::Any,
    }
}

#[test]
fn derivatives_are_those_of_central_differences() {
    let rows = rows().expect("the tables can be read");
    let calls: Vec<_> = rows.iter().flat_map(|row| &row.calls).filter(|call| !call.is_special).collect();
    let bars = |name: &str| WITHOUT[3..].iter().any(|(_, names)| names.split_whitespace().any(|other| other == name));
    let slopes = |part: usize| {
        let calls = calls.iter().skip(part).step_by(2).filter(|call| !bars(&call.name) && !is_singular(&call.text));
        let one = |call: &Call| (call.name.clone(), call.text.clone(), slope_of(call, domain(&call.name)));
        calls.map(|call| one(call)).collect::<Vec<_>>()
    };
    let mut found = std::thread::scope(|scope| {
        let other = scope.spawn(|| slopes(1));
        [slopes(0), other.join().expect("it does not panic")].concat()
    });
    for (name, domain, tensors) in written().expect("they are well made") {
        found.push((name.to_string(), name.to_string(), slope(&tensors, domain)));
    }
    let mut wrong: Vec<String> = Vec::new();
    let mut best: BTreeMap<&str, Slope> = NAMES.split_whitespace().map(|name| (name, Slope::None)).collect();
    for (name, text, slope) in &found {
        match slope {
            Ok(slope) => {
                let best = best.entry(name).or_insert(Slope::None);
                *best = (*best).max(*slope);
            }
            Err(message) => wrong.push(format!("{text}: {message}")),
        }
    }
    let without: BTreeSet<&str> = WITHOUT.iter().flat_map(|(_, names)| names.split_whitespace()).collect();
    let flat: BTreeSet<&str> = FLAT.split_whitespace().collect();
    for (name, slope) in best {
        let expected = match (without.contains(name), flat.contains(name)) {
            (true, _) => Slope::None,
            (false, true) => Slope::Flat,
            (false, false) => Slope::Sloped,
        };
        if slope != expected {
            wrong.push(format!("{name}: the derivative that was found is {slope:?}, the lists here say {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

type Written = Vec<(&'static str, Domain, Vec<Tensor>)>;

/// Calls that are not in the tables.
fn written() -> kc::Result<Written> {
    let x = f64s(&ops::cast([0.3, -1.2, 0.7, 2.1], "float64"))?;
    let y = f64s(&ops::cast([1.4, 0.6, -0.9, -0.2], "float64"))?;
    let m = f64s(&ops::cast([[2.0, 0.3, -0.4], [0.3, -1.0, 0.9], [-0.4, 0.9, 0.5]], "float64"))?;
    let tall = f64s(&ops::cast([[0.3, -1.2], [0.7, 2.1], [1.5, 0.4]], "float64"))?;
    let wide = f64s(&ops::cast([[0.9, -0.2, 0.7, 2.1, -0.6], [1.5, 0.4, -0.8, 0.2, 1.1]], "float64"))?;
    let pairs = f64s(&ops::cast([[0.3, -1.2], [0.7, 2.1]], "float64"))?;
    let parts = |complex: Complex| vec![complex.real, complex.imag];
    let after = |(a, b): (Tensor, Tensor), (c, d): (Tensor, Tensor)| (a * &c, c * b + d);
    let combined = ops::associative_scan(after, (x.clone(), y.clone())).results()?;
    let branches: Vec<Branch<'_, Tensor, Tensor>> =
        vec![Box::new(|a: Tensor| ops::sin(a)), Box::new(|a: Tensor| &a * &a * &x)];
    let squared = ops::custom_gradient(|a: Tensor| (&a * &a, move |upstream: Tensor| upstream * a * 2));
    let step = |c: Tensor, e: Tensor| (ops::tanh(&c * &e + &y), c * e);
    let (last, outputs) = ops::scan(step, y.clone(), m_rows(&x)).results()?;
    let (value, derivative) = ops::jvp(|a: Tensor| ops::sin(&a) * &a, x.clone(), y.clone())?;
    let chosen = |sign: f64| {
        ops::cond(ops::greater(ops::sum(&x) * sign, 0), || (ops::exp(&x), &x * &y), || (&x * 3, ops::sin(&y)))
    };
    let [first, second] = [chosen(1.0), chosen(-1.0)];
    let segments = [0, 1, 1, 0];
    Ok(vec![
        ("associative_scan", Domain::Any, vec![combined.0, combined.1]),
        ("cond", Domain::Any, vec![first.0, first.1, second.0, second.1]),
        ("switch", Domain::Any, vec![ops::switch(1, branches, y.clone())?]),
        ("custom_gradient", Domain::Any, vec![squared(x.clone())]),
        ("scan", Domain::Any, vec![last, outputs]),
        ("map", Domain::Any, vec![ops::map(|e: Tensor| ops::sin(&e) * &e, x.clone())?]),
        (
            "vectorized_map",
            Domain::Any,
            vec![ops::vectorized_map(|(a, b): (Tensor, Tensor)| a * ops::exp(b), (x.clone(), y.clone()))?],
        ),
        (
            "vectorize",
            Domain::Any,
            vec![ops::vectorize(|(a, b): (Tensor, Tensor)| a * b).call((x.clone(), y.clone()))?],
        ),
        ("fori_loop", Domain::Any, vec![ops::fori_loop(0, 3, |i, v: Tensor| ops::sin(v) * &x + i, y.clone())]),
        ("jvp", Domain::Any, vec![value, derivative]),
        ("polar", Domain::Any, parts(ops::polar(&x, &y))),
        ("view_as_complex", Domain::Any, parts(ops::view_as_complex(&pairs))),
        ("view_as_real", Domain::Any, vec![ops::view_as_real((&x, &y))]),
        ("eigh", Domain::Symmetric, ops::eigh(&m).tensors()?),
        ("eigh", Domain::Symmetric, ops::eigh(ops::stack([m.clone(), &m * 2 + ops::eye(3)])).tensors()?),
        ("svd", Domain::Any, ops::svd(&tall).full_matrices(false).tensors()?),
        ("svd", Domain::Any, ops::svd(&wide).full_matrices(false).tensors()?),
        ("svd", Domain::Any, ops::svd(&m).tensors()?),
        ("lu_factor", Domain::Any, ops::lu_factor(&wide).tensors()?),
        ("lstsq", Domain::Any, vec![ops::lstsq(&wide, f64s(&ops::cast([0.3, -1.2], "float64"))?).into()]),
        ("cholesky", Domain::Symmetric, vec![ops::cholesky(ops::matmul(&m, &m) + ops::eye(3)).upper(true).into()]),
        ("angle", Domain::Any, vec![Complex::from((&x, &y)).angle()]),
        ("abs", Domain::Any, vec![Complex::from((&x, &y)).abs()]),
        ("cast", Domain::Any, vec![ops::cast(&x, "float64")]),
        ("saturate_cast", Domain::Any, vec![ops::saturate_cast(&x, "float64")]),
        ("array", Domain::Any, vec![ops::array(&x).into()]),
        ("convert_to_tensor", Domain::Any, vec![ops::convert_to_tensor(&x).into()]),
        ("diagflat", Domain::Any, vec![ops::diagflat(&pairs).k(-1).into()]),
        ("empty_like", Domain::Any, vec![ops::empty_like(&x).into()]),
        ("full", Domain::Any, vec![ops::full([2, 4], &x).dtype("float64").into()]),
        ("full_like", Domain::Any, vec![ops::full_like(&pairs, ops::get_item(&x, (..2,))).into()]),
        ("segment_max", Domain::Any, vec![ops::segment_max(&x, segments).num_segments(2).into()]),
        ("segment_min", Domain::Any, vec![ops::segment_min(&x, segments).num_segments(2).into()]),
        ("unique", Domain::Any, vec![ops::unique(&x).size(4).into()]),
    ])
}

/// An array of what is computed.
fn f64s(tensor: &impl ops::Expression) -> kc::Result<Tensor> {
    Ok((&tensor.eval()?).into())
}

/// Four rows, one an element.
fn m_rows(x: &Tensor) -> Tensor {
    ops::outer(x, [1.0, -0.5, 0.25, 2.0])
}
