//! Predicting with an ONNX file by tract.

use tract_onnx::prelude::*;

pub fn main(mut file: &[u8]) -> TractResult<()> {
    let model = tract_onnx::onnx().model_for_read(&mut file)?.into_optimized()?.into_runnable()?;
    let image = tract_ndarray::Array2::from_shape_vec((1, 784), crate::floats().to_vec())?;
    crate::run(|| {
        let outputs = model.run(tvec!(image.clone().into_tensor().into())).expect("it predicts");
        outputs[0].to_plain_array_view::<f32>().expect("floats").iter().copied().collect()
    });
    Ok(())
}
