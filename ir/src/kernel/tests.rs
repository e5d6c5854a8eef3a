use super::interpret::{InterpretError, MultiplyAddRounding, run_kernel, run_kernel_rounding, run_program};
use super::*;
use crate::tensor::Literal;

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn to_floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

/// The verifier's message for a kernel with that body and the parameters `x`, `y` and scratch `s`.
fn refusal(body: &str) -> String {
    let header = "x: f32 read, y: f32 write, z: i32 readwrite; scratch s: f64[8]; dims 1";
    let kernel = parse_kernel(&format!("kernel k({header}) task t0 {{\n{body}\n}}")).unwrap();
    verify_kernel(&kernel).unwrap_err().to_string()
}

#[test]
fn the_verifier_says_what_is_wrong() {
    for (body, expected) in [
        ("%0: f32 = negate %0", "%0: %0 is used where it is not defined"),
        ("%0: f32 = negate %1", "%0: there is no register %1"),
        ("%0: f32x3 = constant 0.0", "header: %0 has 3 lanes; expected a power of two up to 1024"),
        ("%0: f32 = constant 1", "%0: the constant Int(1) is no value of f32"),
        ("%0: u8 = constant 256", "%0: the constant Int(256) is no value of u8"),
        ("%0: f32 = position t0 step 1", "%0: a position of type f32; expected integers"),
        ("%0: f32 = load y[0]", "%0: `y` is only written, but it is read here"),
        ("%0: f32 = load s[0]", "%0: a f32 is loaded from memory of f64"),
        ("%0: f32 = load @7[0]", "%0: there is no memory @7"),
        ("%0: f32 = load x[d1]", "%0: there is no d1; the kernel has 1 dimension parameters"),
        ("%0: f32 = load x[i3]", "%0: axis 3 is used outside of its loop"),
        ("%0: f32 = load x[t0//0]", "%0: `0` divides; expected a divisor above 0"),
        ("%0: f32 = constant 0.0\nstore x[0], %0", "store of %0: `x` is only read, but it is written here"),
        ("%0: f32 = constant 0.0\nstore y[%0], %0", "store of %0: %0 is a f32; expected a scalar integer in an index"),
        ("%0: f32x4 = constant 0.0\n%1: f32 = negate %0", "%1: the operands are (f32x4), expected (f32)"),
        ("%0: f32 = constant 0.0\n%1: f32 = and %0, %0", "%1: `and` of f32, which it does not take"),
        ("%0: f32 = constant 0.0\n%1: f32 = less %0, %0", "%1: the result are (f32), expected (bool)"),
        (
            "%0: f32 = constant 0.0\n%1: f32 = select %0, %0, %0",
            "%1: the operands are (f32, f32, f32), expected (bool, f32, f32)",
        ),
        ("%0: f32 = constant 0.0\n%1: i16 = bitcast %0", "%1: f32 as i16: they differ in size or are bool"),
        (
            "%0: bool = constant 1\n%1: bool = reduce_sum %0",
            "%1: a sum or product of bools; expected max (any) or min (all)",
        ),
        (
            "%0: f32 = constant 0.0\n%1: f32 = interleave_low %0, %0",
            "%1: `interleave_low` of one lane; expected two at least",
        ),
        ("%0: i32 = constant 0\n%1: i32 = math exp(%0)", "%1: `exp` of i32; expected f32 or f64"),
        ("%0: f32 = constant 0.0\n%1: f32 = math pow(%0)", "%1: the operands are (f32), expected (f32, f32)"),
        ("for i1 in 0..4 step 0 {\n}", "for i1: the step is 0, expected at least 1"),
        ("for i1 in 0..4 {\nfor i1 in 0..4 {\n}\n}", "for i1: the axis is defined by a surrounding loop too"),
        (
            "%0: f32 = constant 0.0\n(%1: f32) = for i1 in 0..4 carry (%2 = %0) {\n}",
            "for i1: the yielded values are (), expected (f32)",
        ),
        (
            "for i1 in 0..4 {\n%0: f32 = constant 0.0\n}\nstore y[0], %0",
            "store of %0: %0 is used where it is not defined",
        ),
        ("%0: f32 = constant 0.0\nif %0 {\n}", "if %0: the condition is a f32, expected a bool"),
        (
            "%0: bool = constant 0\n(%1: bool) = if %0 {\nyield %0\n}",
            "if %0: the values of the branch taken where false are (), expected (bool)",
        ),
        (
            "gemm y[0 strides 1, 1] += x[0 strides 1, 1] * x[0 strides 1, 1] size 1 by 1 by 1",
            "gemm: `y` is only written, but it is read here",
        ),
        (
            "gemm s[0 strides 1, 1] = x[0 strides 1, 1] * x[0 strides 1, 1] size 1 by 1 by 1",
            "gemm: the matrices are of f32, f32 and f64; expected f32 or f64 for all three",
        ),
        (
            "library argsort(x[0 strides 0, 1] size 1 by 2) to (s[0 strides 0, 1] size 1 by 2) with 0",
            "library argsort: got regions of (f32, f64), expected positions of u64",
        ),
        (
            "library fft(x[0 strides 0, 1] size 1 by 2) to (y[0 strides 0, 1] size 1 by 2) with 0",
            "library fft: got regions of (f32, f32), expected another number of regions",
        ),
        (
            "library cholesky(x[0 strides 2, 1] size 2 by 2) to (y[0 strides 2, 1] size 2 by 2) with 0",
            "library cholesky: got 1 attributes, expected 0",
        ),
        (
            "library cholesky(s[0 strides 2, 1] size 2 by 2) to (s[4 strides 2, 1] size 2 by 2)",
            "library cholesky: `s` is written, but it holds another region too",
        ),
    ] {
        assert_eq!(refusal(body), format!("kernel `k`, {expected}"), "of\n{body}");
    }
}

