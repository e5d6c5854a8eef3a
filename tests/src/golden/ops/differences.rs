//! Derivatives of functions of `kc::ops` beside central differences, in f64 on the tensor interpreter.

use super::calls;
use super::table::{Argument, Call};
use crate::arrays::values;
use crate::golden::check::gradients;
use crate::random::Random;
use crate::runner::Runner;
use kc::ops::{self, Tensor};
use kc_ir::DType;
use kc_runtime::Array;

/// What a derivative is at the points that were tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slope {
    /// There is none to be compared: no floating-point array goes in, none comes out, or not all is finite there.
    None,
    /// It is 0.
    Flat,
    /// It is not 0, and that of central differences.
    Sloped,
}

/// Where a function is differentiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Domain {
    /// At any numbers.
    #[default]
    Any,
    /// At numbers above 0.
    Positive,
    /// At numbers above 1.
    AboveOne,
    /// At numbers between -1 and 1.
    Unit,
    /// At symmetric matrices, along symmetric ones.
    Symmetric,
}

/// How far arguments are moved.
const STEP: f64 = 1e-5;
/// How far a directional derivative may be off, beside the sizes of its terms.
const TOLERANCE: f64 = 2e-6;

/// The directional derivatives of random weighted sums of tensors by the f64 arrays that they are made of.
///
/// # Errors
/// Where a derivative is not that of central differences, does not exist, or is computed in another dtype than f64.
pub fn slope(tensors: &[Tensor], domain: Domain) -> Result<Slope, String> {
    let (mut module, arrays) = ops::module(tensors).map_err(|error| error.to_string())?;
    let outputs: Vec<_> = module.functions[0].outputs.iter().filter(|output| output.ty.dtype.is_float()).collect();
    if outputs.is_empty() || !arrays.iter().any(|array| array.dtype() == DType::F64 && !array.shape().contains(&0)) {
        return Ok(Slope::None);
    }
    if let Some(output) = outputs.iter().find(|output| output.ty.dtype != DType::F64) {
        return Err(format!("of f64 it gives {}", output.ty));
    }
    module.functions.push(gradients(&module, &module.functions[0]).map_err(|error| error.to_string())?);
    let mut execution = Runner::Interpreter.load(&module, 1)?;
    let mut random = Random::new(arrays.len() as u64);
    let mut run = |entry: &str, inputs: &[Array]| execution.run(entry, &inputs.iter().collect::<Vec<_>>());
    let results = run("call", &arrays)?;
    let is_infinite = |array: &Array| array.dtype().is_float() && values(array).into_iter().any(f64::is_infinite);
    if arrays.iter().any(is_infinite) || !results.iter().flat_map(values).all(f64::is_finite) {
        return Ok(Slope::None);
    }
    let cotangents: Vec<Array> = results
        .iter()
        .filter(|result| result.dtype().is_float())
        .map(|result| f64s(result.shape(), |_| random.unit()))
        .collect();
    let derivatives = run("gradients", &[&arrays[..], &cotangents].concat())?;
    let mut found = Slope::Flat;
    for _ in 0..2 {
        let directions: Vec<Option<Array>> = arrays
            .iter()
            .map(|array| (array.dtype() == DType::F64).then(|| direction(array, domain, &mut random)))
            .collect();
        let mut at = |by: f64| -> Result<Vec<f64>, String> {
            let moved: Vec<Array> =
                arrays.iter().zip(&directions).map(|(array, way)| moved(array, way.as_ref(), by)).collect();
            let results = run("call", &moved)?;
            Ok(results.iter().filter(|result| result.dtype().is_float()).flat_map(values).collect())
        };
        let weights = cotangents.iter().flat_map(values);
        let (above, below) = (at(STEP)?, at(-STEP)?);
        let expected: f64 = weights.zip(above.iter().zip(&below)).map(|(w, (a, b))| w * (a - b) / (2.0 * STEP)).sum();
        let terms: Vec<f64> = derivatives
            .iter()
            .zip(directions.iter().flatten())
            .flat_map(|(derivative, way)| values(derivative).into_iter().zip(values(way)))
            .map(|(derivative, way)| derivative * way)
            .collect();
        let given: f64 = terms.iter().sum();
        let size: f64 = terms.iter().map(|term| term.abs()).sum();
        let error = (given - expected).abs();
        if error.is_nan() || error > TOLERANCE * (1.0 + size) {
            return Err(format!("its derivative along a direction is {given}, differences give {expected}"));
        }
        if terms.iter().any(|&term| term != 0.0) {
            found = Slope::Sloped;
        }
    }
    Ok(found)
}

/// The same for a call of a table, at floating-point numbers that are nearly its own: none is on an edge.
pub fn slope_of(call: &Call, domain: Domain) -> Result<Slope, String> {
    if call.text.contains("float16\"") {
        // it is computed in another dtype than f64
        return Ok(Slope::None);
    }
    let mut random = Random::new(7);
    let mut call = call.clone();
    call.args.iter_mut().for_each(|argument| widen(argument, domain, &mut random));
    call.tensors.values_mut().for_each(|array| *array = wide(array, domain, &mut random));
    slope(&calls::results(&call)?, domain)
}

fn widen(argument: &mut Argument, domain: Domain, random: &mut Random) {
    match argument {
        Argument::Array(array) => *array = wide(array, domain, random),
        Argument::List(list) => list.iter_mut().for_each(|argument| widen(argument, domain, random)),
        Argument::Plain(_) => {}
    }
}

/// The array in f64, within the domain, its numbers moved a little.
fn wide(array: &Array, domain: Domain, random: &mut Random) -> Array {
    if !array.dtype().is_float() {
        return array.clone();
    }
    let numbers = values(array);
    let near = |x: f64, by: f64| match domain {
        Domain::Any | Domain::Symmetric => x + by,
        Domain::Positive => x.abs() + 0.2 + by,
        Domain::AboveOne => x.abs() + 1.2 + by,
        Domain::Unit => 0.9 * (x + by).tanh(),
    };
    let moved = f64s(array.shape(), |position| near(numbers[position], 0.02 * random.unit()));
    if domain == Domain::Symmetric { symmetric(&moved) } else { moved }
}

/// Half of a stack of square matrices and their transposes; anything else as it is.
fn symmetric(array: &Array) -> Array {
    let &[.., rows, columns] = array.shape() else { return array.clone() };
    if rows != columns {
        return array.clone();
    }
    let numbers = values(array);
    f64s(array.shape(), |position| {
        let (matrix, at) = (position / (rows * rows), position % (rows * rows));
        let mirrored = matrix * rows * rows + at % rows * rows + at / rows;
        (numbers[position] + numbers[mirrored]) / 2.0
    })
}

fn direction(array: &Array, domain: Domain, random: &mut Random) -> Array {
    let way = f64s(array.shape(), |_| random.unit());
    if domain == Domain::Symmetric { symmetric(&way) } else { way }
}

fn moved(array: &Array, way: Option<&Array>, by: f64) -> Array {
    let Some(way) = way else { return array.clone() };
    let (numbers, way) = (values(array), values(way));
    f64s(array.shape(), |position| numbers[position] + by * way[position])
}

/// An array of f64.
fn f64s(shape: &[usize], mut value: impl FnMut(usize) -> f64) -> Array {
    let numbers: Vec<f64> = (0..shape.iter().product()).map(&mut value).collect();
    Array::from_slice(&numbers, shape).expect("as many as the shape has")
}
