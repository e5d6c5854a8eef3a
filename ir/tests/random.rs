//! Random numbers are those of `jax.random` (0.10.2, partitionable threefry). The numbers here are printed by JAX.

use kc_ir::tensor::composites::{
    Dropout, FoldIn, RandomClasses, RandomIntegers, RandomNormal, RandomUniform, Shuffle, SplitKey, Threefry,
    TruncatedNormal,
};
use kc_ir::tensor::ops::RandomBits;
use kc_ir::tensor::{Builder, Literal, Op, Real, Scalar, interpret};
use kc_ir::{DType, Dim, TensorType};

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
    let unit = RandomUniform { dtype: DType::F32, shape: five(), low: Real(0.0), high: Real(1.0) };
    assert_eq!(bits(&of_key(unit)), [1056585764, 1059981104, 1058915320, 1057988288, 1055308516]);
    let scaled = RandomUniform { dtype: DType::F32, shape: five(), low: Real(-2.0), high: Real(3.0) };
    assert_eq!(bits(&of_key(scaled)), [1055070388, 1068700152, 1066035692, 1062083008, 1048684148]);
}

#[test]
fn normals_are_those_of_jax_within_a_few_units_in_the_last_place() {
    let normal =
        [-0.02830461598932743, 0.4671318531036377, 0.2957029640674591, 0.15354591608047485, -0.12403281778097153];
    let truncated =
        [-0.027016498148441315, 0.44438081979751587, 0.2818770706653595, 0.14650805294513702, -0.11836230009794235];
    for (given, expected) in [
        (of_key(RandomNormal { dtype: DType::F32, shape: five() }), normal),
        (of_key(TruncatedNormal { dtype: DType::F32, shape: five() }), truncated),
    ] {
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

/// A row of `data/jax_random.json`, which `data/jax_random.py` wrote.
#[derive(serde::Deserialize)]
struct Row(String, [u32; 2], String, Vec<usize>, serde_json::Number, serde_json::Number, Vec<serde_json::Number>);

impl Row {
    /// What the function gives.
    fn evaluate(&self) -> Literal {
        let Row(function, key, dtype, shape, low, high, _) = self;
        let dtype: DType = dtype.parse().unwrap();
        let dims: Vec<Dim> = shape.iter().map(|&extent| Dim::from(extent)).collect();
        let key = u32s(&[2], key);
        let float = |number: &serde_json::Number| Real(number.as_f64().unwrap());
        let integer = |number: &serde_json::Number| Literal::scalar(DType::I64, number.as_i64().unwrap());
        let elements: usize = shape.iter().product();
        let mut results = match function.as_str() {
            "bits" => evaluate(RandomBits { shape: dims }, &[key]),
            "uniform" => evaluate(RandomUniform { dtype, shape: dims, low: float(low), high: float(high) }, &[key]),
            "normal" => evaluate(RandomNormal { dtype, shape: dims }, &[key]),
            "truncated_normal" => evaluate(TruncatedNormal { dtype, shape: dims }, &[key]),
            "randint" => evaluate(RandomIntegers { dtype, shape: dims }, &[key, integer(low), integer(high)]),
            "shuffle" => {
                let x = (0..elements).map(|position| Scalar::Int(position as i128));
                let x = Literal::from_scalars(dtype, shape.clone(), x);
                evaluate(Shuffle { axis: low.as_u64().unwrap() as usize }, &[x, key])
            }
            "categorical" => {
                let logits = Literal::f32(&[2, 4], &[0.0, 1.0, -1.0, 0.5, 2.0, 2.0, 2.0, -3.0]);
                evaluate(RandomClasses { dtype, count: shape[1] as i64 }, &[logits, key])
            }
            other => panic!("no function `{other}`"),
        };
        results.remove(0)
    }

    fn check(&self) {
        let Row(function, key, dtype, shape, low, high, right) = self;
        let what = format!("{function} of {key:?}, {dtype}{shape:?}, {low}, {high}");
        let given = self.evaluate();
        if function.ends_with("normal") {
            // units in the last place of the dtype
            let unit = match given.dtype() {
                DType::F64 => 1e-14,
                DType::F32 => 1e-6,
                DType::F16 => 2f64.powi(-10),
                _ => 2f64.powi(-7),
            };
            for (given, right) in given.to_f64_vec().into_iter().zip(right) {
                let right = right.as_f64().unwrap();
                assert!((given - right).abs() <= 2.0 * unit * right.abs(), "{what}: {given} is not {right}");
            }
            return;
        }
        let width = given.dtype().bits() as usize / 8;
        let right: Vec<u8> =
            right.iter().flat_map(|bits| bits.as_u64().unwrap().to_le_bytes()[..width].to_vec()).collect();
        assert_eq!(given.bytes(), right, "{what}: {:?}", given.to_f64_vec());
    }
}

#[test]
fn every_function_gives_what_jax_gives_in_all_dtypes() {
    let rows: Vec<Row> = serde_json::from_str(include_str!("data/jax_random.json")).unwrap();
    assert!(rows.len() > 200);
    rows.iter().for_each(Row::check);
}

#[test]
fn shapes_may_have_symbols() {
    let batch = TensorType { dtype: DType::F32, shape: vec![Dim::symbol("B"), Dim::constant(3)] };
    for dtype in [DType::F32, DType::F64, DType::Bf16] {
        let mut b = Builder::new();
        let key = b.parameter("key", TensorType::new(DType::U32, [2i64])).unwrap();
        let x = b.parameter("x", batch.clone()).unwrap();
        let op = RandomUniform { dtype, shape: batch.shape.clone(), low: Real(-2.0), high: Real(3.0) };
        let uniform = b.add(op.clone(), &[key]).unwrap();
        let graph = b.finish(vec![uniform, x]);
        let key = u32s(&[2], &[0, 42]);
        let given = interpret(&graph, &[key.clone(), Literal::f32(&[2, 3], &[0.0; 6])]).unwrap();
        let known = RandomUniform { shape: vec![Dim::constant(2), Dim::constant(3)], ..op };
        assert_eq!(given[0], evaluate(known, &[key])[0]);
    }
}
