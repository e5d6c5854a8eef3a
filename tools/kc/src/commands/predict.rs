use crate::cli::Predict;
use crate::failure::{Failure, Outcome};
use crate::{compile, data, output};
use kc_abi::DType;
use kc_runtime::{Array, EvaluateOptions, Package, Verbose, npy, predict as run_predict};
use std::path::{Path, PathBuf};

/// `kc predict`: a trained package's outputs.
pub fn predict(arguments: &Predict) -> Outcome {
    let package = Package::read(&arguments.package).map_err(Failure::new)?;
    let mut session = compile::open_trained(&package, &arguments.package, &arguments.machine, &arguments.device)?;
    let samples = data::inputs(&arguments.input)?;
    let options =
        EvaluateOptions { batch_size: arguments.batch_size, verbose: Verbose::Silent, ..EvaluateOptions::default() };
    let outputs = run_predict(&mut session, &samples, &options, &mut []).map_err(Failure::new)?;
    match &arguments.output {
        Some(path) => {
            for (index, output) in outputs.iter().enumerate() {
                // files of numpy have no dtype for bfloat16, whose numbers are all ones of float32
                let widened = (output.dtype() == DType::Bf16).then(|| output.cast(DType::F32));
                npy::write(&numbered(path, index), widened.as_ref().unwrap_or(output)).map_err(Failure::new)?;
            }
        }
        None => outputs.iter().try_for_each(|output| output::print(&rows(output)))?,
    }
    Ok(())
}

/// `y.npy` for the first output, `y1.npy`, `y2.npy`, ... for further ones.
fn numbered(path: &Path, index: usize) -> PathBuf {
    if index == 0 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map_or_else(String::new, |extension| format!(".{}", extension.to_string_lossy()));
    path.with_file_name(format!("{stem}{index}{extension}"))
}

/// One line a sample.
fn rows(array: &Array) -> String {
    let values = array.cast(DType::F64);
    let values = values.as_slice::<f64>().unwrap_or_default();
    let width = values.len() / array.shape().first().copied().unwrap_or(1).max(1);
    let mut text = String::new();
    for row in values.chunks(width.max(1)) {
        let row: Vec<String> = row.iter().map(|value| format!("{}", *value as f32)).collect();
        text += &row.join(" ");
        text.push('\n');
    }
    text
}
