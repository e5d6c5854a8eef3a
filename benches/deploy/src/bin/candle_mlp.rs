use candle_core::{Device, Result, Tensor};

fn main() -> Result<()> {
    let [w1, b1, w2, b2] = deploy::mlp();
    let device = Device::Cpu;
    let w1 = Tensor::from_vec(w1, (784, 128), &device)?;
    let b1 = Tensor::from_vec(b1, 128, &device)?;
    let w2 = Tensor::from_vec(w2, (128, 10), &device)?;
    let b2 = Tensor::from_vec(b2, 10, &device)?;
    let floats = deploy::floats();
    let predict = || -> Result<Vec<f32>> {
        let x = (Tensor::from_slice(&floats, (1, 784), &device)? / 255.0)?;
        let hidden = x.matmul(&w1)?.broadcast_add(&b1)?.relu()?;
        let logits = hidden.matmul(&w2)?.broadcast_add(&b2)?;
        let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?)?.exp()?;
        shifted.broadcast_div(&shifted.sum_keepdim(1)?)?.flatten_all()?.to_vec1()
    };
    deploy::run(|| predict().expect("it predicts"));
    Ok(())
}
