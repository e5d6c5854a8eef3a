//! `kc::ops`: the same functions on arrays, on symbolic tensors, and in layers.

use kc::ops::{self, Expression, Tensor};
use kc::prelude::*;
use kc_ir::tensor::{Graph, Value};

fn array(values: &[f32], shape: &[usize]) -> Array {
    Array::from_slice(values, shape).expect("as many values as the shape has")
}

/// `max(x, axis=-1) * 2 - mean(x)`, then itself once more.
fn expression(x: impl Into<Tensor>) -> Tensor {
    let x = x.into();
    let once = ops::max(&x).axis(-1).keepdims(true) * 2 - ops::mean(&x);
    &once + &once
}

#[derive(Clone, Debug)]
struct Custom {
    base: Base,
}

impl Layer for Custom {
    fn base(&self) -> &Base {
        &self.base
    }
    fn base_mut(&mut self) -> &mut Base {
        &mut self.base
    }
    fn forward(&self, scope: &mut Scope, inputs: &[Value]) -> kc::Result<Vec<Value>> {
        let x = scope.tensor(inputs[0]);
        Ok(vec![scope.build(expression(x))?])
    }
}

#[test]
fn a_function_is_one_on_arrays_in_models_and_in_layers() -> kc::Result<()> {
    let x = array(&[1.0, 2.0, 3.0, 6.0], &[2, 2]);
    let right = array(&[2.0, 18.0], &[2, 1]);
    assert_eq!(expression(&x).eval()?, right);

    let input = Input::new([2]);
    let model = Model::new(&input, expression(&input))?;
    assert_eq!(model.predict(&x)?, right);
    let classes: Vec<&str> = model.layers()?.iter().map(|layer| layer.base().class()).collect();
    assert_eq!(classes, ["InputLayer", "Max", "Multiply", "Mean", "Subtract", "Add"]);

    let layer = Custom { base: Base::new("Custom") };
    let model = Model::new(&input, &layer.call(&input)?)?;
    assert_eq!(model.predict(&x)?, right);
    Ok(())
}

#[test]
fn functions_are_known_by_their_types_before_they_are_computed() -> kc::Result<()> {
    let input = Input::new([28, 28]).dtype("uint8");
    let text = |tensor: Tensor| Ok::<_, kc::Error>(format!("{} {}", tensor.dtype()?, kc::shape_text(&tensor.shape()?)));
    let x = ops::Tensor::from(&input);
    assert_eq!(text(ops::reshape(&x, [-1, 784]) / 255.0)?, "f32 (None, 784)");
    assert_eq!(text(ops::reshape(&x, [-1, 7]) + 1)?, "u8 (None, 7)");
    assert_eq!(text(ops::sum(&x).axis([0, -1]).into())?, "u32 (28,)");
    assert_eq!(text(ops::matmul(&x, ops::reshape(&x, [-1, 28, 28])))?, "u8 (None, 28, 28)");
    Ok(())
}

#[test]
fn a_mistake_names_the_function_what_was_given_and_the_line() {
    let line = line!() + 1;
    let wrong = ops::max(array(&[1.0; 6], &[2, 3])).axis(2);
    // what is made of a mistake carries it
    let error = (ops::exp(wrong) + 1).eval().expect_err("there is no axis 2");
    let expected = format!(
        "`ops::max`: got float32 (2, 3): axis 2 is out of range, expected one from -2 to 1\n  --> {}:{line}",
        file!()
    );
    assert_eq!(error.to_string(), expected);
    let line = line!() + 1;
    let error = (Tensor::from([1.0, 2.0]) * [1.0, 2.0, 3.0]).eval().expect_err("2 and 3 are no shape");
    let expected = format!(
        "`ops::multiply`: got float32 (2,) and float32 (3,): f32[2] and f32[3] cannot be broadcast to one shape\n  --> {}:{line}",
        file!()
    );
    assert_eq!(error.to_string(), expected);
    let line = line!() + 1;
    let error = ops::zeros([1i64 << 40, 1 << 40]).eval().expect_err("no machine has as much memory");
    let expected = format!(
        "`ops::zeros`: f32[1099511627776, 1099511627776] is too large, expected at most 64 TiB\n  --> {}:{line}",
        file!()
    );
    assert_eq!(error.to_string(), expected);
    assert!(ops::zeros([1i64 << 45]).eval().expect_err("this too").to_string().contains("is too large"));
    let message = |tensor: Tensor| {
        let text = tensor.eval().expect_err("a mistake").to_string();
        text.split_once("\n  --> ").expect("a place").0.to_string()
    };
    assert_eq!(message(kc::random::uniform([2, -3]).seed(1).into()), "`ops::uniform`: an extent cannot be -3");
    let matrix = array(&[1.0; 6], &[2, 3]);
    assert_eq!(
        message(ops::slice(&matrix, [0, 1], [2, 4])),
        "`ops::slice`: got float32 (2, 3): the box has the extent 4 on axis 1, expected at most 3, or -1 for all from the start"
    );
    assert_eq!(
        message(ops::norm(&matrix).ord(7).axis([0, 1]).into()),
        "`ops::norm`: got float32 (2, 3): matrices have no norm of the order 7, expected `fro`, `nuc`, 1, -1, 2, -2, infinity or -infinity"
    );
    assert_eq!(
        message(ops::exp(&Input::new([2]))),
        "symbolic tensor: float32 (None, 2) of a functional model has no value here: make a model of it, `Model::new(&inputs, &outputs)`"
    );
    let error = Model::new(Input::new([2]), ops::exp(1.0)).expect_err("no input is used");
    assert!(error.to_string().contains("depends on no symbolic tensor"), "{error}");
}

