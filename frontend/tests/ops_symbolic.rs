//! `kc::ops` on tensors with an unknown batch: shapes and dtypes as Keras infers them, and the numbers of arrays.

use kc::ops::{self, Index, Tensor};
use kc::prelude::*;

type Row = (&'static str, fn(&Tensor, &Tensor) -> Tensor);

/// What Keras infers for `x` of `(None, 3, 4)` and `i`, which is of integers, and the function.
const TABLE: &[Row] = &[
    ("(None, 3, 4) float32", |x, _| x + 1),
    ("(None, 3, 4) float32", |x, i| x / i),
    ("(None, 3, 4) float32", |_, i| i / 2),
    ("(None, 3, 4) int32", |_, i| i % 3),
    ("(None, 3, 4) float32", |x, _| ops::add(x, [1.0, 2.0, 3.0, 4.0])),
    ("(None, 3, 4) float32", |_, i| ops::sqrt(ops::abs(i))),
    ("(None, 3, 4) float32", |x, _| ops::round(x).into()),
    ("(None, 3, 4) bool", |x, i| ops::less(x, i)),
    ("(None, 3, 4) float32", |x, i| ops::where_(x.greater(0), x, i)),
    ("(None, 3, 4) float32", |x, _| ops::clip(x, -1.0, 1.0)),
    ("() float32", |x, _| ops::sum(x).into()),
    ("(3, 4) int32", |_, i| ops::sum(i).axis(0).into()),
    ("(1, 3, 1) float32", |x, _| ops::sum(x).axis([0, 2]).keepdims(true).into()),
    ("(None, 3) float32", |_, i| ops::mean(i).axis(-1).into()),
    ("(3, 4) float32", |x, _| ops::std(x).axis(0).into()),
    ("(None, 4) float32", |x, _| ops::prod(x).axis(1).into()),
    ("(None,) int32", |_, i| ops::max(i).axis([1, 2]).into()),
    ("(None, 3) int32", |x, _| ops::argmax(x).axis(-1).into()),
    ("(3, 4) int32", |x, _| ops::argmax(x).axis(0).into()),
    ("(None, 4) bool", |_, i| ops::all(i).axis(1).into()),
    ("(3, 4) int32", |x, _| ops::count_nonzero(x).axis(0).into()),
    ("(None, 4) float32", |x, _| ops::average(x).axis(1).weights([1.0, 2.0, 3.0]).into()),
    ("(None, 4) float32", |x, _| ops::nanmean(x).axis(1).into()),
    ("(None, 4) float32", |x, _| ops::median(x).axis(1).into()),
    ("(3, 4) float32", |x, _| ops::median(x).axis(0).into()),
    ("(2, None, 3) float32", |x, _| ops::quantile(x, [0.25, 0.5]).axis(2).into()),
    ("(None, 3, 4) float32", |x, _| ops::cumsum(x).axis(0).into()),
    ("(None, 3, 4) int32", |_, i| ops::cumsum(i).axis(1).into()),
    ("(None, 3, 4) float32", |x, _| ops::sort(x).axis(0).into()),
    ("(None, 3, 4) int32", |x, _| ops::argsort(x).axis(1).into()),
    ("(None, 12) float32", |x, _| ops::reshape(x, [-1, 12])),
    ("(None, 2, 6) float32", |x, _| ops::reshape(x, [-1, 2, 6])),
    ("(None, 4) float32", |x, _| ops::reshape(x, [-1, 4])),
    ("(None,) float32", |x, _| ops::ravel(x)),
    ("(4, 3, None) float32", |x, _| ops::transpose(x).into()),
    ("(3, 4, None) float32", |x, _| ops::moveaxis(x, 0, -1)),
    ("(1, None, 3, 4, 1) float32", |x, _| ops::expand_dims(x, [0, -1])),
    ("(None, 3, 4) float32", |x, _| ops::squeeze(ops::expand_dims(x, 1)).axis(1).into()),
    ("(None, 3, 4) float32", |x, _| ops::flip(x).axis(0).into()),
    ("(None, 3, 4) float32", |x, _| ops::flip(x).into()),
    ("(None, 3, 4) float32", |x, _| ops::roll(x, 2).axis(1).into()),
    ("(None, 3, 4) float32", |x, _| ops::repeat(x, 2).axis(0).into()),
    ("(None, 3, 12) float32", |x, _| ops::repeat(x, 3).axis(2).into()),
    ("(None, 6, 4) float32", |x, _| ops::tile(x, [1, 2, 1])),
    ("(None, 6, 4) float32", |x, i| ops::concatenate([x, i]).axis(1).into()),
    ("(None, 2, 3, 4) float32", |x, _| ops::stack([x, x]).axis(1).into()),
    ("(None, 6, 4) float32", |x, _| ops::pad(x, [(0, 0), (1, 2), (0, 0)]).into()),
    ("(None, 6, 7) float32", |x, _| ops::pad(x, [(0, 0), (1, 2), (3, 0)]).mode("reflect").into()),
    ("(None, 2, 4) float32", |x, _| ops::diff(x).axis(1).into()),
    ("(None, 3) float32", |x, _| ops::diagonal(x).axis1(1).axis2(2).into()),
    ("(None,) float32", |x, _| ops::trace(x).axis1(1).axis2(2).into()),
    ("(None, 3, 4) float32", |x, _| ops::tril(x).into()),
    ("(None, 4) float32", |x, _| ops::get_item(x, (.., 0))),
    ("(None, 3, 2) float32", |x, _| ops::get_item(x, (Index::Ellipsis, 1..3))),
    ("(3, 4) float32", |x, _| ops::get_item(x, -1)),
    ("(None, 3, 4) float32", |x, _| ops::get_item(x, (.., Index::Range { start: None, stop: None, step: -1 }))),
    ("(None, 2, 4) float32", |x, _| ops::take(x, [2, 0]).axis(1).into()),
    ("(3, 3, 4) float32", |x, _| ops::take(x, [0, 1, 0]).axis(0).into()),
    ("(None, 3, 4) float32", |x, _| ops::take_along_axis(x, ops::argsort(x).axis(1)).axis(1).into()),
    ("(None, 3, 3) float32", |x, _| ops::matmul(x, ops::transpose(x).axes([0, 2, 1]))),
    ("(None, 3, 2) float32", |x, _| ops::matmul(x, ops::ones([4, 2]))),
    ("(None, 3, 3) float32", |x, _| ops::einsum("bij,bkj->bik", [x, x])),
    ("(4,) float32", |x, _| ops::einsum("bij->j", [x])),
    ("(None, 2) float32", |x, _| ops::tensordot(x, ops::ones([3, 4, 2])).axes(2).into()),
    ("(None, 3) float32", |x, _| ops::dot(x, ops::ones([4]))),
    ("(None, 3, 4) int32", |_, i| ops::zeros_like(i).into()),
    ("(None, 3, 4) int32", |x, _| ops::digitize(x, [-1.0, 0.0, 1.0])),
    ("(None, 3, 4) bool", |x, _| ops::isnan(x)),
    ("(None, 3, 4) bool", |x, _| ops::logical_not(x)),
    ("(None, 2) float32", |x, _| ops::outer(x, [1.0, 2.0])),
    ("(5, 3, 4) float32", |x, _| ops::broadcast_to(ops::mean(x).axis(0), [5, 3, 4])),
    ("(3, 4) float32", |x, _| ops::trapezoid(x).axis(0).into()),
    ("(None, 6, 4) float32", |x, i| ops::append(x, i).axis(1).into()),
];

#[test]
fn types_are_what_keras_infers_and_numbers_are_those_of_arrays() -> kc::Result<()> {
    let (x_input, i_input) = (Input::new([3, 4]), Input::new([3, 4]).dtype("int32"));
    let (x, i): (Tensor, Tensor) = ((&x_input).into(), (&i_input).into());
    let numbers: Vec<f32> = (0..60).map(|n| ((n * 37 % 61) as f32 - 30.0) / 8.0).collect();
    let x_array = Array::from_slice(&numbers, &[5, 3, 4])?;
    let i_array =
        Array::from_slice(&numbers.iter().map(|x| (x * 3.0) as i32 * 2 + 1).collect::<Vec<i32>>(), &[5, 3, 4])?;
    let mut per_sample = Vec::new();
    let mut right = Vec::new();
    for (position, (expected, function)) in TABLE.iter().enumerate() {
        let tensor = function(&x, &i);
        let found = format!("{} {}", kc::shape_text(&tensor.shape()?), tensor.dtype()?.keras_name());
        assert_eq!(found, *expected, "row {position}: {tensor:?}");
        // a model gives what has the batch as its first axis
        let is_batch = tensor.shape()?.first().is_some_and(|extent| *extent == Dim::symbol("B"));
        if is_batch && tensor.dtype()? != DType::Bool {
            per_sample.push(tensor);
            right.push((position, function(&(&x_array).into(), &(&i_array).into())));
        }
    }
    assert!(per_sample.len() > 40);
    let model = Model::new((&x_input, &i_input), &per_sample[..])?;
    let options = EvaluateOptions { verbose: Verbose::Silent, ..EvaluateOptions::default() };
    let ours = model.predict_with([&x_array, &i_array], &options)?;
    let eager: Vec<Tensor> = right.iter().map(|(_, tensor)| tensor.clone()).collect();
    for ((ours, right), (position, _)) in ours.iter().zip(ops::evaluate(&eager)?).zip(&right) {
        let (ours, right) = (ours.cast(DType::F64), right.cast(DType::F64));
        assert_eq!(ours.shape(), right.shape(), "row {position}");
        let pairs = ours.as_slice::<f64>()?.iter().zip(right.as_slice::<f64>()?);
        let worst = pairs.map(|(a, b)| (a - b).abs() / (1.0 + b.abs())).fold(0.0, f64::max);
        assert!(worst <= 1e-5, "row {position}: off by {worst}");
    }
    Ok(())
}