#[test]
fn parameters_stand_before_scratch() {
    let kernel = parse_kernel("kernel k(scratch s: f32[4]; x: f32 read; dims 0) task t0 {\n}").unwrap();
    let message = verify_kernel(&kernel).unwrap_err().to_string();
    assert_eq!(
        message,
        "kernel `k`, header: scratch memory stands before a buffer parameter; expected parameters first"
    );
}

const DENSE_RELU: &str = "
# y[B, 3] = max(x[B, 2] * w[2, 3], 0): a task a row
kernel dense_relu(x: f32 read, w: f32 read, y: f32 write; dims 0) task t0 {
  %0: f32x4 = constant 0.0
  (%1: f32x4) = for i1 in 0..2 carry (%2 = %0) {
    %3: f32 = load x[t0*2 + i1]
    %4: f32x4 = splat %3
    %5: f32x4 = load w[i1*3] count 3
    %6: f32x4 = multiply_add %4, %5, %2
    yield %6
  }
  %7: f32x4 = maximum %1, %0
  store y[t0*3], %7 count 3
}";

#[test]
fn a_dense_layer_is_executed() {
    let kernel = parse_kernel(DENSE_RELU).unwrap();
    let mut buffers = [floats(&[1.0, 2.0, -3.0, 4.0]), floats(&[1.0, 10.0, -1.0, 2.0, 20.0, 5.0]), vec![0xff; 24]];
    run_kernel(&kernel, &mut buffers, &[], 0..2).unwrap();
    assert_eq!(to_floats(&buffers[2]), [5.0, 50.0, 9.0, 5.0, 50.0, 23.0]);
}

