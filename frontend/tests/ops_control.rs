//! Control flow of `kc::ops` beside what Keras gives for the same closures.

use kc::ops::{self, Expression, Tensor};
use kc::prelude::*;

fn array(values: &[f32], shape: &[usize]) -> Array {
    Array::from_slice(values, shape).expect("as many values as the shape has")
}

fn x() -> Tensor {
    [1.0, -2.0, 3.0].into()
}

fn m() -> Tensor {
    [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]].into()
}

#[track_caller]
fn check(tensors: &[&Tensor], expected: &[&[f32]]) {
    let tensors: Vec<Tensor> = tensors.iter().map(|&tensor| ops::cast(tensor, "float32")).collect();
    let found = ops::evaluate(&tensors).expect("they can be computed");
    let found: Vec<Vec<f32>> = found.iter().map(|array| array.as_slice::<f32>().expect("floats").to_vec()).collect();
    assert_eq!(found, expected);
}

#[test]
fn only_the_chosen_branch_counts() -> kc::Result<()> {
    for (sign, first, second) in [(1.0, [2.0, -4.0, 6.0], 3.0), (-1.0, [0.0, -3.0, 2.0], -2.0)] {
        let positive = (ops::sum(x()) * sign).greater(0);
        let chosen = ops::cond(positive, || (x() * 2, ops::max(x()).into()), || (x() - 1, ops::min(x()).into()));
        check(&[&chosen.0, &chosen.1], &[&first, &[second]]);
    }
    let outcomes = [(-1, [3.0, 0.0, 5.0]), (0, [3.0, 0.0, 5.0]), (1, [2.0, -4.0, 6.0]), (5, [-1.0, -4.0, 1.0])];
    for (index, expected) in outcomes {
        let branches: Vec<ops::Branch<'_, (Tensor, Tensor), Tensor>> =
            vec![Box::new(|(a, b)| a + b), Box::new(|(a, b)| a * b), Box::new(|(a, b)| a - b)];
        check(&[&ops::switch(index, branches, (x(), Tensor::from(2.0)))?], &[&expected]);
    }
    Ok(())
}

#[test]
fn loops_carry_tuples() -> kc::Result<()> {
    let first = || ops::get_item(x(), 0);
    let round = || {
        ops::while_loop(
            |(i, _): (Tensor, Tensor)| i.less(5),
            |(i, v)| (&i + 1, v * 0.5 + first() * i),
            (Tensor::from(0), x()),
        )
    };
    let (count, value) = round().results();
    check(&[&count, &value], &[&[5.0], &[6.15625, 6.0625, 6.21875]]);
    let (count, value) = round().maximum_iterations(3).results();
    check(&[&count, &value], &[&[3.0], &[2.625, 2.25, 2.875]]);
    check(&[&ops::fori_loop(1, 4, |i, v| v * i + x(), x())], &[&[16.0, -32.0, 48.0]]);
    // a number of rounds that is known when it runs
    let upper = ops::sum([1, 3]);
    check(&[&ops::fori_loop(1, upper, |i, v| v * i + x(), x())], &[&[16.0, -32.0, 48.0]]);
    Ok(())
}

#[test]
fn scans_stack_what_each_round_gives() -> kc::Result<()> {
    let scan = || ops::scan(|c: Tensor, e: Tensor| (&c * 0.5 + ops::sum(&e), c - e), Tensor::from(1.0), m());
    let (last, outputs) = scan().results()?;
    check(&[&last, &outputs], &[&[15.375], &[0.0, -1.0, 0.5, -0.5, 3.75, 2.75]]);
    let (last, outputs) = scan().reverse(true).results()?;
    check(&[&last, &outputs], &[&[9.375], &[11.75, 10.75, 8.5, 7.5, -4.0, -5.0]]);
    let (last, outputs) = ops::scan(|c: Tensor, ()| (&c * 2, c + 1), Tensor::from(1.0), ()).length(3i64).results()?;
    check(&[&last, &outputs], &[&[8.0], &[2.0, 3.0, 5.0]]);
    let scaled = ops::map(|e: Tensor| ops::sum(e) * ops::get_item(x(), (..2,)), m())?;
    check(&[&scaled], &[&[3.0, -6.0, 7.0, -14.0, 11.0, -22.0]]);
    let distances = ops::vectorized_map(|e: Tensor| ops::max(&e) - e, m())?;
    check(&[&distances], &[&[1.0, 0.0, 1.0, 0.0, 1.0, 0.0]]);
    Ok(())
}

