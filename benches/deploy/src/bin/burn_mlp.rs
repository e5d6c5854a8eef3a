use burn::tensor::{Device, Tensor, TensorData, activation};

fn main() {
    let [w1, b1, w2, b2] = deploy::mlp();
    let device = Device::default();
    let matrix = |values: Vec<f32>, shape: [usize; 2]| Tensor::<2>::from_data(TensorData::new(values, shape), &device);
    let (w1, b1) = (matrix(w1, [784, 128]), matrix(b1, [1, 128]));
    let (w2, b2) = (matrix(w2, [128, 10]), matrix(b2, [1, 10]));
    let floats = deploy::floats();
    deploy::run(|| {
        let x = matrix(floats.to_vec(), [1, 784]) / 255.0;
        let hidden = activation::relu(x.matmul(w1.clone()) + b1.clone());
        let y = activation::softmax(hidden.matmul(w2.clone()) + b2.clone(), 1);
        y.into_data().try_to_vec::<f32>().expect("floats")
    });
}
