//! Structured control flow: choices and loops over regions. Their results are tuples.

use super::{Backward, Cotangents, Operation, tensor};
use crate::tensor::interpret::{Array, Evaluation, strides};
use crate::tensor::{Builder, Region, Type, TypeError};
use kc_abi::{DType, Dim, TensorType};
use serde::{Deserialize, Serialize};

/// The results of one of several regions: operands are the index of the branch, a scalar, then the parameters of all branches. A
/// bool is 0 or 1; an index below 0 is the first branch, one too large the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cond {
    /// The branches: of equal parameters and results.
    #[serde(skip)]
    pub branches: Vec<Region>,
}

/// A loop while a condition holds: operands are the first values that it carries, then what its regions read besides; both regions
/// take both. `condition` gives a bool, `body` the next values; the results are the values for which the condition does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct While {
    /// Number of carried values.
    pub carried: usize,
    /// Whether the body is executed once more.
    #[serde(skip)]
    pub condition: Region,
    /// The next values.
    #[serde(skip)]
    pub body: Region,
}

/// A loop over the leading axis of sequences: operands are the first values that it carries, then sequences of `length` elements, then
/// what its body reads besides. The body takes the carried values, an element of each sequence and the rest, and gives the next carried
/// values and an element of each output; the results are the last carried values and the outputs, stacked along a leading axis.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// Number of carried values.
    pub carried: usize,
    /// Number of sequences.
    pub sequences: usize,
    /// Number of rounds.
    pub length: Dim,
    /// Whether the rounds go from the last element to the first; outputs lie where their elements' sequences do.
    pub reverse: bool,
    /// One round.
    #[serde(skip)]
    pub body: Region,
}

/// The operands, all of them tensors.
fn tensors<'a>(op: &str, operands: &[&'a Type]) -> Result<Vec<&'a TensorType>, TypeError> {
    (0..operands.len()).map(|position| tensor(op, operands, position)).collect()
}

fn operand(position: usize) -> String {
    format!("operand {position}")
}

/// Differentiation takes the regions of these ops apart itself.
fn by_differentiation(op: &str) -> Result<Cotangents, TypeError> {
    Err(TypeError::new(op, "its gradient is that of its regions, which differentiation builds"))
}

impl Operation for Cond {
    fn name(&self) -> &'static str {
        "cond"
    }
    fn regions(&self) -> Vec<&Region> {
        self.branches.iter().collect()
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let given = tensors("cond", operands)?;
        let Some((index, rest)) = given.split_first() else {
            return Err(TypeError::new("cond", "expected the index of the branch as its first operand, got none"));
        };
        if index.rank() != 0 || index.dtype.is_float() {
            return Err(TypeError::new("cond", format!("the index is {index}, expected a bool or integer scalar")));
        }
        let Some(first) = self.branches.first() else {
            return Err(TypeError::new("cond", "it has no branches, expected one at least"));
        };
        for (number, branch) in self.branches.iter().enumerate() {
            branch.takes("cond", &format!("branch {number}"), rest, &|position| operand(position + 1))?;
            if !branch.result_types().eq(first.result_types()) {
                let types = |region: &Region| Type::Tuple(region.result_types().cloned().collect());
                return Err(TypeError::new(
                    "cond",
                    format!(
                        "branch 0 gives {}, branch {number} gives {}; expected equal types",
                        types(first),
                        types(branch)
                    ),
                ));
            }
        }
        Ok(Type::Tuple(first.result_types().cloned().collect()))
    }
    fn gradient(&self, _: &mut Builder, _: &Backward<'_>) -> Result<Cotangents, TypeError> {
        by_differentiation("cond")
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let (index, rest) = at.operands.split_first().ok_or("the index is missing")?;
        let last = self.branches.len().checked_sub(1).ok_or("there are no branches")?;
        let index = index.get(0).to_i128().clamp(0, last as i128) as usize;
        at.region(&self.branches[index], rest)
    }
}

impl Operation for While {
    fn name(&self) -> &'static str {
        "while"
    }
    fn regions(&self) -> Vec<&Region> {
        vec![&self.condition, &self.body]
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let given = tensors("while", operands)?;
        let Some((carried, _)) = given.split_at_checked(self.carried) else {
            let message = format!("got {} operands, but it carries {} values", given.len(), self.carried);
            return Err(TypeError::new("while", message));
        };
        self.condition.takes("while", "condition", &given, &operand)?;
        self.body.takes("while", "body", &given, &operand)?;
        if !self.condition.result_types().eq([&TensorType::scalar(DType::Bool)]) {
            let types = Type::Tuple(self.condition.result_types().cloned().collect());
            return Err(TypeError::new("while", format!("its condition gives {types}, expected one bool[]")));
        }
        carries("while", carried, self.body.result_types())?;
        if self.body.result_types().len() != self.carried {
            let message =
                format!("its body gives {} values, expected {}", self.body.result_types().len(), self.carried);
            return Err(TypeError::new("while", message));
        }
        Ok(Type::Tuple(carried.iter().map(|&ty| ty.clone()).collect()))
    }
    fn gradient(&self, _: &mut Builder, _: &Backward<'_>) -> Result<Cotangents, TypeError> {
        Err(TypeError::new(
            "while",
            "the number of its rounds is not known, so it cannot be differentiated in reverse; use a scan, or a loop \
             whose number of rounds is known",
        ))
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let mut values = at.operands.to_vec();
        while at.region(&self.condition, &values)?.first().is_some_and(|holds| holds.get(0).to_i128() != 0) {
            at.count_round()?;
            let next = at.region(&self.body, &values)?;
            values.splice(..self.carried, next);
        }
        values.truncate(self.carried);
        Ok(values)
    }
}

