//! Lanes that lie apart in shared memory: see `kc_ir::kernel::Spaced`.

use super::block::greatest_common_divisor;
use super::value::{lane_type, type_of, vector_of};
use super::{Result, Translator};
use kc_abi::DType;
use kc_ir::kernel::{Index, Register, Spaced};

/// Bytes that one instruction reads or writes at most.
const WIDEST: usize = 16;

/// What a thread touches, in its lanes' order.
struct Own {
    /// Its first element.
    pointer: String,
    /// Elements from there to that of each lane.
    offsets: Vec<i64>,
    /// Elements by a multiple of which the first one lies from the memory's start.
    divisor: i64,
    /// Neighbouring lanes that are neighbours in memory: a power of two.
    neighbours: usize,
    dtype: DType,
}

impl Own {
    /// The alignment in bytes of so many elements from an offset on.
    fn alignment(&self, offset: i64, elements: usize) -> usize {
        let size = self.dtype.bytes();
        let mut bytes = size * elements;
        while bytes < WIDEST && (self.divisor | offset) % (2 * bytes / size) as i64 == 0 {
            bytes *= 2;
        }
        bytes
    }
}

impl Translator<'_> {
    fn own(&mut self, register: Register, spaced: &Spaced) -> Result<Own> {
        let Some(spread) = &self.spread else { return self.error("lanes that lie apart, which only GPUs have") };
        let dtype = self.memory_dtype(spaced.memory)?;
        let (whole, held) = (self.whole_lanes(register), self.kernel.registers[register.0 as usize].lanes);
        if dtype == DType::Bool || whole != held * spread.threads {
            return self.error(format!("{whole} lanes of {dtype} that lie apart, over {} threads", spread.threads));
        }
        // constants come last, so that neighbours are seen to be such
        let (variable, constant) = match &spaced.position {
            Index::Constant(constant) => (None, *constant),
            Index::Add(a, b) if b.as_constant().is_some() => (Some(&**a), b.as_constant().unwrap_or(0)),
            other => (Some(other), 0),
        };
        let (own, others) = spaced.steps.split_at(held.trailing_zeros() as usize);
        let start = variable.map_or(0, |variable| spread.divisor(variable));
        let divisor = others.iter().fold(start, |all, step| greatest_common_divisor(all, step.abs()));
        let runs = own.iter().enumerate().take_while(|(bit, step)| **step == 1 << bit).count();
        let mut neighbours = 1usize << runs;
        let offsets: Vec<i64> = (0..held).map(|lane| constant + spaced.offset(lane)).collect();
        let fits = |count: usize| {
            let starts = offsets.iter().step_by(count);
            count * dtype.bytes() <= WIDEST && starts.chain([&divisor]).all(|start| start % count as i64 == 0)
        };
        while !fits(neighbours) {
            neighbours /= 2;
        }
        let bits: Vec<(u32, i64)> = (0..).zip(others.iter().copied()).filter(|(_, step)| *step != 0).collect();
        let offset = self.of_thread(format!("spaced {bits:?}"), |add| {
            let mut sum = add("arith.constant 0");
            let mut rest = &bits[..];
            while let Some(&(bit, step)) = rest.first() {
                // bits that follow each other, each worth twice the one before, are one number
                let run = (0..).zip(rest).take_while(|(n, (b, s))| *b == bit + n && *s == step << n).count();
                rest = &rest[run..];
                let shift = add(&format!("arith.constant {bit}"));
                let mask = add(&format!("arith.constant {}", (1i64 << run) - 1));
                let worth = add(&format!("arith.constant {step}"));
                let part = add(&format!("arith.shrui %thread, {shift}"));
                let part = add(&format!("arith.andi {part}, {mask}"));
                let part = add(&format!("arith.muli {part}, {worth}"));
                sum = add(&format!("arith.addi {sum}, {part}"));
            }
            sum
        });
        let mut pointer = format!("{}.shared", self.pointers[spaced.memory.0 as usize]);
        pointer = self.moved(&pointer, &offset, dtype);
        if let Some(variable) = variable {
            let variable = self.index(variable)?;
            pointer = self.moved(&pointer, &variable, dtype);
        }
        Ok(Own { pointer, offsets, divisor, neighbours, dtype })
    }

    fn moved(&mut self, pointer: &str, by: &str, dtype: DType) -> String {
        let element = lane_type(dtype);
        self.op(&format!("llvm.getelementptr {pointer}[{by}] : (!llvm.ptr<3>, i64) -> !llvm.ptr<3>, {element}"))
    }

    /// The pointer to the thread's element at an offset.
    fn own_place(&mut self, own: &Own, offset: i64) -> String {
        if offset == 0 {
            return own.pointer.clone();
        }
        let offset = self.i64(offset);
        self.moved(&own.pointer, &offset, own.dtype)
    }

    pub(super) fn load_spaced(&mut self, register: Register, spaced: &Spaced) -> Result<String> {
        self.access(spaced.memory, &spaced.position, 0, false);
        let own = self.own(register, spaced)?;
        let (element, lanes) = (lane_type(own.dtype), own.offsets.len() as u32);
        let part = vector_of(element, own.neighbours as u32);
        let mut values: Vec<(i64, String)> = vec![];
        let mut all = vec![];
        for first in own.offsets.iter().step_by(own.neighbours) {
            let known = values.iter().find(|(offset, _)| offset == first).map(|(_, value)| value.clone());
            let value = known.unwrap_or_else(|| {
                let (place, alignment) = (self.own_place(&own, *first), own.alignment(*first, own.neighbours));
                self.op(&format!("llvm.load {place} {{alignment = {alignment} : i64}} : !llvm.ptr<3> -> {part}"))
            });
            values.push((*first, value.clone()));
            for lane in 0..own.neighbours {
                all.push(match own.neighbours {
                    1 => value.clone(),
                    _ => self.op(&format!("vector.extract {value}[{lane}] : {element} from {part}")),
                });
            }
        }
        match (lanes, all.first()) {
            (1, Some(value)) => Ok(value.clone()),
            (_, Some(first)) if all.iter().all(|value| value == first) => {
                let first = first.clone();
                Ok(self.splat(&first, element, lanes))
            }
            _ => Ok(self.op(&format!("vector.from_elements {} : {}", all.join(", "), type_of(own.dtype, lanes)))),
        }
    }

    pub(super) fn store_spaced(&mut self, spaced: &Spaced, value: Register) -> Result<()> {
        self.access(spaced.memory, &spaced.position, 0, true);
        let own = self.own(value, spaced)?;
        let (element, lanes) = (lane_type(own.dtype), own.offsets.len() as u32);
        let whole = type_of(own.dtype, lanes);
        let value = self.register(value)?;
        for (number, first) in own.offsets.iter().step_by(own.neighbours).enumerate() {
            let lane = |lane: usize| number * own.neighbours + lane;
            let part = match (lanes, own.neighbours) {
                (1, _) => value.clone(),
                (_, 1) => self.op(&format!("vector.extract {value}[{}] : {element} from {whole}", lane(0))),
                _ => {
                    let lanes: Vec<String> = (0..own.neighbours).map(|n| lane(n).to_string()).collect();
                    self.op(&format!("vector.shuffle {value}, {value} [{}] : {whole}, {whole}", lanes.join(", ")))
                }
            };
            let (place, alignment) = (self.own_place(&own, *first), own.alignment(*first, own.neighbours));
            let ty = vector_of(element, own.neighbours as u32);
            self.line(&format!("llvm.store {part}, {place} {{alignment = {alignment} : i64}} : {ty}, !llvm.ptr<3>"));
        }
        Ok(())
    }
}
