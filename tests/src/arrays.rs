//! Arrays of the runtime and literals of the IR, and how two tensors are compared.

use kc_ir::DType;
use kc_ir::tensor::Literal;
use kc_runtime::Array;

/// The array as a literal.
pub fn literal(array: &Array) -> Literal {
    Literal::from_bytes(array.dtype(), array.shape().to_vec(), array.bytes()).expect("an array is as long as its shape")
}

/// The literal as an array.
pub fn array(literal: &Literal) -> Array {
    Array::from_bytes(literal.dtype(), literal.shape(), literal.bytes()).expect("a literal is as long as its shape")
}

/// The elements as f64.
pub fn values(array: &Array) -> Vec<f64> {
    literal(array).to_f64_vec()
}

/// How far a number may be from the right one: `atol + rtol * |right|`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// The absolute part.
    pub atol: f64,
    /// The part that grows with the number.
    pub rtol: f64,
}

/// What differs between a tensor and the right one; `None` where nothing does.
pub fn difference(what: &str, ours: &Array, right: &Array, tolerance: Tolerance) -> Option<String> {
    if ours.shape() != right.shape() {
        return Some(format!("{what}: its shape is {:?}, expected {:?}", ours.shape(), right.shape()));
    }
    if ours.dtype().is_float() != right.dtype().is_float() && right.dtype() != DType::F64 {
        return Some(format!("{what}: its dtype is {}, expected {}", ours.dtype(), right.dtype()));
    }
    let (ours, right) = (values(ours), values(right));
    let mut wrong = 0;
    let mut worst = (0.0, 0);
    for (position, (ours, right)) in ours.iter().zip(&right).enumerate() {
        let error = (ours - right).abs();
        let allowed = tolerance.atol + tolerance.rtol * right.abs();
        if ours == right || error <= allowed || (ours.is_nan() && right.is_nan()) {
            continue;
        }
        wrong += 1;
        // NaN where a number is expected is as wrong as can be
        let excess = if error.is_nan() { f64::INFINITY } else { error / allowed };
        if excess > worst.0 {
            worst = (excess, position);
        }
    }
    let position = worst.1;
    (wrong > 0).then(|| {
        format!(
            "{what}: {wrong} of {} elements are wrong, worst at {position}: {} expected {} ({:.3e} of tolerance {:.1e} + {:.1e} relative)",
            right.len(),
            ours[position],
            right[position],
            (ours[position] - right[position]).abs(),
            tolerance.atol,
            tolerance.rtol
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_tolerance_is_reported() {
        let tolerance = Tolerance { atol: 0.1, rtol: 0.01 };
        let right = Array::from_slice(&[1f32, 100.0, 0.0], &[3]).expect("three");
        let compare = |values: &[f32]| {
            difference("x", &Array::from_slice(values, &[values.len()]).expect("a vector"), &right, tolerance)
        };
        assert_eq!(compare(&[1.1, 101.0, -0.0625]), None);
        assert_eq!(
            compare(&[1.0, 103.0, 0.5]).as_deref(),
            Some(
                "x: 2 of 3 elements are wrong, worst at 2: 0.5 expected 0 (5.000e-1 of tolerance 1.0e-1 + 1.0e-2 relative)"
            )
        );
        assert!(compare(&[f32::NAN, 100.0, 0.0]).is_some_and(|text| text.contains("worst at 0: NaN expected 1")));
        assert_eq!(compare(&[1.0]).as_deref(), Some("x: its shape is [1], expected [3]"));
    }
}