#[test]
fn what_is_shared_is_built_once() -> kc::Result<()> {
    let mut x = Tensor::from([1.0, 2.0]);
    // 2^64 additions if it were not
    for _ in 0..64 {
        x = &x + &x;
    }
    let (module, arrays) = ops::module(&[x])?;
    assert_eq!((module.functions[0].graph.nodes.len(), arrays.len()), (65, 1));
    Ok(())
}

#[test]
fn long_chains_need_no_stack() -> kc::Result<()> {
    let chain = |mut x: Tensor| {
        for _ in 0..100_000 {
            x = -x;
        }
        x
    };
    let nodes = |graph: &Graph| graph.nodes.len();
    let (module, _) = ops::module(&[chain(Tensor::from([1.0, 2.0]))])?;
    assert_eq!(nodes(&module.functions[0].graph), 100_001);
    let input = Input::new([2]);
    let symbolic = kc::AsTensor::as_tensor(&chain((&input).into()))?;
    assert_eq!(symbolic.shape_text(), "(None, 2)");
    Ok(())
}

#[test]
fn numbers_take_the_width_of_what_they_meet() -> kc::Result<()> {
    let x = Array::from_slice(&[1.0f64], &[1])?;
    assert_eq!((&Tensor::from(&x) + 0.1).eval()?.as_slice::<f64>()?, [1.1]);
    assert_eq!((Tensor::from([1, 2]) + 0.5).eval()?, array(&[1.5, 2.5], &[2]));
    assert_eq!((7 % Tensor::from([-4, 4])).eval()?.as_slice::<i32>()?, [-1, 3]);
    Ok(())
}

#[test]
fn expressions_of_one_form_share_their_code_and_all_share_threads() -> kc::Result<()> {
    // enough work for the threads to start, in several forms, from several threads
    let sum = |size: usize, shift: f64| -> kc::Result<f32> {
        let x = Array::from_slice(&vec![1.0f32; size], &[size])?;
        Ok(ops::sum(Tensor::from(&x) * 2 + shift).eval()?.as_slice::<f32>()?[0])
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|n| scope.spawn(move || (0..4).map(|i| sum(1 << 18, f64::from(n + i))).collect())).collect();
        for (n, thread) in threads.into_iter().enumerate() {
            let sums: kc::Result<Vec<f32>> = thread.join().expect("no thread fails");
            let right: Vec<f32> = (0..4).map(|i| (1 << 18) as f32 * (2 + n + i) as f32).collect();
            assert_eq!(sums?, right);
        }
        Ok(())
    })
}

#[test]
fn elements_are_taken_by_position_range_and_tensor() -> kc::Result<()> {
    let x = Tensor::from([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
    let taken = |key: ops::Indices, values: &[f32], shape: &[usize]| -> kc::Result<()> {
        assert_eq!(ops::get_item(&x, key).eval()?, array(values, shape));
        Ok(())
    };
    // as Keras gives them
    taken((.., Tensor::from([2, -1, 0])).into(), &[2.0, 2.0, 0.0, 5.0, 5.0, 3.0], &[2, 3])?;
    taken((Tensor::from([[0, 1]]), 1).into(), &[1.0, 4.0], &[1, 2])?;
    taken(Tensor::from([5, -7]).into(), &[3.0, 4.0, 5.0, 0.0, 1.0, 2.0], &[2, 3])?;
    taken((ops::Index::Ellipsis, ops::Index::NewAxis, Tensor::from(2)).into(), &[2.0, 5.0], &[2, 1])?;
    taken((-1, 1..3).into(), &[4.0, 5.0], &[2])?;
    let error = ops::get_item(&x, (&x.less(1.0), 0)).eval().expect_err("a mask has no known shape");
    assert!(error.to_string().contains("expected integers"), "{error}");
    Ok(())
}

#[test]
fn optional_integers_are_one_number_or_several() -> kc::Result<()> {
    let x = array(&[1.0, 3.0, 2.0, 4.0], &[1, 4, 1]);
    assert_eq!(ops::max_pool(&x, 2).eval()?.shape(), [1, 2, 1]);
    assert_eq!(ops::max_pool(&x, 2).strides(1).eval()?.shape(), [1, 3, 1]);
    assert_eq!(ops::max_pool(&x, 2).strides([1]).eval()?.shape(), [1, 3, 1]);
    Ok(())
}

#[test]
fn integers_that_no_int32_holds_are_an_error() {
    let error = kc::ops::add([3_000_000_000i64, 5], [1i64, 2]).eval().map(drop).unwrap_err().to_string();
    assert!(error.contains("3000000000 does not fit int32"), "{error}");
    let wide = kc::Array::from_slice(&[3_000_000_000i64], &[1]).unwrap();
    assert_eq!(kc::ops::add(wide, [1i64]).eval(), Ok(kc::Array::from_slice(&[3_000_000_001i64], &[1]).unwrap()));
}
