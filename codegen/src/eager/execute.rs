//! Dispatching what an entry point is made of, one after the other.

use super::EagerError;
use kc_ir::DType;
use kc_ir::tensor::{Argument, ResultSlot};
use kc_runtime::{Array, EntryId, Session, SessionError, SessionOptions};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// An entry point for known extents.
pub(super) struct Compiled {
    pub(super) session: Session,
    /// One a compiled op.
    pub(super) entries: Vec<EntryId>,
    pub(super) calls: Vec<Call>,
    /// Where the entry point's parameters and results lie among the values.
    pub(super) arguments: Vec<(usize, Argument)>,
    pub(super) results: Vec<(usize, ResultSlot)>,
    pub(super) values: Vec<Option<Array>>,
}

/// What is dispatched; numbers are places among the values.
pub(super) enum Call {
    /// A compiled op.
    Op { number: usize, inputs: Vec<usize>, outputs: Vec<usize> },
    /// One of several blocks.
    Cond { index: usize, operands: Vec<usize>, branches: Vec<Block>, outputs: Vec<usize> },
    /// A block while another one says so.
    While { operands: Vec<usize>, carried: usize, condition: Block, body: Block, outputs: Vec<usize> },
    /// A block for each element of sequences.
    Scan(Scan),
}

/// A loop over sequences.
pub(super) struct Scan {
    pub(super) operands: Vec<usize>,
    pub(super) carried: usize,
    pub(super) sequences: usize,
    pub(super) length: usize,
    pub(super) reverse: bool,
    pub(super) body: Block,
    pub(super) outputs: Vec<usize>,
    /// Dtypes and shapes of the outputs behind what is carried.
    pub(super) stacked: Vec<(DType, Vec<usize>)>,
}

/// The calls of a region.
pub(super) struct Block {
    pub(super) parameters: Vec<usize>,
    pub(super) calls: Vec<Call>,
    pub(super) results: Vec<usize>,
}

/// A dispatch in progress.
struct Execution<'a> {
    session: &'a mut Session,
    entries: &'a [EntryId],
    borrowed: BTreeMap<usize, &'a Array>,
    values: &'a mut Vec<Option<Array>>,
    entry: &'a str,
    options: &'a SessionOptions,
    /// Rounds that `while` loops may still take.
    rounds: u64,
}

