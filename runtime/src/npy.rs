//! NumPy's `.npy` files (format versions 1 to 3).

use crate::array::{Array, ArrayError};
use crate::errors::{errors, from_errors};
use kc_abi::DType;
use std::path::{Path, PathBuf};

errors! {
    /// A `.npy` file that cannot be read or written.
    #[derive(Debug)]
    pub enum NpyError {
        /// The operating system refused.
        #[error("cannot {action} {}: {source}", path.display())]
        Io {
            /// `read` or `write`.
            action: &'static str,
            /// The file.
            path: PathBuf,
            /// Why.
            source: std::io::Error,
        },
        /// Which file, and what is wrong with it.
        #[error("cannot read {}: {source}", path.display())]
        InFile {
            /// The file.
            path: PathBuf,
            /// What is wrong with it.
            source: Box<NpyError>,
        },
        /// Not the format, or cut off.
        #[error("it is no .npy file: {0}")]
        Format(String),
        /// An element type that an [`Array`] does not have.
        #[error("its element type is {0}, expected numbers or truth values (convert it with `array.astype(\"float32\")`)")]
        Elements(String),
        /// Column-major.
        #[error("its elements lie in Fortran order (save `np.ascontiguousarray(array)`)")]
        FortranOrder,
        /// Header and content differ.
        #[error("{0}")]
        Array(ArrayError),
    }
}
from_errors!(ArrayError => NpyError::Array);

const MAGIC: &[u8] = b"\x93NUMPY";

/// Letter and number of bytes of NumPy's type strings.
const TYPES: [(DType, &str); 12] = [
    (DType::F64, "f8"),
    (DType::F32, "f4"),
    (DType::F16, "f2"),
    (DType::I8, "i1"),
    (DType::I16, "i2"),
    (DType::I32, "i4"),
    (DType::I64, "i8"),
    (DType::U8, "u1"),
    (DType::U16, "u2"),
    (DType::U32, "u4"),
    (DType::U64, "u8"),
    (DType::Bool, "b1"),
];

/// Reads a `.npy` file.
pub fn read(path: &Path) -> Result<Array, NpyError> {
    let bytes = std::fs::read(path).map_err(|source| NpyError::Io { action: "read", path: path.to_owned(), source })?;
    parse(&bytes).map_err(|source| NpyError::InFile { path: path.to_owned(), source: Box::new(source) })
}

/// Writes a `.npy` file: whole, or not at all.
pub fn write(path: &Path, array: &Array) -> Result<(), NpyError> {
    let failed = |source| NpyError::Io { action: "write", path: path.to_owned(), source };
    let bytes = to_bytes(array)?;
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{}.part", std::process::id()));
    let part = PathBuf::from(part);
    std::fs::write(&part, bytes).and_then(|()| std::fs::rename(&part, path)).map_err(|error| {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&part);
        failed(error)
    })
}