#[test]
fn vectorized_maps_take_and_give_structures() -> kc::Result<()> {
    // what does not depend on the elements is repeated, as `jax.vmap` does
    let both = |(a, [b, c]): (Tensor, [Tensor; 2])| (a + ops::sum(&b), [b * 2, Tensor::from(7.0)], vec![c]);
    let columns = ops::transpose(m());
    let (sums, [doubled, repeated], rest) = ops::vectorized_map(both, (x(), [m(), ops::transpose(&columns).into()]))?;
    check(&[&sums], &[&[4.0, 5.0, 14.0]]);
    check(&[&doubled, &repeated], &[&[2.0, 4.0, 6.0, 8.0, 10.0, 12.0], &[7.0, 7.0, 7.0]]);
    check(&[&rest[0]], &[&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]);
    // one inside of another: an outer product
    let row = |a: Tensor| ops::vectorized_map(|b: Tensor| a * b, x()).unwrap_or_else(|error| panic!("{error}"));
    check(&[&ops::vectorized_map(row, x())?], &[&[1.0, -2.0, 3.0, -2.0, 4.0, -6.0, 3.0, -6.0, 9.0]]);
    let none =
        ops::vectorized_map(|(a, b): (Tensor, Tensor)| a * b, (ops::zeros([0, 2]).into(), ops::zeros([0]).into()))?;
    assert_eq!(ops::evaluate(&[none])?[0].shape(), [0, 2]);
    let error = ops::vectorized_map(|(a, b): (Tensor, Tensor)| a * b, (x(), columns.into())).unwrap_err().to_string();
    assert!(error.contains("3") && error.contains("2"), "{error}");
    Ok(())
}

#[test]
fn regions_may_be_inside_of_each_other() -> kc::Result<()> {
    let first = || ops::get_item(x(), 0);
    let round = |c: Tensor, e: Tensor| {
        let next = ops::cond(c.greater(2), || &c - &e, || &c + &e * first());
        let output = ops::fori_loop(0, 2, |_, v| v + &c, e.clone());
        (next, output)
    };
    let (last, outputs) = ops::scan(round, Tensor::from(0.0), Tensor::from([1.0, 2.0, 3.0, 4.0])).results()?;
    check(&[&last, &outputs], &[&[4.0], &[1.0, 4.0, 9.0, 4.0]]);
    Ok(())
}

#[test]
fn associative_scans_combine_pairs() -> kc::Result<()> {
    let factors = array(&[0.5, 2.0, 1.0, -1.0, 3.0, 1.0, 1.0, 2.0, 0.5, 0.25], &[2, 5]);
    let addends = array(&[1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 1.0, 0.0, 1.0, 0.0], &[2, 5]);
    let pairs = (Tensor::from(&factors), Tensor::from(&addends));
    let after = |(a, b): (Tensor, Tensor), (c, d): (Tensor, Tensor)| (a * &c, c * b + d);
    let (product, sum) = ops::associative_scan(after, pairs.clone()).axis(1).results()?;
    let products = [0.5, 1.0, 1.0, -1.0, -3.0, 1.0, 1.0, 2.0, 1.0, 0.25];
    check(&[&product, &sum], &[&products, &[1.0, 4.0, 7.0, -3.0, -4.0, 0.0, 1.0, 2.0, 2.0, 0.5]]);
    let (product, sum) = ops::associative_scan(after, pairs).axis(-1).reverse(true).results()?;
    let products = [-3.0, -6.0, -3.0, -3.0, 3.0, 0.25, 0.25, 0.25, 0.125, 0.25];
    check(&[&product, &sum], &[&products, &[4.0, 6.0, 2.0, -1.0, 5.0, 3.0, 3.0, 2.0, 1.0, 0.0]]);
    Ok(())
}

