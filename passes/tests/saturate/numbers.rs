//! Whole steps give the numbers they gave before.

use crate::examples;
use crate::random::{Random, Values, arguments, same_bits};
use kc_ir::tensor::{Literal, interpret};
use kc_ir::{DType, TensorType};
use kc_passes::{MathMode, SaturationOptions, Target, saturate};

/// Keras' own comparison of floats: `numpy.testing.assert_allclose` with these.
const RELATIVE: f64 = 1e-5;
const ABSOLUTE: f64 = 1e-6;

fn values(name: &str, ty: &TensorType) -> Values {
    match name {
        "label" => Values::Below(10),
        "character" | "word" | "class" => Values::Below(20),
        "variance" | "second_moment" | "weight" | "learning_rate" => Values::Shares,
        "iterations" => Values::Below(100),
        _ if ty.dtype == DType::F32 => Values::Within(0.1),
        _ => Values::Special,
    }
}

fn close(before: &Literal, after: &Literal) -> Result<(), String> {
    if !before.dtype().is_float() {
        return same_bits(before, after);
    }
    let pairs = before.scalars().zip(after.scalars()).map(|(x, y)| (x.to_f64(), y.to_f64()));
    for (at, (x, y)) in pairs.enumerate() {
        let difference = (x - y).abs();
        if difference.is_nan() || difference > ABSOLUTE + RELATIVE * x.abs() {
            return Err(format!("element {at} is {x} against {y}"));
        }
    }
    Ok(())
}

#[test]
fn steps_give_the_same_bits_by_exact_rules_and_keras_numbers_by_all() {
    for (name, graph) in examples::all() {
        let given = arguments(&mut Random::new(3), &graph, 3, values);
        let before = interpret(&graph, &given).unwrap();
        for math in [MathMode::Strict, MathMode::Default] {
            let compare = if math == MathMode::Strict { same_bits } else { close };
            let options = SaturationOptions { math, ..SaturationOptions::default() };
            let after = interpret(&saturate(&graph, &Target::baseline(), &options).unwrap().graph, &given).unwrap();
            for (position, (before, after)) in before.iter().zip(&after).enumerate() {
                compare(before, after).unwrap_or_else(|error| panic!("{name}, {math:?}, result {position}: {error}"));
            }
        }
    }
}