#[test]
fn an_access_outside_of_memory_is_named() {
    let kernel = parse_kernel(DENSE_RELU).unwrap();
    let mut buffers = [floats(&[1.0; 4]), floats(&[1.0; 5]), vec![0; 24]];
    let error = run_kernel(&kernel, &mut buffers, &[], 0..2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "kernel `dense_relu`, task 0: load of 3 elements of `w` at position 3, but it has 5 elements"
    );
    let error = run_kernel(&kernel, &mut buffers[..2], &[], 0..2).unwrap_err();
    assert_eq!(error.to_string(), "kernel `dense_relu`: got 2 buffers, expected 3");
}

#[test]
fn carried_values_may_change_places() {
    let kernel = parse_kernel(
        "kernel swap(x: i32 readwrite; dims 1) task t0 {
           %0: i32 = load x[0]
           %1: i32 = load x[1]
           (%2: i32, %3: i32) = for i1 in 0..d0 carry (%4 = %0, %5 = %1) {
             yield %5, %4
           }
           store x[0], %2
           store x[1], %3
         }",
    )
    .unwrap();
    for (rounds, expected) in [(0, [1, 2]), (3, [2, 1]), (4, [1, 2]), (-1, [1, 2])] {
        let mut buffers = [vec![1, 0, 0, 0, 2, 0, 0, 0]];
        run_kernel(&kernel, &mut buffers, &[rounds], 0..1).unwrap();
        assert_eq!(buffers[0], [expected[0], 0, 0, 0, expected[1], 0, 0, 0], "after {rounds} rounds");
    }
}

#[test]
fn index_arithmetic_floors() {
    let kernel = parse_kernel(
        "kernel index(y: i64 write; dims 1) task t0 {
           %0: i64 = position d0//4 step 0
           %1: i64 = position d0%4 step 0
           %2: i64 = position min(d0, 3)*max(d0, -2) - d0*2 step 0
           store y[0], %0
           store y[1], %1
           store y[2], %2
         }",
    )
    .unwrap();
    for d in [-9i64, -4, -1, 0, 1, 7] {
        let mut buffers = [vec![0; 24]];
        run_kernel(&kernel, &mut buffers, &[d], 0..1).unwrap();
        let expected = [d.div_euclid(4), d.rem_euclid(4), d.min(3) * d.max(-2) - d * 2];
        assert_eq!(buffers[0].as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b)).collect::<Vec<_>>(), expected);
    }
    let kernel = parse_kernel("kernel k(dims 1) task t0 {\n for i1 in 0..1//d0 {\n }\n}");
    let error = run_kernel(&kernel.unwrap(), &mut [], &[0], 0..1).unwrap_err();
    assert_eq!(error, InterpretError::Divisor { kernel: "k".into(), task: 0, divisor: 0 });
}

#[test]
fn multiply_add_rounds_as_told() {
    let kernel = parse_kernel(
        "kernel k(x: f32 readwrite; dims 0) task t0 {
           %0: f32 = load x[0]
           %1: f32 = load x[1]
           %2: f32 = multiply_add %0, %0, %1
           store x[0], %2
         }",
    )
    .unwrap();
    // (1 + e)^2 - (1 + 2e) is e^2, which the rounded product loses
    let e = f32::EPSILON;
    for (rounding, expected) in [(MultiplyAddRounding::Twice, 0.0), (MultiplyAddRounding::Once, e * e)] {
        let mut buffers = [floats(&[1.0 + e, -(1.0 + 2.0 * e)])];
        run_kernel_rounding(&kernel, rounding, &mut buffers, &[], 0..1).unwrap();
        assert_eq!(to_floats(&buffers[0])[0], expected);
    }
}