/// The array in the bytes of a `.npy` file.
pub fn parse(bytes: &[u8]) -> Result<Array, NpyError> {
    let format = |message: &str| NpyError::Format(message.to_owned());
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| format("it does not start with \\x93NUMPY"))?;
    let cut = || format("it ends within its header");
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        [1..=3, ..] | [] => return Err(cut()),
        [version, ..] => return Err(NpyError::Format(format!("it has version {version}, expected 1, 2 or 3"))),
    };
    let (header, content) = rest.split_at_checked(length).ok_or_else(cut)?;
    let header = std::str::from_utf8(header).map_err(|_| format("its header is no text"))?;
    let field = |name: &str| {
        let (_, rest) = header.split_once(&format!("'{name}':"))?;
        Some(rest.trim_start())
    };
    let missing = |name: &str| NpyError::Format(format!("its header has no valid '{name}': {}", header.trim()));

    let description = field("descr")
        .and_then(|text| text.strip_prefix('\'')?.split_once('\''))
        .map(|(text, _)| text)
        .ok_or_else(|| NpyError::Elements(field("descr").unwrap_or("unknown").to_owned()))?;
    let (order, letters) = description.split_at_checked(1).ok_or_else(|| missing("descr"))?;
    let known = TYPES.iter().find(|(_, name)| *name == letters);
    let &(dtype, _) = known.ok_or_else(|| NpyError::Elements(description.to_owned()))?;
    let shape: Option<Vec<usize>> =
        field("shape").and_then(|text| text.strip_prefix('(')?.split_once(')')).and_then(|(extents, _)| {
            extents.split(',').map(str::trim).filter(|text| !text.is_empty()).map(|text| text.parse().ok()).collect()
        });
    let shape = shape.ok_or_else(|| missing("shape"))?;
    match field("fortran_order") {
        Some(text) if text.starts_with("False") => {}
        // One axis has one order.
        Some(text) if text.starts_with("True") && shape.len() < 2 => {}
        Some(text) if text.starts_with("True") => return Err(NpyError::FortranOrder),
        _ => return Err(missing("fortran_order")),
    }
    let foreign = if cfg!(target_endian = "little") { ">" } else { "<" };
    if order != foreign || dtype.bytes() == 1 {
        return Ok(Array::from_bytes(dtype, &shape, content)?);
    }
    let mut swapped = content.to_vec();
    swapped.chunks_exact_mut(dtype.bytes()).for_each(<[u8]>::reverse);
    Ok(Array::from_bytes(dtype, &shape, &swapped)?)
}

/// The bytes of a `.npy` file; the data starts at a multiple of 64 bytes, as NumPy writes it.
pub fn to_bytes(array: &Array) -> Result<Vec<u8>, NpyError> {
    let known = TYPES.iter().find(|(dtype, _)| *dtype == array.dtype());
    let (dtype, letters) = known.ok_or_else(|| NpyError::Elements(array.dtype().to_string()))?;
    let order = match (dtype.bytes(), cfg!(target_endian = "little")) {
        (1, _) => '|',
        (_, true) => '<',
        (_, false) => '>',
    };
    let shape = crate::array::shape_text(array.shape());
    let mut header = format!("{{'descr': '{order}{letters}', 'fortran_order': False, 'shape': {shape}, }}");
    let before = MAGIC.len() + 4;
    let padding = (before + header.len() + 1).next_multiple_of(64) - (before + header.len() + 1);
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(|_| NpyError::Format("its shape has too many axes".to_owned()))?;
    Ok([MAGIC, &[1, 0], &length.to_le_bytes(), header.as_bytes(), array.bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, content: &[u8]) -> Vec<u8> {
        [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes(), content].concat()
    }

    #[test]
    fn every_dtype_and_shape_is_read_back() {
        for (dtype, _) in TYPES {
            for shape in [&[][..], &[3], &[2, 3], &[0, 4]] {
                let mut array = Array::zeros(dtype, shape).expect("small");
                array.bytes_mut().iter_mut().enumerate().for_each(|(i, byte)| *byte = (i % 2) as u8);
                let bytes = to_bytes(&array).expect("a type that NumPy has");
                assert_eq!((bytes.len() - array.bytes().len()) % 64, 0);
                assert_eq!(parse(&bytes).expect("just written"), array);
            }
        }
    }

    #[test]
    fn big_endian_elements_are_turned() {
        let bytes = file("{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }", &[1, 2, 3, 4]);
        assert_eq!(parse(&bytes).expect("well formed"), Array::from_slice(&[0x0102i16, 0x0304], &[2]).expect("two"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let message = |bytes: &[u8]| parse(bytes).expect_err("not readable").to_string();
        assert_eq!(message(b"PK"), "it is no .npy file: it does not start with \\x93NUMPY");
        assert_eq!(
            message(&file("{'descr': '<U5', 'fortran_order': False, 'shape': (1,), }", &[])),
            "its element type is <U5, expected numbers or truth values (convert it with `array.astype(\"float32\")`)"
        );
        assert_eq!(
            message(&file("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }", &[0; 4])),
            "its elements lie in Fortran order (save `np.ascontiguousarray(array)`)"
        );
        assert_eq!(
            message(&file("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", &[0; 8])),
            "2 values were given for the shape (3,), which holds 3"
        );
        let whole = file("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", &[0; 4]);
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length} bytes");
        }
    }
}
