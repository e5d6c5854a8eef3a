use tract_onnx::prelude::*;

fn main() -> TractResult<()> {
    let file = include_bytes!(concat!(env!("OUT_DIR"), "/mnist.onnx"));
    let model = tract_onnx::onnx().model_for_read(&mut &file[..])?.into_optimized()?.into_runnable()?;
    let image = tract_ndarray::Array2::from_shape_vec((1, 784), deploy::floats().to_vec())?;
    deploy::run(|| {
        let outputs = model.run(tvec!(image.clone().into_tensor().into())).expect("it predicts");
        outputs[0].to_plain_array_view::<f32>().expect("floats").iter().copied().collect()
    });
    Ok(())
}
