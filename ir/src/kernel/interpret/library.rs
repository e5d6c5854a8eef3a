use super::InterpretError;
use super::compile::{LibraryCode, RegionCode};
use super::gemm::{View, view};
use super::machine::{Executed, Machine};
use crate::library::{self, Extents};

/// A region whose every element lies in its memory.
struct Place {
    memory: u32,
    view: View,
    extents: Extents,
}

impl Place {
    /// Where each element starts, in bytes, in row-major order.
    fn offsets(&self) -> impl Iterator<Item = usize> {
        let (rows, columns) = (self.extents.rows as usize, self.extents.columns as usize);
        let size = self.extents.dtype.bytes();
        (0..rows).flat_map(move |i| (0..columns).map(move |j| self.view.at(i, j) * size))
    }
}

/// Executes a call: the results of [`library::evaluate`], each rounded once.
pub(super) fn call(machine: &mut Machine, code: &LibraryCode, buffers: &mut [Vec<u8>]) -> Executed {
    let name = code.function.name();
    let mut places = Vec::new();
    for region in code.reads.iter().chain(&code.writes) {
        places.push(place(machine, name, region, buffers)?);
    }
    let (reads, writes) = places.split_at(code.reads.len());
    let mut given = Vec::new();
    for place in reads {
        let size = place.extents.dtype.bytes();
        let bytes = machine.bytes(place.memory, buffers);
        let elements = place.offsets().flat_map(|start| bytes[start..start + size].iter().copied()).collect();
        given.push((place.extents, elements));
    }
    let expected: Vec<Extents> = writes.iter().map(|place| place.extents).collect();
    let results = library::evaluate_bytes(code.function, &code.attributes, &given, &expected).map_err(|message| {
        InterpretError::Library { kernel: machine.code.kernel.name.clone(), task: machine.task, message }
    })?;
    for (place, result) in writes.iter().zip(results) {
        let size = place.extents.dtype.bytes();
        let bytes = machine.bytes(place.memory, buffers);
        for (start, element) in place.offsets().zip(result.chunks_exact(size)) {
            bytes[start..start + size].copy_from_slice(element);
        }
    }
    Ok(())
}

fn place(machine: &mut Machine, name: &'static str, region: &RegionCode, buffers: &mut [Vec<u8>]) -> Executed<Place> {
    let memory = region.matrix.memory;
    let dtype = machine.code.kernel.memory[memory as usize].dtype;
    let (rows, columns) = (machine.index(region.rows)?, machine.index(region.columns)?);
    let extents = Extents { dtype, rows, columns };
    let view = match rows > 0 && columns > 0 {
        true => view(machine, name, &region.matrix, (rows, columns), buffers)?,
        false => View { position: 0, row: 0, column: 0 },
    };
    Ok(Place { memory, view, extents })
}
