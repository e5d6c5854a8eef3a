//! Factors whose signs and order are free, checked by what they make; derivatives in a direction.

use kc::ops::{self, Expression, Tensor};

fn values(tensor: impl Into<Tensor>) -> Vec<f32> {
    let array = tensor.into().eval().expect("it can be computed");
    array.as_slice::<f32>().expect("floats").to_vec()
}

#[track_caller]
fn close(found: impl Into<Tensor>, expected: impl Into<Tensor>) {
    let (found, expected) = (values(found), values(expected));
    assert_eq!(found.len(), expected.len());
    let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 2e-5, "{found:?} differs from {expected:?} by {worst}");
}

fn matrix() -> Tensor {
    ops::reshape(vec![4.0, 1.0, -2.0, 0.5, 3.0, 1.5, -1.0, 2.0, 5.0], [3, 3])
}

#[test]
fn factors_make_the_matrix() {
    let tall = ops::concatenate([
        matrix(),
        ops::get_item(matrix(), ops::Index::Range { start: Some(0), stop: Some(2), step: 1 }),
    ]);
    let [u, s, vt] = ops::svd(&tall).full_matrices(false).results();
    close(ops::matmul(u * s, vt), &tall);
    let [u, _, vt] = ops::svd(&tall).results();
    close(ops::matmul(ops::transpose(&u), &u), ops::identity(5));
    close(ops::matmul(&vt, ops::transpose(&vt)), ops::identity(3));

    let symmetric = matrix() + ops::transpose(matrix());
    let [w, v] = ops::eigh(&symmetric).results();
    close(ops::matmul(&v * w, ops::transpose(&v)), &symmetric);

    // of `(a + b i)(c + d i)` the parts are `a c - b d` and `a d + b c`
    let turning = ops::reshape(vec![0.0, -1.0, 0.5, 1.0, 0.0, 0.0, 0.25, 0.0, 2.0], [3, 3]);
    let (w, v) = ops::eig(&turning);
    close(ops::matmul(&turning, &v.real), &v.real * &w.real - &v.imag * &w.imag);
    close(ops::matmul(&turning, &v.imag), &v.real * &w.imag + &v.imag * &w.real);
}

#[test]
fn derivatives_in_a_direction() -> kc::Result<()> {
    let (x, t): (Tensor, Tensor) = ([1.0, 2.0, -0.5].into(), [3.0, -1.0, 2.0].into());
    let (value, derivative) = ops::jvp(|x: Tensor| &x * &x, x.clone(), t.clone())?;
    close(value, [1.0, 4.0, 0.25]);
    close(derivative, [6.0, -4.0, -2.0]);
    // several primals, several results, and what is read from outside
    let scale = Tensor::from([2.0, 0.5, 4.0]);
    let both = |(a, b): (Tensor, Tensor)| (ops::sum(&a * &b * &scale).into(), ops::exp(&a));
    let ((sum, exponential), (d_sum, d_exponential)): ((Tensor, Tensor), (Tensor, Tensor)) =
        ops::jvp(both, (x.clone(), t.clone()), (t.clone(), x.clone()))?;
    close(sum, Tensor::from([1.0]) * (6.0 - 1.0 - 4.0));
    close(exponential, ops::exp(&x));
    close(d_sum, ops::sum((&t * &t + &x * &x) * &scale));
    close(d_exponential, ops::exp(&x) * &t);
    // one tensor twice, along two directions
    let product = |(a, b): (Tensor, Tensor)| -> Tensor { &a * &b * &b };
    let (_, derivative) = ops::jvp(product, (x.clone(), x.clone()), (t.clone(), x.clone()))?;
    close(derivative, &x * &x * &t + 2 * (&x * &x * &x));
    let wrong = ops::jvp(|x: Tensor| x, Tensor::from([1.0]), Tensor::from([1.0, 2.0]));
    assert!(wrong.expect_err("the types differ").to_string().contains("`ops::jvp`"));
    Ok(())
}

/// Squares are added until the largest element is above 100: as often as the numbers say.
#[test]
fn derivatives_in_a_direction_go_through_loops_of_any_length() -> kc::Result<()> {
    let scale = Tensor::from([0.5, 0.25]);
    let repeated = |x: Tensor| -> Tensor {
        let (x, count): (Tensor, Tensor) = ops::while_loop(
            |(x, _): (Tensor, Tensor)| ops::max(x).less(100),
            |(x, count): (Tensor, Tensor)| (&x + &x * &x * &scale, count + 1),
            (ops::sin(&x) + 2, Tensor::from(0)),
        )
        .results();
        x * count
    };
    let (value, derivative) = ops::jvp(repeated, Tensor::from([0.5, -1.0]), Tensor::from([2.0, 1.0]))?;
    let mut x = [0.5f64.sin() + 2.0, (-1f64).sin() + 2.0];
    let mut t = [2.0 * 0.5f64.cos(), (-1f64).cos()];
    let mut rounds = 0.0;
    while x[0].max(x[1]) < 100.0 {
        for (i, scale) in [0.5, 0.25].into_iter().enumerate() {
            t[i] *= 1.0 + 2.0 * scale * x[i];
            x[i] += scale * x[i] * x[i];
        }
        rounds += 1.0;
    }
    let share = |found: Tensor, right: [f64; 2]| found / Tensor::from(right.map(|right| (rounds * right) as f32));
    close(share(value, x), [1.0, 1.0]);
    close(share(derivative, t), [1.0, 1.0]);
    Ok(())
}
