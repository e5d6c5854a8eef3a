fn main() {
    deploy::onnxruntime::main(include_bytes!(concat!(env!("OUT_DIR"), "/cnn.onnx"))).expect("it predicts");
}