#[test]
fn a_program_is_executed() {
    let program = parse_program(
        "program p(B) {
           buffer 0: f32[B, 2] input 0
           buffer 1: f32[2, 2] constant [1, 2, 3, 4]
           buffer 2: f32[B, 2] temporary
           buffer 3: f32[] state 0
           buffer 4: f32[B, 2] output 0
           step {
             launch product(0, 1, 2; B) tasks 1
           }
           step {
             launch scale(2, 3, 4; B*2) tasks (B*2 + 3)//4
             launch count(3) tasks 0
           }
           step {
             launch count(3) tasks 1
           }
         }
         kernel product(a: f32 read, b: f32 read, c: f32 write; dims 1) task t0 {
           gemm c[0 strides 2, 1] = a[0 strides 2, 1] * b[0 strides 1, 2] size d0 by 2 by 2
         }
         kernel scale(x: f32 read, factor: f32 read, y: f32 write; dims 1) task t0 {
           %0: f32 = load factor[0]
           %1: f32x4 = splat %0
           %2: f32x4 = load x[t0*4] count d0 - t0*4
           %3: f32x4 = multiply %1, %2
           store y[t0*4], %3 count d0 - t0*4
         }
         kernel count(x: f32 readwrite; dims 0) task t0 {
           %0: f32 = load x[0]
           %1: f32 = constant 1.0
           %2: f32 = add %0, %1
           store x[0], %2
         }",
    )
    .unwrap();
    let message = verify_program(&program).unwrap_err().to_string();
    assert_eq!(
        message,
        "kernel `scale`, program `p`, step 1, launch 0: buffer 3 is written by launch 1 of the same step"
    );
    let mut program = program;
    let Step::Launches(launches) = &mut program.steps[1] else { panic!() };
    launches.pop();
    let mut state = [Literal::f32(&[], &[10.0])];
    let inputs = [Literal::f32(&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0])];
    let outputs = run_program(&program, &[3], &inputs, &mut state).unwrap();
    // the second operand is read with swapped strides
    assert_eq!(outputs, [Literal::f32(&[3, 2], &[10.0, 30.0, 20.0, 40.0, 30.0, 70.0])]);
    assert_eq!(state, [Literal::f32(&[], &[11.0])]);
    let error = run_program(&program, &[2], &inputs, &mut state).unwrap_err();
    assert_eq!(error.to_string(), "program `p`, buffer 0: input 0 is f32[3, 2], expected f32[2, 2]");
}

#[test]
fn halves_round_once() {
    let (bf16, f16) = (crate::tensor::bf16_from_f64, crate::tensor::f16_from_f64);
    // just above the middle of two neighbours: two roundings would go to the even one below
    assert_eq!(bf16(1.0 + 2f64.powi(-8) + 2f64.powi(-40)).to_f64(), 1.0 + 2f64.powi(-7));
    assert_eq!(bf16(1.0 + 2f64.powi(-8)).to_f64(), 1.0);
    assert_eq!(f16(1.0 + 2f64.powi(-11) + 2f64.powi(-40)).to_f64(), 1.0 + 2f64.powi(-10));
    assert_eq!(f16(65520.0 - 1e-9).to_f64(), 65504.0);
    assert_eq!(f16(1e300).to_f64(), f64::INFINITY);
    assert_eq!(f16(-1e-300).to_bits(), 0x8000);
}

/// Values at the edges of rounding and overflow.
fn special_values(dtype: DType) -> Vec<Scalar> {
    if dtype.is_float() {
        let values =
            [0.0, -0.0, 1.0, -1.5, 2.5, 0.1, 3e4, 65504.0, -1e5, 1e-7, 6e-8, 1e-40, 1e30, -3e38, f64::INFINITY];
        return values.into_iter().chain([f64::NEG_INFINITY, f64::NAN]).map(Scalar::Float).collect();
    }
    let (low, high) = crate::tensor::integer_range(dtype);
    let values = [0, 1, 2, 7, 15, 100, -1, -3, -100, 1 << 31, low, low + 1, high / 2, high - 1, high];
    values.into_iter().filter(|value| (low..=high).contains(value)).map(Scalar::Int).collect()
}

