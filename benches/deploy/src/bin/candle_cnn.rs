use candle_core::{Device, Result, Tensor};

/// Kernels from `[3, 3, inputs, outputs]` to `[outputs, inputs, 3, 3]`.
fn filters(values: Vec<f32>, inputs: usize, outputs: usize) -> Result<Tensor> {
    Tensor::from_vec(values, (3, 3, inputs, outputs), &Device::Cpu)?.permute((3, 2, 0, 1))?.contiguous()
}

fn main() -> Result<()> {
    let [k1, c1, k2, c2, w1, b1, w2, b2] = deploy::cnn();
    let device = Device::Cpu;
    let (k1, k2) = (filters(k1, 1, 32)?, filters(k2, 32, 64)?);
    let c1 = Tensor::from_vec(c1, (1, 32, 1, 1), &device)?;
    let c2 = Tensor::from_vec(c2, (1, 64, 1, 1), &device)?;
    let w1 = Tensor::from_vec(w1, (1600, 128), &device)?;
    let b1 = Tensor::from_vec(b1, 128, &device)?;
    let w2 = Tensor::from_vec(w2, (128, 10), &device)?;
    let b2 = Tensor::from_vec(b2, 10, &device)?;
    let floats = deploy::floats();
    let layer = |x: &Tensor, kernel: &Tensor, bias: &Tensor| -> Result<Tensor> {
        x.conv2d(kernel, 0, 1, 1, 1)?.broadcast_add(bias)?.relu()?.max_pool2d(2)
    };
    let predict = || -> Result<Vec<f32>> {
        let x = (Tensor::from_slice(&floats, (1, 1, 28, 28), &device)? / 255.0)?;
        let x = layer(&layer(&x, &k1, &c1)?, &k2, &c2)?;
        let x = x.permute((0, 2, 3, 1))?.reshape((1, 1600))?;
        let hidden = x.matmul(&w1)?.broadcast_add(&b1)?.relu()?;
        let logits = hidden.matmul(&w2)?.broadcast_add(&b2)?;
        let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?)?.exp()?;
        shifted.broadcast_div(&shifted.sum_keepdim(1)?)?.flatten_all()?.to_vec1()
    };
    deploy::run(|| predict().expect("it predicts"));
    Ok(())
}
