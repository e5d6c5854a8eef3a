//! The tensors of a weights file by their paths.

use super::SavingError;
use hdf5_pure::{AttrValue, DType as H5Type, Dataset, Datatype, DatatypeByteOrder, File, FloatingPointLayout, Group};
use kc_ir::DType;
use kc_runtime::Array;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;
use zip::ZipArchive;

const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
const WEIGHTS: &str = "model.weights.h5";

/// No compression packs more bytes into one: what claims more is not read.
const MOST_BYTES_A_BYTE: u64 = 1032;

/// Groups deeper than any model's, and more of them: links in a damaged file may form a circle.
const DEPTH_LIMIT: usize = 64;
const GROUP_LIMIT: usize = 1 << 16;

/// The tensors of a `.keras` or `.weights.h5` file by their paths: `layers/dense/vars/0`, `optimizer/vars/0`.
pub fn load_keras_weights(path: impl AsRef<Path>) -> Result<BTreeMap<String, Array>, SavingError> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|error| SavingError::Io { path: path.to_owned(), error })?;
    if bytes.starts_with(SIGNATURE) {
        return parse(bytes).map_err(|message| SavingError::format(path, ".weights.h5 file", message));
    }
    unpack(&bytes).and_then(parse).map_err(|message| SavingError::format(path, ".keras file", message))
}

/// The weights file in a `.keras` archive.
fn unpack(archive: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |error: &dyn ToString| format!("{WEIGHTS}: {}", error.to_string());
    let mut zip = ZipArchive::new(Cursor::new(archive)).map_err(|error| error.to_string())?;
    let file = zip.by_name(WEIGHTS).map_err(|error| failed(&error))?;
    let size = file.size();
    if size > MOST_BYTES_A_BYTE.saturating_mul(archive.len() as u64) {
        return Err(failed(&format!("its size is given as {size} bytes")));
    }
    let mut bytes = Vec::new();
    file.take(size + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 != size {
        return Err(failed(&format!("it holds {} bytes, expected {size}", bytes.len())));
    }
    Ok(bytes)
}

/// The tensors of an HDF5 file.
fn parse(bytes: Vec<u8>) -> Result<BTreeMap<String, Array>, String> {
    let limit = MOST_BYTES_A_BYTE.saturating_mul(bytes.len() as u64);
    let file = File::from_bytes(bytes).map_err(|error| error.to_string())?;
    let mut walk = Walk { arrays: BTreeMap::new(), groups: 0, bytes_left: limit };
    walk.group(&file.root(), "", 0)?;
    Ok(walk.arrays)
}

struct Walk {
    arrays: BTreeMap<String, Array>,
    groups: usize,
    bytes_left: u64,
}

impl Walk {
    fn group(&mut self, group: &Group, path: &str, depth: usize) -> Result<(), String> {
        let place = if path.is_empty() { "/" } else { path };
        self.groups += 1;
        if depth > DEPTH_LIMIT || self.groups > GROUP_LIMIT {
            return Err(format!("its groups are too deep or too many, at `{place}`"));
        }
        let failed = |error: hdf5_pure::Error| format!("group `{place}`: {error}");
        let join = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}/{name}") };
        for name in group.datasets().map_err(failed)? {
            let path = join(&name);
            let dataset = group.dataset(&name).map_err(failed)?;
            let array = self.dataset(&dataset).map_err(|error| format!("dataset `{path}`: {error}"))?;
            self.arrays.insert(path, array);
        }
        for name in group.groups().map_err(failed)? {
            self.group(&group.group(&name).map_err(failed)?, &join(&name), depth + 1)?;
        }
        Ok(())
    }

    fn dataset(&mut self, dataset: &Dataset) -> Result<Array, String> {
        let text = |error: hdf5_pure::Error| error.to_string();
        let extents = dataset.shape().map_err(text)?;
        let size =
            extents.iter().try_fold(dataset.element_size().map_err(text)?, |size, &extent| size.checked_mul(extent));
        let shape = extents.iter().map(|&extent| usize::try_from(extent).ok()).collect::<Option<Vec<usize>>>();
        let (Some(size), Some(shape)) = (size.filter(|&size| size <= self.bytes_left), shape) else {
            return Err(format!("its shape is given as {extents:?}, which the file cannot hold"));
        };
        self.bytes_left -= size;

        macro_rules! read {
            ($method:ident) => {
                Array::from_slice(&dataset.$method().map_err(text)?, &shape)
            };
        }
        let array = match dataset.dtype().map_err(text)? {
            H5Type::F32 => read!(read_f32),
            H5Type::F64 => read!(read_f64),
            H5Type::I8 => read!(read_i8),
            H5Type::I16 => read!(read_i16),
            H5Type::I32 => read!(read_i32),
            H5Type::I64 => read!(read_i64),
            H5Type::U8 => read!(read_u8),
            H5Type::U16 => read!(read_u16),
            H5Type::U32 => read!(read_u32),
            H5Type::U64 => read!(read_u64),
            // h5py's truth values
            H5Type::Enum(names) if names.len() == 2 && dataset.element_size().map_err(text)? == 1 => {
                Array::from_bytes(DType::Bool, &shape, &dataset.read_raw().map_err(text)?)
            }
            H5Type::Other(ty) if is_half(&ty) => {
                Array::from_bytes(DType::F16, &shape, &dataset.read_raw().map_err(text)?)
            }
            // Keras' way of writing what HDF5 has no type for
            H5Type::Other(ty) if matches!(*ty, Datatype::Opaque { size: 2, .. }) && says_bfloat16(dataset)? => {
                Array::from_bytes(DType::Bf16, &shape, &dataset.read_raw().map_err(text)?)
            }
            other => return Err(format!("its elements are {other}, expected numbers or truth values")),
        };
        array.map_err(|error| error.to_string())
    }
}

