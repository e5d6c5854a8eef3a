//! Random numbers are those of `jax.random` (0.10.2, partitionable threefry). The numbers here are printed by JAX.

use kc_ir::tensor::composites::{Dropout, FoldIn, RandomNormal, RandomUniform, SplitKey, Threefry, TruncatedNormal};
use kc_ir::tensor::ops::RandomBits;
use kc_ir::tensor::{Builder, Literal, Op, Real, Scalar, interpret};
use kc_ir::{DType, Dim};

fn u32s(shape: &[usize], values: &[u32]) -> Literal {
    Literal::from_scalars(DType::U32, shape.to_vec(), values.iter().map(|&value| Scalar::Int(value.into())))
}

/// The results of an op for constants.
fn evaluate(op: impl Into<Op>, operands: &[Literal]) -> Vec<Literal> {
    let mut b = Builder::new();
    let parameters: Vec<_> = operands.iter().map(|operand| b.parameter("x", operand.ty()).unwrap()).collect();
    let value = b.add(op, &parameters).unwrap();
    let results = b.projections(value).unwrap();
    interpret(&b.finish(results), operands).unwrap()
}

/// Of the key `[0, 42]`.
fn of_key(op: impl Into<Op>) -> Literal {
    evaluate(op, &[u32s(&[2], &[0, 42])]).remove(0)
}

fn five() -> Vec<Dim> {
    vec![Dim::constant(5)]
}

/// The bits of f32 values.
fn bits(literal: &Literal) -> Vec<u32> {
    literal.bytes().chunks_exact(4).map(|chunk| u32::from_le_bytes(chunk.try_into().unwrap())).collect()
}

#[test]
fn bits_are_those_of_jax() {
    let expected = [0x7d1c13a2, 0xae0730d9, 0x9dc3f9f9, 0x8f9ec1d7, 0x735d7315];
    assert_eq!(of_key(RandomBits { shape: five() }), u32s(&[5], &expected));
    let expected = [0x198499b6, 0xc6aace9d, 0xb05cff4d, 0xd87f3a67, 0x4b806a32, 0xacec4b09];
    let matrix = RandomBits { shape: vec![Dim::constant(2), Dim::constant(3)] };
    assert_eq!(evaluate(matrix, &[u32s(&[2], &[3, 0xdead_beef])]), [u32s(&[2, 3], &expected)]);
}

#[test]
fn the_block_function_in_ops_is_that_of_the_bits() {
    let key = u32s(&[2], &[0, 42]);
    let words = evaluate(Threefry {}, &[key, u32s(&[5], &[0; 5]), u32s(&[5], &[0, 1, 2, 3, 4])]);
    let mixed =
        words[0].scalars().zip(words[1].scalars()).map(|(high, low)| Scalar::Int(high.to_i128() ^ low.to_i128()));
    assert_eq!(Literal::from_scalars(DType::U32, vec![5], mixed), of_key(RandomBits { shape: five() }));
}

#[test]
fn uniforms_are_those_of_jax_bit_for_bit() {
    let unit = RandomUniform { shape: five(), low: Real(0.0), high: Real(1.0) };
    assert_eq!(bits(&of_key(unit)), [1056585764, 1059981104, 1058915320, 1057988288, 1055308516]);
    let scaled = RandomUniform { shape: five(), low: Real(-2.0), high: Real(3.0) };
    assert_eq!(bits(&of_key(scaled)), [1055070388, 1068700152, 1066035692, 1062083008, 1048684148]);
}

#[test]
fn normals_are_those_of_jax_within_a_few_units_in_the_last_place() {
    let normal =
        [-0.02830461598932743, 0.4671318531036377, 0.2957029640674591, 0.15354591608047485, -0.12403281778097153];
    let truncated =
        [-0.027016498148441315, 0.44438081979751587, 0.2818770706653595, 0.14650805294513702, -0.11836230009794235];
    for (given, expected) in
        [(of_key(RandomNormal { shape: five() }), normal), (of_key(TruncatedNormal { shape: five() }), truncated)]
    {
        for (given, expected) in given.to_f64_vec().into_iter().zip(expected) {
            assert!((given - expected).abs() <= 1e-6 * f64::abs(expected), "{given} is not {expected}");
        }
    }
}

#[test]
fn keys_are_those_of_jax() {
    let number = Literal::scalar(DType::U32, 7i64);
    assert_eq!(evaluate(FoldIn {}, &[u32s(&[2], &[0, 42]), number]), [u32s(&[2], &[2547012911, 1371500959])]);
    let expected = [1832780943, 270669613, 64467757, 2916123636, 2465931498, 255383827];
    assert_eq!(of_key(SplitKey { count: 3 }), u32s(&[3, 2], &expected));
}

#[test]
fn dropout_keeps_what_jax_keeps() {
    // jax.random.bernoulli(key, 0.7, (8,)) is true but for the last
    let x = Literal::f32(&[8], &[7.0; 8]);
    let dropped = evaluate(Dropout { rate: Real(0.3) }, &[x, u32s(&[2], &[0, 42])]);
    assert_eq!(dropped, [Literal::f32(&[8], &[10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 0.0])]);
}