#[test]
fn a_model_may_choose_and_loop() -> kc::Result<()> {
    let input = Input::new([2]);
    let summed = Tensor::from(&input);
    let chosen = ops::cond(ops::sum(&summed).greater(10), || &summed * 2, || &summed - 1);
    let looped = ops::fori_loop(0, 3, |i, v: Tensor| v + &summed * i, chosen);
    let model = Model::new(&input, looped)?;
    assert_eq!(model.predict(array(&[1.0, 2.0], &[1, 2]))?, array(&[3.0, 7.0], &[1, 2]));
    assert_eq!(model.predict(array(&[5.0, 6.0], &[1, 2]))?, array(&[25.0, 30.0], &[1, 2]));
    Ok(())
}

#[test]
fn mistakes_in_closures_come_out() {
    let wrong = ops::fori_loop(0, 3, |_, v: Tensor| ops::concatenate([&v, &v]).into(), x());
    let text = wrong.eval().expect_err("the carried value changes its shape").to_string();
    assert!(text.contains("`ops::fori_loop`"), "{text}");
    let branches: Vec<ops::Branch<'_, Tensor, Tensor>> = Vec::new();
    let text = ops::switch(0, branches, x()).expect_err("there is no branch").to_string();
    assert!(text.contains("expected at least one branch"), "{text}");
}

#[test]
fn complex_numbers_are_pairs() -> kc::Result<()> {
    let pairs = Tensor::from([[3.0, 4.0], [5.0, -12.0], [-6.0, 8.0]]);
    let complex = ops::view_as_complex(&pairs);
    assert_eq!(ops::view_as_real(&complex).eval()?, pairs.eval()?);
    check(&[&complex.conj().imag, &complex.abs()], &[&[-4.0, 12.0, -8.0], &[5.0, 13.0, 10.0]]);
    let turned = ops::nn::polar([2.0, 3.0], [0.0, 0.0]);
    check(&[&turned.real, &turned.imag], &[&[2.0, 3.0], &[0.0, 0.0]]);
    Ok(())
}

#[test]
fn a_function_may_say_its_derivative() -> kc::Result<()> {
    let f = || {
        ops::custom_gradient(|(a, b): (Tensor, Tensor)| {
            let e: Tensor = &a * &a;
            let output: (Tensor, Tensor) = (&e * &b, ops::sum(&a) * &b);
            (output, move |(u, v): (Tensor, Tensor)| (&u * 3 * e + v * x(), u * 10))
        })
    };
    let (a, b): (Tensor, Tensor) = ([1.0, -2.0, 0.5].into(), [2.0, 0.5, 4.0].into());
    let directions: (Tensor, Tensor) = ([1.0, 2.0, -1.0].into(), [1.0, -1.0, 3.0].into());
    let ((first, second), (d_first, d_second)) = ops::jvp(f(), (a.clone(), b.clone()), directions)?;
    check(&[&first, &second], &[&[2.0, 2.0, 1.0], &[-1.0, -0.25, -2.0]]);
    check(&[&d_first, &d_second], &[&[13.0, 14.0, 29.25], &[1.0, -4.0, -3.0]]);
    // within a loop, which goes back through the pullback of each round
    let looped = |a: Tensor| ops::fori_loop(0, 2, |_, v: Tensor| f()((v, b.clone())).0, a);
    let (value, derivative) = ops::jvp(looped, a, Tensor::from([1.0, 0.0, 1.0]))?;
    check(&[&value, &derivative], &[&[8.0, 2.0, 4.0], &[36.0, 0.0, 2.25]]);

    let wrong = ops::custom_gradient(|x: Tensor| (x, |u: Tensor| ops::sum(u).into()))(x());
    let text = wrong.eval().expect_err("the derivative is a scalar").to_string();
    assert!(text.contains("custom_gradient") && text.contains("expected the types of the operands"), "{text}");
    Ok(())
}