/// Checks that the next carried values have the types of those before.
fn carries<'a>(op: &str, carried: &[&TensorType], next: impl Iterator<Item = &'a TensorType>) -> Result<(), TypeError> {
    match (0..).zip(carried.iter().zip(next)).find(|(_, (before, after))| **before != *after) {
        None => Ok(()),
        Some((position, (before, after))) => Err(TypeError::new(
            op,
            format!("carried value {position} is {before}, but its body gives {after}; expected equal types"),
        )),
    }
}

impl Operation for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }
    fn regions(&self) -> Vec<&Region> {
        vec![&self.body]
    }
    fn infer(&self, operands: &[&Type]) -> Result<Type, TypeError> {
        let given = tensors("scan", operands)?;
        let wrong = |message: String| TypeError::new("scan", message);
        if given.len() < self.carried + self.sequences {
            return Err(wrong(format!(
                "got {} operands, expected {} carried values and {} sequences at least",
                given.len(),
                self.carried,
                self.sequences
            )));
        }
        let (carried, rest) = given.split_at(self.carried);
        let (sequences, captures) = rest.split_at(self.sequences);
        let mut elements = Vec::with_capacity(sequences.len());
        for (position, sequence) in sequences.iter().enumerate() {
            match sequence.shape.split_first() {
                Some((length, shape)) if *length == self.length => {
                    elements.push(TensorType { dtype: sequence.dtype, shape: shape.to_vec() })
                }
                _ => {
                    return Err(wrong(format!(
                        "sequence {position} is {sequence}, expected the leading extent {}",
                        self.length
                    )));
                }
            }
        }
        let taken: Vec<&TensorType> =
            carried.iter().copied().chain(&elements).chain(captures.iter().copied()).collect();
        let what = |position: usize| match position.checked_sub(self.carried) {
            Some(sequence) if sequence < self.sequences => format!("the element of sequence {sequence}"),
            _ => operand(position),
        };
        self.body.takes("scan", "body", &taken, &what)?;
        let results: Vec<&TensorType> = self.body.result_types().collect();
        let Some((next, outputs)) = results.split_at_checked(self.carried) else {
            return Err(wrong(format!("its body gives {} values, but it carries {}", results.len(), self.carried)));
        };
        carries("scan", carried, next.iter().copied())?;
        let stacked = outputs.iter().map(|element| TensorType {
            dtype: element.dtype,
            shape: std::iter::once(&self.length).chain(&element.shape).cloned().collect(),
        });
        Ok(Type::Tuple(carried.iter().map(|&ty| ty.clone()).chain(stacked).collect()))
    }
    fn gradient(&self, _: &mut Builder, _: &Backward<'_>) -> Result<Cotangents, TypeError> {
        by_differentiation("scan")
    }
    fn evaluate(&self, at: &Evaluation<'_>) -> Result<Vec<Array>, String> {
        let length = at.symbols.dim(&self.length)?;
        let (carried, rest) = at.operands.split_at(self.carried);
        let (sequences, captures) = rest.split_at(self.sequences);
        let mut carried = carried.to_vec();
        let stacked = &at.results[self.carried..];
        let mut outputs: Vec<Vec<Option<Array>>> = vec![vec![None; length.max(0) as usize]; stacked.len()];
        for round in 0..length {
            at.count_round()?;
            let t = if self.reverse { length - 1 - round } else { round };
            let elements = sequences.iter().map(|sequence| {
                let (steps, shape) = (strides(sequence.shape()), &sequence.shape()[1..]);
                sequence.view(shape, t * steps[0], &steps[1..])
            });
            let elements = elements.collect::<Result<Vec<_>, _>>()?;
            let mut results = at.region(&self.body, &[&*carried, &*elements, captures].concat())?;
            for (output, element) in outputs.iter_mut().zip(results.drain(self.carried..)) {
                output[t as usize] = Some(element);
            }
            carried = results;
        }
        for (elements, (dtype, shape)) in outputs.into_iter().zip(stacked) {
            let elements: Vec<Array> = elements.into_iter().flatten().collect();
            carried.push(Array::stacked(*dtype, shape.clone(), &elements)?);
        }
        Ok(carried)
    }
}