impl Execution<'_> {
    fn get(&self, place: usize) -> Result<&Array, SessionError> {
        let found = self.borrowed.get(&place).copied().or(self.values[place].as_ref());
        found.ok_or_else(|| SessionError::Manifest(format!("value {place} is read before it is computed")))
    }

    fn all(&self, places: &[usize]) -> Result<Vec<Array>, SessionError> {
        places.iter().map(|&place| self.get(place).cloned()).collect()
    }

    fn set(&mut self, places: &[usize], arrays: impl IntoIterator<Item = Array>) {
        for (&place, array) in places.iter().zip(arrays) {
            self.values[place] = Some(array);
        }
    }

    /// As a session does, which executes no more than the ops here.
    fn count_round(&mut self) -> Result<(), SessionError> {
        let SessionOptions { interrupt, round_limit, .. } = self.options;
        if interrupt.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            return Err(SessionError::Interrupted { entry: self.entry.to_string() });
        }
        let limit = round_limit.unwrap_or(u64::MAX);
        let exceeded = || SessionError::Rounds { entry: self.entry.to_string(), limit };
        self.rounds = self.rounds.checked_sub(1).ok_or_else(exceeded)?;
        Ok(())
    }

    fn calls(&mut self, calls: &[Call]) -> Result<(), SessionError> {
        calls.iter().try_for_each(|call| self.call(call))
    }

    fn call(&mut self, call: &Call) -> Result<(), SessionError> {
        match call {
            Call::Op { number, inputs, outputs } => {
                let Execution { session, entries, borrowed, values, .. } = self;
                let of = |place: &usize| borrowed.get(place).copied().or(values[*place].as_ref());
                let operands: Vec<&Array> = inputs.iter().filter_map(of).collect();
                let mut computed = Vec::with_capacity(outputs.len());
                session.run_into(entries[*number], &operands, &mut computed)?;
                self.set(outputs, computed);
            }
            Call::Cond { index, operands, branches, outputs } => {
                let index = self.get(*index)?.first_as_f64().unwrap_or(0.0);
                let branch = &branches[(index.max(0.0) as usize).min(branches.len() - 1)];
                let given = self.all(operands)?;
                self.set(&branch.parameters, given);
                self.calls(&branch.calls)?;
                let results = self.all(&branch.results)?;
                self.set(outputs, results);
            }
            Call::While { operands, carried, condition, body, outputs } => {
                let given = self.all(operands)?;
                self.set(&condition.parameters, given.iter().cloned());
                self.set(&body.parameters, given);
                loop {
                    self.calls(&condition.calls)?;
                    let holds = self.all(&condition.results)?;
                    if holds.first().and_then(Array::first_as_f64) != Some(1.0) {
                        break;
                    }
                    self.count_round()?;
                    self.calls(&body.calls)?;
                    let next = self.all(&body.results)?;
                    self.set(&condition.parameters[..*carried], next.iter().cloned());
                    self.set(&body.parameters[..*carried], next);
                }
                let results = self.all(&body.parameters[..*carried])?;
                self.set(outputs, results);
            }
            Call::Scan(scan) => self.scan(scan)?,
        }
        Ok(())
    }

    fn scan(&mut self, scan: &Scan) -> Result<(), SessionError> {
        let given = self.all(&scan.operands)?;
        let elements = scan.carried..scan.carried + scan.sequences;
        for (position, array) in given.iter().enumerate().filter(|(position, _)| !elements.contains(position)) {
            self.set(&scan.body.parameters[position..=position], [array.clone()]);
        }
        let mut stacked = vec![];
        for (dtype, shape) in &scan.stacked {
            stacked.push(Array::zeros(*dtype, shape)?);
        }
        for round in 0..scan.length {
            let element = if scan.reverse { scan.length - 1 - round } else { round };
            for position in elements.clone() {
                let (sequence, shape) = (&given[position], &given[position].shape()[1..]);
                let bytes = sequence.bytes().len() / scan.length;
                let own = &sequence.bytes()[element * bytes..(element + 1) * bytes];
                let array = Array::from_bytes(sequence.dtype(), shape, own)?;
                self.set(&scan.body.parameters[position..=position], [array]);
            }
            self.calls(&scan.body.calls)?;
            let mut next = self.all(&scan.body.results)?;
            for (stack, array) in stacked.iter_mut().zip(next.drain(scan.carried..)) {
                let bytes = array.bytes().len();
                stack.bytes_mut()[element * bytes..(element + 1) * bytes].copy_from_slice(array.bytes());
            }
            self.set(&scan.body.parameters[..scan.carried], next);
        }
        let last = self.all(&scan.body.parameters[..scan.carried])?;
        self.set(&scan.outputs, last.into_iter().chain(stacked));
        Ok(())
    }
}

impl Compiled {
    /// Dispatches all ops; returns the results, outputs in their order.
    pub(super) fn run(
        &mut self,
        entry: &str,
        options: &SessionOptions,
        state: &[Array],
        inputs: &[&Array],
    ) -> Result<Vec<(ResultSlot, Array)>, EagerError> {
        let Compiled { session, entries, calls, arguments, results, values } = self;
        let mut borrowed: BTreeMap<usize, &Array> = BTreeMap::new();
        for &(place, argument) in arguments.iter() {
            let array = match argument {
                Argument::Input(input) => inputs.get(input).copied(),
                Argument::State(number) => state.get(number),
            };
            borrowed.extend(array.map(|array| (place, array)));
        }
        let rounds = options.round_limit.unwrap_or(u64::MAX);
        let mut execution = Execution { session, entries, borrowed, values, entry, options, rounds };
        execution.calls(calls)?;
        let Execution { borrowed, values, .. } = execution;
        let mut last_use: BTreeMap<usize, usize> = BTreeMap::new();
        results.iter().enumerate().for_each(|(number, (place, _))| {
            last_use.insert(*place, number);
        });
        let mut computed = Vec::with_capacity(results.len());
        for (number, &(place, slot)) in results.iter().enumerate() {
            let value = match borrowed.get(&place) {
                Some(array) => Some((*array).clone()),
                None if last_use[&place] == number => values[place].take(),
                None => values[place].clone(),
            };
            computed.extend(value.map(|value| (slot, value)));
        }
        values.iter_mut().for_each(|value| *value = None);
        Ok(computed)
    }
}