/// Whether this is IEEE 754's binary16, the lower byte first.
fn is_half(ty: &Datatype) -> bool {
    let half = FloatingPointLayout {
        bit_offset: 0,
        bit_precision: 16,
        exponent_location: 10,
        exponent_size: 5,
        mantissa_location: 0,
        mantissa_size: 10,
        exponent_bias: 15,
    };
    matches!(ty, Datatype::FloatingPoint { size: 2, byte_order: DatatypeByteOrder::LittleEndian, layout } if *layout == half)
}

/// Whether the attribute by which Keras names a dtype names bfloat16.
fn says_bfloat16(dataset: &Dataset) -> Result<bool, String> {
    let attributes = dataset.attrs().map_err(|error| error.to_string())?;
    Ok(match attributes.get("dtype") {
        Some(AttrValue::String(name) | AttrValue::VarLenString(name)) => name == "bfloat16",
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdf5_pure::FileBuilder;
    use std::io::Write;
    use zip::write::{SimpleFileOptions, ZipWriter};

    fn weights() -> Vec<u8> {
        let mut builder = FileBuilder::new();
        let mut layers = builder.create_group("layers");
        let mut dense = layers.create_group("dense");
        let mut variables = dense.create_group("vars");
        variables.create_dataset("0").with_f32_data(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).with_shape(&[2, 3]);
        variables.create_dataset("1").with_f32_data(&[0.5, 0.25, 0.125]).with_shape(&[3]);
        dense.add_group(variables.finish());
        layers.add_group(dense.finish());
        builder.add_group(layers.finish());
        builder.create_dataset("step").with_i64_data(&[7]).with_shape(&[1]);
        builder.finish().expect("in memory")
    }

    fn archive(name: &str, content: &[u8], method: zip::CompressionMethod) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer.start_file(name, SimpleFileOptions::default().compression_method(method)).expect("in memory");
        writer.write_all(content).expect("in memory");
        writer.finish().expect("in memory").into_inner()
    }

    #[test]
    fn tensors_are_read_by_their_paths() {
        for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
            let arrays = unpack(&archive(WEIGHTS, &weights(), method)).and_then(parse).expect("just written");
            assert_eq!(arrays.keys().collect::<Vec<_>>(), ["layers/dense/vars/0", "layers/dense/vars/1", "step"]);
            let kernel = Array::from_slice(&[1f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]).expect("six");
            assert_eq!(arrays["layers/dense/vars/0"], kernel);
            assert_eq!(arrays["step"], Array::from_slice(&[7i64], &[1]).expect("one"));
        }
    }

    #[test]
    fn an_archive_without_weights_says_so() {
        let bytes = archive("config.json", b"{}", zip::CompressionMethod::Stored);
        assert_eq!(unpack(&bytes).expect_err("no weights"), "model.weights.h5: specified file not found in archive");
        assert!(unpack(b"no zip").is_err());
    }

    /// Whatever is cut off or altered, the answer is an error or other numbers, never a panic.
    #[test]
    fn damaged_files_are_refused() {
        let whole = weights();
        for length in 0..whole.len() {
            // what the reader does not look at may be missing, but no tensor
            if let Ok(arrays) = parse(whole[..length].to_vec()) {
                assert_eq!(arrays.len(), 3, "{length} bytes");
            }
        }
        let mut state = 1u64;
        let mut random = move |below: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % below
        };
        let archive = archive(WEIGHTS, &whole, zip::CompressionMethod::Deflated);
        for _ in 0..2000 {
            let mut altered = whole.clone();
            for _ in 0..1 + random(3) {
                let position = random(altered.len());
                altered[position] = [0, 1, 0x7f, 0xff, random(256) as u8][random(5)];
            }
            let _ = parse(altered);
            let mut altered = archive.clone();
            let position = random(altered.len());
            altered[position] ^= 1 << random(8);
            let _ = unpack(&altered).and_then(parse);
        }
    }
}
