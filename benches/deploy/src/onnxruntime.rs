//! Predicting with an ONNX file by ONNX Runtime's C API, from the library that `ORT_DYLIB_PATH` names.

use ort::session::Session;
use ort::value::TensorRef;

pub fn main(file: &[u8]) -> ort::Result<()> {
    let environment = ort::init().build()?;
    let mut session = Session::builder(&environment)?.with_intra_threads(1)?.commit_from_memory(file)?;
    let image = crate::floats();
    crate::run(|| {
        let input = TensorRef::from_array_view(([1usize, 784], &image[..])).expect("an image");
        let outputs = session.run(ort::inputs!["x" => input]).expect("it predicts");
        outputs[0].try_extract_tensor::<f32>().expect("floats").1.to_vec()
    });
    Ok(())
}
