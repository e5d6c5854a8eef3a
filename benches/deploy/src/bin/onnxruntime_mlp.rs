fn main() {
    deploy::onnxruntime::main(include_bytes!(concat!(env!("OUT_DIR"), "/mlp.onnx"))).expect("it predicts");
}