/// The kernel interpreter computes in the dtype itself, the tensor interpreter in f64 or i128 with one rounding.
#[test]
fn both_interpreters_agree_on_every_function() {
    let same = |a: Scalar, b: Scalar| match (a, b) {
        (Scalar::Float(a), Scalar::Float(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        (a, b) => a == b,
    };
    let bytes = |dtype: DType, values: &[Scalar]| {
        Literal::from_scalars(dtype, vec![values.len()], values.to_vec()).bytes().to_vec()
    };
    for &dtype in DType::ALL {
        let values = special_values(dtype);
        let pairs: Vec<(Scalar, Scalar)> = values.iter().flat_map(|&a| values.iter().map(move |&b| (a, b))).collect();
        let (left, right): (Vec<Scalar>, Vec<Scalar>) = pairs.iter().copied().unzip();
        let run = |result: DType, body: &dyn Fn(&mut KernelBuilder, Register, Register) -> Register| {
            let mut builder = KernelBuilder::new("k");
            let (a, b) = (builder.parameter("a", dtype, Access::Read), builder.parameter("b", dtype, Access::Read));
            let y = builder.parameter("y", result, Access::Write);
            let task = builder.task();
            let (a, b) = (builder.load(a, task.clone(), 1, None), builder.load(b, task.clone(), 1, None));
            let value = body(&mut builder, a, b);
            builder.store(y, task, value, None);
            let mut buffers = [bytes(dtype, &left), bytes(dtype, &right), vec![0; left.len() * result.bytes()]];
            run_kernel(&builder.finish(0), &mut buffers, &[], 0..left.len() as i64).unwrap();
            let given = Literal::from_bytes(result, vec![left.len()], buffers[2].clone()).unwrap();
            given.scalars().collect::<Vec<_>>()
        };
        let compare = |name: &str, given: Vec<Scalar>, expected: Vec<Scalar>| {
            for (((a, b), given), expected) in pairs.iter().zip(given).zip(expected) {
                assert!(same(given, expected), "{name} {dtype} of {a:?}, {b:?} is {given:?}, expected {expected:?}");
            }
        };
        for &function in Unary::ALL.iter().filter(|function| function.domain().contains(dtype)) {
            let result = if function == Unary::IsFinite { DType::Bool } else { dtype };
            let given = run(result, &|builder, a, _| builder.unary(function, a));
            let expected = bytes(dtype, &left);
            let expected = Literal::from_bytes(dtype, vec![left.len()], expected).unwrap();
            let expected = expected.scalars().map(|x| {
                let value = match x {
                    Scalar::Float(x) => Scalar::Float(function.of_float(x)),
                    Scalar::Int(x) => Scalar::Int(function.of_int(dtype, x)),
                };
                crate::tensor::round(result, value)
            });
            compare(function.text(), given, expected.collect());
        }
        let rounded = |values: &[Scalar]| values.iter().map(|&x| crate::tensor::round(dtype, x)).collect::<Vec<_>>();
        let (left, right) = (rounded(&left), rounded(&right));
        for &function in Binary::ALL.iter().filter(|function| function.domain().contains(dtype)) {
            let given = run(dtype, &|builder, a, b| builder.binary(function, a, b));
            let expected = left.iter().zip(&right).map(|(&a, &b)| {
                let value = match (a, b) {
                    (Scalar::Float(a), Scalar::Float(b)) => Scalar::Float(function.of_float(a, b)),
                    (a, b) => Scalar::Int(function.of_int(dtype, a.to_i128(), b.to_i128())),
                };
                crate::tensor::round(dtype, value)
            });
            compare(function.text(), given, expected.collect());
        }
        for &function in Compare::ALL {
            let given = run(DType::Bool, &|builder, a, b| builder.compare(function, a, b));
            let expected = left.iter().zip(&right).map(|(&a, &b)| Scalar::Int(function.holds(a, b).into()));
            compare(function.text(), given, expected.collect());
        }
        for &to in DType::ALL {
            let given = run(to, &|builder, a, _| builder.convert(to, a));
            let expected = left.iter().map(|&a| crate::tensor::round(to, a));
            compare(&format!("convert to {to} of"), given, expected.collect());
        }
    }
}
