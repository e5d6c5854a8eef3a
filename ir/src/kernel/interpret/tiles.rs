//! Fragments of matrices, and copies that go on beside.

use super::InterpretError;
use super::compile::{CopyCode, Slots, SpacedCode, TilesCode};
use super::machine::{Executed, Machine};
use crate::kernel::fragment::{EXTENT, LANES, Side, to_tf32};
use half::{bf16, f16};
use kc_abi::DType;

/// A copy that was started: what it writes is seen when it is awaited.
#[derive(Debug)]
pub(super) struct Started {
    group: u64,
    memory: u32,
    /// The first byte, and the bytes.
    lines: Vec<(usize, Vec<u8>)>,
}

/// Copies that were started and not awaited, and the number of groups before.
#[derive(Debug, Default)]
pub(super) struct Copies {
    started: Vec<Started>,
    groups: u64,
}

impl Machine<'_> {
    /// The position in bytes of each lane's element.
    fn places(
        &mut self,
        what: &'static str,
        (memory, size): (u32, usize),
        position: i64,
        offsets: impl Iterator<Item = i64>,
        buffers: &mut [Vec<u8>],
    ) -> Executed<Vec<usize>> {
        let elements = self.bytes(memory, buffers).len() / size;
        let place = |offset: i64| {
            let at = position.checked_add(offset);
            match at.and_then(|at| usize::try_from(at).ok()).filter(|at| *at < elements) {
                Some(at) => Ok(at * size),
                None => Err(self.out_of_bounds(what, memory, (at.unwrap_or(position), 1), elements)),
            }
        };
        offsets.map(place).collect()
    }

    fn fragment_places(
        &mut self,
        what: &'static str,
        code: &TilesCode,
        side: Side,
        buffers: &mut [Vec<u8>],
    ) -> Executed<Vec<usize>> {
        let position = self.index(code.position)?;
        let offset = |lane: u32| {
            let (warp, lane) = (lane as usize / LANES, lane as usize % LANES);
            code.tiles.offset(warp as i64) + code.tiles.within(side.place(lane))
        };
        let memory = (code.tiles.memory.0, code.dtype.bytes());
        self.places(what, memory, position, (0..code.value.lanes).map(offset), buffers)
    }

    /// Reads an element at each place.
    fn read_places(&mut self, memory: u32, size: usize, places: &[usize], value: Slots, buffers: &mut [Vec<u8>]) {
        let bytes = self.bytes(memory, buffers);
        let read = |place: &usize| {
            let element = &bytes[*place..*place + size];
            element.iter().rev().fold(0, |all, &byte| all << 8 | u64::from(byte))
        };
        let values: Vec<u64> = places.iter().map(read).collect();
        self.slots_of(value).copy_from_slice(&values);
    }

    /// Writes a lane to each place.
    fn write_places(&mut self, memory: u32, size: usize, places: &[usize], value: Slots, buffers: &mut [Vec<u8>]) {
        let values = self.slots_of(value).to_vec();
        let bytes = self.bytes(memory, buffers);
        for (place, value) in places.iter().zip(values) {
            bytes[*place..*place + size].copy_from_slice(&value.to_le_bytes()[..size]);
        }
    }

    pub(super) fn load_spaced(&mut self, code: &SpacedCode, buffers: &mut [Vec<u8>]) -> Executed {
        let (position, size) = (self.index(code.position)?, code.dtype.bytes());
        let offsets = code.offsets.iter().copied();
        let places = self.places("load_spaced", (code.memory, size), position, offsets, buffers)?;
        self.read_places(code.memory, size, &places, code.value, buffers);
        Ok(())
    }

    pub(super) fn store_spaced(&mut self, code: &SpacedCode, buffers: &mut [Vec<u8>]) -> Executed {
        let (position, size) = (self.index(code.position)?, code.dtype.bytes());
        let offsets = code.offsets.iter().copied();
        let places = self.places("store_spaced", (code.memory, size), position, offsets, buffers)?;
        self.write_places(code.memory, size, &places, code.value, buffers);
        Ok(())
    }

    pub(super) fn load_tiles(&mut self, code: &TilesCode, side: Side, buffers: &mut [Vec<u8>]) -> Executed {
        let places = self.fragment_places("load_tiles", code, side, buffers)?;
        self.read_places(code.tiles.memory.0, code.dtype.bytes(), &places, code.value, buffers);
        Ok(())
    }

    pub(super) fn store_tiles(&mut self, code: &TilesCode, buffers: &mut [Vec<u8>]) -> Executed {
        let places = self.fragment_places("store_tiles", code, Side::Sums, buffers)?;
        self.write_places(code.tiles.memory.0, code.dtype.bytes(), &places, code.value, buffers);
        Ok(())
    }

    pub(super) fn multiply_tiles(&mut self, dtype: DType, d: Slots, [a, b, c]: [u32; 3]) {
        let number = |bits: u64, dtype: DType| match dtype {
            DType::F16 => f16::from_bits(bits as u16).to_f64(),
            DType::Bf16 => bf16::from_bits(bits as u16).to_f64(),
            // the verifier admits f32 besides
            _ => f32::from_bits(bits as u32).into(),
        };
        for warp in (0..d.lanes).step_by(LANES) {
            let mut matrix = |at: u32, side: Side, dtype: DType| {
                let mut matrix = [[0.0; EXTENT]; EXTENT];
                let slots = self.slots_of(Slots { at: at + warp, lanes: LANES as u32 });
                for (lane, bits) in slots.iter().enumerate() {
                    let (row, column) = side.place(lane);
                    let value = number(*bits, dtype);
                    let is_tf32 = side != Side::Sums && dtype == DType::F32;
                    matrix[row][column] = if is_tf32 { to_tf32(value as f32).into() } else { value };
                }
                matrix
            };
            let (left, right) = (matrix(a, Side::Left, dtype), matrix(b, Side::Right, dtype));
            let mut sums = matrix(c, Side::Sums, DType::F32);
            for (left, sums) in left.iter().zip(&mut sums) {
                for (x, right) in left.iter().zip(&right) {
                    sums.iter_mut().zip(right).for_each(|(sum, y)| *sum += x * y);
                }
            }
            let results = self.slots_of(Slots { at: d.at + warp, lanes: LANES as u32 });
            for (lane, slot) in results.iter_mut().enumerate() {
                let (row, column) = Side::Sums.place(lane);
                *slot = (sums[row][column] as f32).to_bits().into();
            }
        }
    }

    /// Starts a copy. Until it is awaited, its place has no values.
    pub(super) fn copy(&mut self, code: &CopyCode, buffers: &mut [Vec<u8>]) -> Executed {
        let (to, from, first) = (self.index(code.to)?, self.index(code.from)?, self.index(code.first)?);
        let strides = code.strides.iter().map(|&stride| self.index(stride)).collect::<Executed<Vec<i64>>>()?;
        let extents = code.extents.iter().map(|&extent| self.index(extent)).collect::<Executed<Vec<i64>>>()?;
        if let Some(&divisor) = extents.iter().find(|extent| **extent < 1) {
            let kernel = self.code.kernel.name.clone();
            return Err(InterpretError::Divisor { kernel, task: self.task, divisor });
        }
        // elements from line 0 to a line; too far where that cannot be said
        let offset = |line: i64| {
            let (mut rest, mut offset) = (first.checked_add(line)?, 0i64);
            for (stride, extent) in strides[1..].iter().zip(&extents).rev() {
                offset = offset.checked_add(stride.checked_mul(rest.rem_euclid(*extent))?)?;
                rest = rest.div_euclid(*extent);
            }
            offset.checked_add(strides[0].checked_mul(rest)?)
        };
        let [lines, elements] = code.valid;
        let (valid_lines, valid) = (self.index(lines)?, self.index(elements)?.clamp(0, code.copy.elements));
        let size = code.dtype.bytes();
        let mut started = Started { group: self.copies.groups, memory: code.copy.to.0, lines: vec![] };
        for line in 0..code.copy.lines {
            let mut values = vec![0u8; code.copy.elements as usize * size];
            if line < valid_lines && valid > 0 {
                let start = offset(line).and_then(|offset| from.checked_add(offset)).unwrap_or(-1);
                let read = self.range("copy", code.copy.from.0, (start, valid), size, buffers)?;
                let bytes = self.bytes(code.copy.from.0, buffers);
                values[..valid as usize * size].copy_from_slice(&bytes[read..read + valid as usize * size]);
            }
            let start = to.saturating_add(line * code.copy.to_stride);
            let place = self.range("copy", started.memory, (start, code.copy.elements), size, buffers)?;
            self.bytes(started.memory, buffers)[place..place + values.len()].fill(0xff);
            started.lines.push((place, values));
        }
        self.copies.started.push(started);
        Ok(())
    }

    /// The first byte of elements, all of which the memory has.
    fn range(
        &mut self,
        what: &'static str,
        memory: u32,
        (position, count): (i64, i64),
        size: usize,
        buffers: &mut [Vec<u8>],
    ) -> Executed<usize> {
        let elements = self.bytes(memory, buffers).len() / size;
        match position.checked_add(count) {
            Some(end) if position >= 0 && end <= elements as i64 => Ok(position as usize * size),
            _ => Err(self.out_of_bounds(what, memory, (position, count), elements)),
        }
    }

    pub(super) fn commit_copies(&mut self) {
        self.copies.groups += 1;
    }

    pub(super) fn await_copies(&mut self, pending: u32, buffers: &mut [Vec<u8>]) {
        let Copies { started, groups } = std::mem::take(&mut self.copies);
        let done = groups.saturating_sub(pending.into());
        let (ended, rest): (Vec<Started>, Vec<Started>) = started.into_iter().partition(|copy| copy.group < done);
        self.copies = Copies { started: rest, groups };
        for Started { memory, lines, .. } in ended {
            let bytes = self.bytes(memory, buffers);
            for (place, values) in lines {
                bytes[place..place + values.len()].copy_from_slice(&values);
            }
        }
    }
}