#[test]
fn a_function_may_be_computed_again() -> kc::Result<()> {
    let offset: Tensor = ops::exp(x());
    let f = |(a, b): (Tensor, Tensor)| -> (Tensor, Tensor) {
        let inner: Tensor = ops::sin(&a * &b + &offset);
        (&inner * &inner + &offset, ops::sum(inner * a).into())
    };
    let (a, b): (Tensor, Tensor) = ([1.0, -2.0, 0.5].into(), [2.0, 0.5, 4.0].into());
    let directions: (Tensor, Tensor) = ([1.0, 2.0, -1.0].into(), [1.0, -1.0, 3.0].into());
    let (at, along) = ((a.clone(), b), directions.clone());
    let (plain, plain_derivative) = ops::jvp(f, at.clone(), along.clone())?;
    let (again, derivative) = ops::jvp(kc::remat(f), at.clone(), along)?;
    for (found, expected) in [(again, plain), (derivative, plain_derivative)] {
        assert_eq!(ops::evaluate(&[found.0, found.1])?, ops::evaluate(&[expected.0, expected.1])?);
    }
    let (first, second) = kc::remat(f)(at);
    let (module, _) = ops::module(&[first, second])?;
    let nodes = &module.functions[0].graph.nodes;
    assert_eq!(nodes.iter().filter(|node| matches!(node.op, kc_ir::tensor::Op::Remat(_))).count(), 1);

    let wrong = kc::remat(|x: Tensor| -> Tensor { ops::reshape(x, [2, 2]) })(a);
    let text = wrong.eval().expect_err("3 elements").to_string();
    assert!(text.contains("`ops::reshape`"), "{text}");
    Ok(())
}

#[test]
fn functions_of_elements_are_applied_to_tensors() -> kc::Result<()> {
    let column = || Tensor::from([[1.0], [2.0]]);
    let sums: Tensor = ops::vectorize(|(a, b): (Tensor, Tensor)| a + b * 2).call((column(), x()))?;
    check(&[&sums], &[&[3.0, -3.0, 7.0, 4.0, -2.0, 8.0]]);
    let matrices = ops::stack([m(), m() * -1]).into();
    let products: Tensor =
        ops::vectorize(product_of).signature("(m,n),(n)->(m)").call((matrices, [1.0, 10.0].into()))?;
    check(&[&products], &[&[21.0, 43.0, 65.0, -21.0, -43.0, -65.0]]);
    assert_eq!(products.eval()?.shape(), [2, 3]);
    let both = |(a, b): (Tensor, Tensor)| -> (Tensor, Tensor) { (ops::sum(&a) * b, ops::flip(a).into()) };
    let (sums, flipped): (Tensor, Tensor) = ops::vectorize(both).signature("(n),()->(),(n)").call((m(), column()))?;
    check(&[&sums], &[&[3.0, 7.0, 11.0, 6.0, 14.0, 22.0]]);
    check(&[&flipped], &[&[2.0, 1.0, 4.0, 3.0, 6.0, 5.0, 2.0, 1.0, 4.0, 3.0, 6.0, 5.0]]);
    assert_eq!(flipped.eval()?.shape(), [2, 3, 2]);
    let scaled: Tensor = ops::vectorize(|(a, b): (Tensor, Tensor)| a * ops::sum(b)).excluded([1]).call((x(), m()))?;
    check(&[&scaled], &[&[21.0, -42.0, 63.0]]);

    let mistakes = [
        ("(n),(n)->()", "`n`"),
        ("(n,m)->(n)", "1 arguments"),
        ("(n->()", "no signature"),
        ("(k,m),(m,n)->()", "other axes"),
    ];
    for (signature, expected) in mistakes {
        let columns: Tensor = ops::transpose(m()).into();
        let wrong = ops::vectorize(product_of).signature(signature).call((m(), columns));
        let text = wrong.expect_err("the signature does not fit").to_string();
        assert!(text.contains("`ops::vectorize`") && text.contains(expected), "{signature}: {text}");
    }
    Ok(())
}

fn product_of((a, b): (Tensor, Tensor)) -> Tensor {
    ops::matmul(a, b)
}
