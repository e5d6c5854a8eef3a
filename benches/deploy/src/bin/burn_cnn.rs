use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData, activation};

type Images = Tensor<4>;

fn main() {
    let [k1, c1, k2, c2, w1, b1, w2, b2] = deploy::cnn();
    let device = Device::default();
    let matrix = |values: Vec<f32>, shape: [usize; 2]| Tensor::<2>::from_data(TensorData::new(values, shape), &device);
    // from `[3, 3, inputs, outputs]` to `[outputs, inputs, 3, 3]`
    let filters = |values: Vec<f32>, inputs: usize, outputs: usize| {
        Images::from_data(TensorData::new(values, [3, 3, inputs, outputs]), &device).permute([3, 2, 0, 1])
    };
    let bias = |values: Vec<f32>| {
        let count = values.len();
        Tensor::<1>::from_data(TensorData::new(values, [count]), &device)
    };
    let (k1, c1, k2, c2) = (filters(k1, 1, 32), bias(c1), filters(k2, 32, 64), bias(c2));
    let (w1, b1) = (matrix(w1, [1600, 128]), matrix(b1, [1, 128]));
    let (w2, b2) = (matrix(w2, [128, 10]), matrix(b2, [1, 10]));
    let floats = deploy::floats();
    let layer = |x: Images, kernel: &Images, bias: &Tensor<1>| {
        let options = ConvOptions::new([1, 1], [0, 0], [1, 1], 1);
        let x = activation::relu(conv2d(x, kernel.clone(), Some(bias.clone()), options));
        max_pool2d(x, MaxPoolOptions::new([2, 2]))
    };
    deploy::run(|| {
        let x = Images::from_data(TensorData::new(floats.to_vec(), [1, 1, 28, 28]), &device) / 255.0;
        let x = layer(layer(x, &k1, &c1), &k2, &c2).permute([0, 2, 3, 1]).reshape([1, 1600]);
        let hidden = activation::relu(x.matmul(w1.clone()) + b1.clone());
        let y = activation::softmax(hidden.matmul(w2.clone()) + b2.clone(), 1);
        y.into_data().try_to_vec::<f32>().expect("floats")
    });
}
