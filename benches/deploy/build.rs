//! The models in each framework's form, from the packages that `KC_DEPLOY_MLP` and `KC_DEPLOY_CNN` name: kc's own interface, an ONNX file,
//! and the weights one after the other (kernel and bias of each layer, f32).

use kc_runtime::Package;
use std::path::{Path, PathBuf};

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    embed("KC_DEPLOY_MLP", &out.join("mlp"), 4, mlp);
    embed("KC_DEPLOY_CNN", &out.join("cnn"), 8, cnn);
}

fn embed(variable: &str, out: &Path, tensors: usize, onnx: fn(&[&[u8]]) -> Vec<u8>) {
    println!("cargo::rerun-if-env-changed={variable}");
    let path = std::env::var(variable).expect("`cargo xtask bench --deploy` sets it");
    kc_build::package(&path).expect("a package");
    let package = Package::verify(path.as_ref()).expect("a package");
    let tensors: Vec<&[u8]> = package.state.iter().flatten().take(tensors).map(|array| array.bytes()).collect();
    std::fs::write(out.with_extension("bin"), tensors.concat()).expect("written");
    std::fs::write(out.with_extension("onnx"), onnx(&tensors)).expect("written");
}

/// A field of a protocol buffer that holds bytes.
fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// A field that holds a number.
fn number(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|input| field(1, input.as_bytes())).collect();
    let attributes: Vec<u8> = attributes.iter().flat_map(|attribute| field(5, attribute)).collect();
    field(1, &[inputs, field(2, output.as_bytes()), field(4, operator.as_bytes()), attributes].concat())
}

/// A list of numbers.
fn integers(name: &str, values: &[u64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|value| number(8, *value)).collect();
    [field(1, name.as_bytes()), values, number(20, 7)].concat()
}

fn tensor(name: &str, shape: &[u64], bytes: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = shape.iter().flat_map(|extent| number(1, *extent)).collect();
    field(5, &[dims, number(2, 1), field(8, name.as_bytes()), field(9, bytes)].concat())
}

fn value(kind: u64, name: &str, shape: &[u64]) -> Vec<u8> {
    let dims: Vec<u8> = shape.iter().flat_map(|extent| field(1, &number(1, *extent))).collect();
    let ty = field(1, &[number(1, 1), field(2, &dims)].concat());
    field(kind, &[field(1, name.as_bytes()), field(2, &ty)].concat())
}

/// A model of one image as f32[1, 784] with the result f32[1, 10].
fn model(parts: &[Vec<u8>]) -> Vec<u8> {
    let scale = [
        node("Div", &["x", "scale"], "scaled", &[]),
        field(2, b"mnist"),
        tensor("scale", &[], &255f32.to_le_bytes()),
        value(11, "x", &[1, 784]),
        value(12, "y", &[1, 10]),
    ];
    let graph = [scale.concat(), parts.concat()].concat();
    [number(1, 8), field(7, &graph), field(8, &number(2, 13))].concat()
}

/// `softmax(relu(x * w1 + b1) * w2 + b2)`.
fn dense(input: &str, extents: [u64; 3], weights: &[&[u8]]) -> Vec<u8> {
    let [inputs, hidden, outputs] = extents;
    [
        node("MatMul", &[input, "w1"], "product1", &[]),
        node("Add", &["product1", "b1"], "sum1", &[]),
        node("Relu", &["sum1"], "hidden", &[]),
        node("MatMul", &["hidden", "w2"], "product2", &[]),
        node("Add", &["product2", "b2"], "sum2", &[]),
        node("Softmax", &["sum2"], "y", &[]),
        tensor("w1", &[inputs, hidden], weights[0]),
        tensor("b1", &[hidden], weights[1]),
        tensor("w2", &[hidden, outputs], weights[2]),
        tensor("b2", &[outputs], weights[3]),
    ]
    .concat()
}

fn mlp(weights: &[&[u8]]) -> Vec<u8> {
    model(&[dense("scaled", [784, 128, 10], weights)])
}

/// Kernels of a convolution as ONNX has them: from `[3, 3, inputs, outputs]` to `[outputs, inputs, 3, 3]`.
fn filters(bytes: &[u8], inputs: usize, outputs: usize) -> Vec<u8> {
    let at = |o: usize, i: usize, place: usize| 4 * ((place * inputs + i) * outputs + o);
    let all = (0..outputs).flat_map(|o| (0..inputs).flat_map(move |i| (0..9).map(move |place| (o, i, place))));
    all.flat_map(|(o, i, place)| bytes[at(o, i, place)..][..4].to_vec()).collect()
}

fn cnn(weights: &[&[u8]]) -> Vec<u8> {
    let shape = |name: &str, values: &[i64]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let dims = number(1, values.len() as u64);
        field(5, &[dims, number(2, 7), field(8, name.as_bytes()), field(9, &bytes)].concat())
    };
    let pool = [integers("kernel_shape", &[2, 2]), integers("strides", &[2, 2])];
    model(&[
        [
            shape("image", &[1, 1, 28, 28]),
            shape("flat", &[1, 1600]),
            node("Reshape", &["scaled", "image"], "pixels", &[]),
            node("Conv", &["pixels", "k1", "c1"], "convolved1", &[]),
            node("Relu", &["convolved1"], "positive1", &[]),
            node("MaxPool", &["positive1"], "pooled1", &pool),
            node("Conv", &["pooled1", "k2", "c2"], "convolved2", &[]),
            node("Relu", &["convolved2"], "positive2", &[]),
            node("MaxPool", &["positive2"], "pooled2", &pool),
            node("Transpose", &["pooled2"], "last", &[integers("perm", &[0, 2, 3, 1])]),
            node("Reshape", &["last", "flat"], "features", &[]),
            tensor("k1", &[32, 1, 3, 3], &filters(weights[0], 1, 32)),
            tensor("c1", &[32], weights[1]),
            tensor("k2", &[64, 32, 3, 3], &filters(weights[2], 32, 64)),
            tensor("c2", &[64], weights[3]),
        ]
        .concat(),
        dense("features", [1600, 128, 10], &weights[4..]),
    ])
}
