//! Tensors in the safetensors layout: the length of a JSON header in 8 little-endian bytes, the header, the data.

use crate::array::Array;
#[cfg(feature = "json")]
use crate::array::shape_text;
use crate::heap::*;
#[cfg(feature = "json")]
use alloc::collections::BTreeMap;
use core::fmt::Write;
use core::ops::Range;
use kc_abi::DType;
use kc_abi::call::ALIGNMENT;

/// Why bytes are no safetensors.
#[cfg(feature = "json")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SafetensorsError(String);

#[cfg(feature = "json")]
impl core::fmt::Display for SafetensorsError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(feature = "json")]
impl core::error::Error for SafetensorsError {}

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

/// Where tensors lie, and the header that says so.
#[derive(Default)]
pub(super) struct Layout {
    pub(super) tensors: Vec<Place>,
    text: String,
}

/// A tensor of a [`Layout`].
pub(super) struct Place {
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    /// Bytes of the data.
    pub(super) place: Range<usize>,
}

impl Layout {
    /// The next tensor; `None` where it is larger than an address space.
    pub(super) fn add(&mut self, name: &str, dtype: DType, shape: &[usize]) -> Option<()> {
        let start = self.data_bytes();
        let bytes = shape.iter().try_fold(dtype.bytes(), |bytes, &extent| bytes.checked_mul(extent))?;
        let end = start.checked_add(bytes).filter(|&end| end <= isize::MAX as usize / 2)?;
        let separator = if self.tensors.is_empty() { "{" } else { "," };
        self.text.push_str(separator);
        quote(name, &mut self.text);
        let dtype_name = DTYPES.iter().find(|(known, _)| *known == dtype).map_or("U8", |(_, name)| name);
        // a String takes everything
        let _ =
            write!(self.text, ":{{\"dtype\":\"{dtype_name}\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}");
        self.tensors.push(Place { dtype, shape: shape.to_vec(), place: start..end });
        Some(())
    }

    pub(super) fn data_bytes(&self) -> usize {
        self.tensors.last().map_or(0, |tensor| tensor.place.end)
    }

    /// Length and text of the header: what stands before the data, whose start is a multiple of 64.
    pub(super) fn header(&self) -> Vec<u8> {
        let mut text = if self.tensors.is_empty() { "{".to_owned() } else { self.text.clone() };
        text.push('}');
        while !(8 + text.len()).is_multiple_of(ALIGNMENT) {
            text.push(' ');
        }
        let mut header = (text.len() as u64).to_le_bytes().to_vec();
        header.extend(text.into_bytes());
        header
    }
}

/// A text as JSON has it.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{0}'..'\u{20}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// The tensors in their order. The data starts at a multiple of 64 bytes; elements are little-endian.
pub fn write<'a>(tensors: impl IntoIterator<Item = (&'a str, &'a Array)>) -> Vec<u8> {
    let mut layout = Layout::default();
    let arrays: Vec<&Array> = tensors
        .into_iter()
        .map(|(name, array)| {
            layout.add(name, array.dtype(), array.shape()).expect("arrays in memory fit into memory");
            array
        })
        .collect();
    let mut file = layout.header();
    file.reserve_exact(layout.data_bytes());
    arrays.into_iter().for_each(|array| file.extend_from_slice(array.bytes()));
    file
}

#[cfg(feature = "json")]
#[derive(serde::Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// The tensors by their names.
#[cfg(feature = "json")]
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
