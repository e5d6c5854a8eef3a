fn main() {
    deploy::tract::main(include_bytes!(concat!(env!("OUT_DIR"), "/mlp.onnx"))).expect("it predicts");
}
