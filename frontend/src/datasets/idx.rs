use super::DatasetError;
use kc_runtime::Array;
use std::path::Path;

/// Reads an IDX file of bytes: two zero bytes, the type 8, the number of axes, each extent as a big-endian `u32`, then the
/// elements.
pub(super) fn read(path: &Path) -> Result<Array, DatasetError> {
    let bytes = std::fs::read(path).map_err(DatasetError::io("read", path))?;
    parse(&bytes).map_err(|message| DatasetError::Format {
        path: path.to_owned(),
        expected: "IDX file of bytes",
        message,
    })
}

fn parse(bytes: &[u8]) -> Result<Array, String> {
    let [0, 0, 8, axes, rest @ ..] = bytes else {
        return Err(format!(
            "it starts with {:?}, expected [0, 0, 8] and the number of axes",
            &bytes[..bytes.len().min(4)]
        ));
    };
    let header = usize::from(*axes) * 4;
    let (extents, elements) =
        rest.split_at_checked(header).ok_or_else(|| format!("it ends within the extents of its {axes} axes"))?;
    let shape: Vec<usize> = extents
        .chunks_exact(4)
        .map(|extent| extent.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)))
        .collect();
    let expected = shape.iter().try_fold(1usize, |product, extent| product.checked_mul(*extent));
    if expected != Some(elements.len()) {
        return Err(format!("it holds {} elements for the shape {shape:?}", elements.len()));
    }
    Array::from_slice(elements, &shape).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_are_big_endian_and_elements_follow() {
        let array = parse(&[0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6]).expect("well formed");
        assert_eq!(array, Array::from_slice(&[1u8, 2, 3, 4, 5, 6], &[2, 3]).expect("six elements"));
    }

    #[test]
    fn every_cut_of_a_file_is_refused() {
        let whole = [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6];
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(parse(&whole[..17]).unwrap_err(), "it holds 5 elements for the shape [2, 3]");
        assert_eq!(
            parse(&[0, 0, 13, 1]).unwrap_err(),
            "it starts with [0, 0, 13, 1], expected [0, 0, 8] and the number of axes"
        );
        let huge = [[0, 0, 8, 4].as_slice(), &[255; 16]].concat();
        assert!(parse(&huge).is_err());
    }
}
