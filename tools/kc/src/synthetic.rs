//! Made-up inputs for measurements.

use crate::failure::{Context, Failure, Outcome};
use kc_abi::manifest::{Input, InputRole, ValueCheck};
use kc_runtime::Array;

/// One array for each input, with the leading axis `batch` long: uniform numbers in [0, 1) for features,
/// valid class labels or one-hot rows for targets, ones for sample weights. Always the same.
pub fn inputs(inputs: &[Input], batch: usize) -> Outcome<Vec<Array>> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    inputs.iter().map(|input| array(input, batch, &mut random)).collect()
}

fn array(input: &Input, batch: usize, random: &mut Random) -> Outcome<Array> {
    let mut shape = Vec::new();
    for (axis, dim) in input.ty.shape.iter().enumerate() {
        let extent = match dim.as_constant() {
            Some(extent) => usize::try_from(extent).ok(),
            None => (axis == 0).then_some(batch),
        };
        shape.push(extent.ok_or_else(|| {
            Failure::new(format_args!(
                "input `{}` is {}; only a batch may be unknown in a measurement",
                input.name, input.ty
            ))
        })?);
    }
    let elements: usize = shape.iter().product();
    let classes = input.checks.iter().find_map(|check| match check {
        ValueCheck::ClassLabels { classes } => Some((*classes).max(1) as u64),
        ValueCheck::NotNan => None,
    });
    let values: Vec<f64> = match (input.role, classes) {
        (InputRole::SampleWeight, _) => vec![1.0; elements],
        (_, Some(classes)) => (0..elements).map(|_| (random.next() % classes) as f64).collect(),
        (InputRole::Target, None) if shape.len() > 1 => {
            let width = shape.last().copied().unwrap_or(1).max(1);
            let mut values = vec![0.0; elements];
            for row in values.chunks_mut(width) {
                row[(random.next() % width as u64) as usize] = 1.0;
            }
            values
        }
        _ => (0..elements).map(|_| (random.next() >> 11) as f64 / (1u64 << 53) as f64).collect(),
    };
    let array = Array::from_slice(&values, &shape).context(|| format!("input `{}`", input.name))?;
    Ok(array.cast(input.ty.dtype))
}

/// Marsaglia's xorshift generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
