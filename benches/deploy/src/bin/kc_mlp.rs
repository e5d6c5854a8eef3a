kc_runtime::include_model!("mnist_mlp.rs");

fn main() {
    let model = MnistMlp::new().expect("the package is whole");
    let image = deploy::image();
    let (rows, _) = image.as_chunks::<28>();
    let image: &[[u8; 28]; 28] = rows.try_into().expect("28 rows");
    deploy::run(|| model.predict(image).expect("it predicts").to_vec());
}
