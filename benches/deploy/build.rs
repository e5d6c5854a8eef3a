//! The model in each framework's form, from the package that `KC_DEPLOY_PACKAGE` names: kc's own interface, an ONNX file, and the weights
//! one after the other (kernel and bias of each layer, f32).

use kc_runtime::Package;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-env-changed=KC_DEPLOY_PACKAGE");
    let path = std::env::var("KC_DEPLOY_PACKAGE").expect("`cargo xtask bench --deploy` sets KC_DEPLOY_PACKAGE");
    kc_build::package(&path).expect("a package");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    let package = Package::verify(path.as_ref()).expect("a package");
    let tensors: Vec<&[u8]> = package.state.iter().flatten().take(4).map(|array| array.bytes()).collect();
    std::fs::write(out.join("weights.bin"), tensors.concat()).expect("written");
    std::fs::write(out.join("mnist.onnx"), onnx(&tensors)).expect("written");
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

/// `softmax(relu(x / 255 * w1 + b1) * w2 + b2)` of one image as f32[1, 784].
fn onnx(weights: &[&[u8]]) -> Vec<u8> {
    let node = |operator: &str, inputs: &[&str], output: &str| {
        let inputs: Vec<u8> = inputs.iter().flat_map(|input| field(1, input.as_bytes())).collect();
        field(1, &[inputs, field(2, output.as_bytes()), field(4, operator.as_bytes())].concat())
    };
    let tensor = |name: &str, shape: &[u64], bytes: &[u8]| {
        let dims: Vec<u8> = shape.iter().flat_map(|extent| number(1, *extent)).collect();
        field(5, &[dims, number(2, 1), field(8, name.as_bytes()), field(9, bytes)].concat())
    };
    let value = |kind: u64, name: &str, shape: &[u64]| {
        let dims: Vec<u8> = shape.iter().flat_map(|extent| field(1, &number(1, *extent))).collect();
        let ty = field(1, &[number(1, 1), field(2, &dims)].concat());
        field(kind, &[field(1, name.as_bytes()), field(2, &ty)].concat())
    };
    let graph = [
        node("Div", &["x", "scale"], "scaled"),
        node("MatMul", &["scaled", "w1"], "product1"),
        node("Add", &["product1", "b1"], "sum1"),
        node("Relu", &["sum1"], "hidden"),
        node("MatMul", &["hidden", "w2"], "product2"),
        node("Add", &["product2", "b2"], "sum2"),
        node("Softmax", &["sum2"], "y"),
        field(2, b"mnist"),
        tensor("scale", &[], &255f32.to_le_bytes()),
        tensor("w1", &[784, 128], weights[0]),
        tensor("b1", &[128], weights[1]),
        tensor("w2", &[128, 10], weights[2]),
        tensor("b2", &[10], weights[3]),
        value(11, "x", &[1, 784]),
        value(12, "y", &[1, 10]),
    ]
    .concat();
    [number(1, 8), field(7, &graph), field(8, &number(2, 13))].concat()
}
