//! Tensors in the safetensors layout: the length of a JSON header in 8 little-endian bytes, the header, the data.

use crate::array::{Array, shape_text};
use kc_abi::DType;
use kc_abi::call::ALIGNMENT;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Why bytes are no safetensors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SafetensorsError(String);

const DTYPES: [(DType, &str); 13] = [
    (DType::F64, "F64"),
    (DType::F32, "F32"),
    (DType::F16, "F16"),
    (DType::Bf16, "BF16"),
    (DType::I8, "I8"),
    (DType::I16, "I16"),
    (DType::I32, "I32"),
    (DType::I64, "I64"),
    (DType::U8, "U8"),
    (DType::U16, "U16"),
    (DType::U32, "U32"),
    (DType::U64, "U64"),
    (DType::Bool, "BOOL"),
];

/// The tensors in their order. The data starts at a multiple of 64 bytes; elements are little-endian.
pub fn write<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a Array)>) -> Vec<u8> {
    let (mut header, mut data) = (String::from("{"), Vec::new());
    for (name, array) in tensors {
        let start = data.len();
        data.extend_from_slice(array.bytes());
        let dtype = DTYPES.iter().find(|(dtype, _)| *dtype == array.dtype()).map_or("U8", |(_, name)| name);
        let separator = if start == 0 && header.len() == 1 { "" } else { "," };
        let name = serde_json::Value::from(name);
        let (shape, end) = (array.shape(), data.len());
        write!(
            header,
            "{separator}{name}:{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}"
        )
        .expect("a String takes everything");
    }
    header.push('}');
    while (8 + header.len()) % ALIGNMENT != 0 {
        header.push(' ');
    }
    let mut file = Vec::with_capacity(8 + header.len() + data.len());
    file.extend((header.len() as u64).to_le_bytes());
    file.extend(header.into_bytes());
    file.extend(data);
    file
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// The tensors by their names.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<String, Array>, SafetensorsError> {
    let wrong = |detail: String| SafetensorsError(detail);
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(wrong(format!("{} bytes are too few for a header", bytes.len())));
    };
    let length = u64::from_le_bytes(*length);
    let header = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let Some((header, data)) = header else {
        return Err(wrong(format!("a header of {length} bytes is longer than the {} bytes there are", rest.len())));
    };
    let header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|error| wrong(format!("the header is no JSON object: {error}")))?;
    let mut tensors = BTreeMap::new();
    for (name, value) in header {
        if name == "__metadata__" {
            continue;
        }
        let entry: Entry = serde_json::from_value(value).map_err(|error| wrong(format!("tensor `{name}`: {error}")))?;
        let dtype = DTYPES.iter().find(|(_, text)| *text == entry.dtype).map(|(dtype, _)| *dtype);
        let Some(dtype) = dtype else {
            return Err(wrong(format!("tensor `{name}` has the unknown dtype {}", entry.dtype)));
        };
        let [start, end] = entry.data_offsets;
        let Some(contents) = data.get(start..end) else {
            let have = data.len();
            return Err(wrong(format!(
                "tensor `{name}` should be at bytes {start} to {end} of the data, which has {have}"
            )));
        };
        let array = Array::from_bytes(dtype, &entry.shape, contents).map_err(|_| {
            let shape = shape_text(&entry.shape);
            wrong(format!("tensor `{name}` has {} bytes, which is not what {dtype}{shape} takes", contents.len()))
        })?;
        tensors.insert(name, array);
    }
    Ok(tensors)
}
