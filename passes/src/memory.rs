//! Memory planning: every buffer of a program gets its place, temporaries in slots of one arena that are used again once
//! their contents are dead.

use crate::target::NOMINAL_EXTENT;
use kc_ir::Dim;
use kc_ir::kernel::{Program, Role};
use kc_ir::manifest::{Buffer, Launch, Place, Plan, Step};

/// Plans a program's memory. Literals are appended to `constants`, each at a multiple of 64 bytes; kernels keep the program's
/// numbers.
pub fn plan(program: &Program, constants: &mut Vec<u8>) -> Plan {
    let lifetimes = lifetimes(program);
    let mut slots: Vec<Slot> = vec![];
    let mut places: Vec<Option<Place>> =
        program.buffers.iter().map(|buffer| fixed_place(&buffer.role, constants)).collect();
    let mut temporaries: Vec<usize> = (0..places.len()).filter(|&b| places[b].is_none()).collect();
    temporaries.sort_by_key(|&b| (lifetimes[b].map(|(first, _)| first), b));
    for buffer in temporaries {
        let ty = &program.buffers[buffer].ty;
        let bytes = ty.elements() * Dim::constant(ty.dtype.bytes() as i64);
        // a buffer that nothing touches still needs a place
        let (first, last) = lifetimes[buffer].unwrap_or((0, 0));
        places[buffer] = Some(Place::Slot(take_slot(&mut slots, bytes, first, last)));
    }
    let buffers = program.buffers.iter().zip(places).map(|(buffer, place)| Buffer {
        dtype: buffer.ty.dtype,
        elements: buffer.ty.elements(),
        place: place.unwrap_or(Place::Slot(0)),
    });
    let steps = program.steps.iter().map(|step| Step {
        launches: step
            .launches
            .iter()
            .map(|launch| Launch {
                kernel: launch.kernel,
                buffers: launch.buffers.clone(),
                dims: launch.dims.clone(),
                tasks: launch.tasks.clone(),
                work: launch.work.clone(),
            })
            .collect(),
    });
    Plan {
        slots: slots.into_iter().map(|slot| slot.bytes).collect(),
        buffers: buffers.collect(),
        steps: steps.collect(),
    }
}

/// Memory that holds one temporary after the other.
struct Slot {
    /// Sizes of all that it holds.
    bytes: Vec<Dim>,
    /// The last step that touches the present contents.
    last: usize,
}

/// The first and last step that touch each buffer.
fn lifetimes(program: &Program) -> Vec<Option<(usize, usize)>> {
    let mut lifetimes = vec![None; program.buffers.len()];
    for (number, step) in program.steps.iter().enumerate() {
        for &buffer in step.launches.iter().flat_map(|launch| &launch.buffers) {
            let (first, _) = lifetimes[buffer].unwrap_or((number, number));
            lifetimes[buffer] = Some((first, number));
        }
    }
    lifetimes
}

/// A slot that is free at `first`: one that has held as many bytes, else the one nearest in size, else a new one.
fn take_slot(slots: &mut Vec<Slot>, bytes: Dim, first: usize, last: usize) -> usize {
    let nominal = |dim: &Dim| dim.evaluate(&|_| Some(NOMINAL_EXTENT)).unwrap_or(i64::MAX);
    let size = nominal(&bytes);
    let distance = |slot: &Slot| slot.bytes.iter().map(nominal).max().unwrap_or(0).abs_diff(size);
    let free = (0..slots.len()).filter(|&s| slots[s].last < first);
    let number = match free.min_by_key(|&s| (distance(&slots[s]), s)) {
        Some(number) => number,
        None => {
            slots.push(Slot { bytes: vec![], last });
            slots.len() - 1
        }
    };
    let slot = &mut slots[number];
    if !slot.bytes.contains(&bytes) {
        slot.bytes.push(bytes);
    }
    slot.last = last;
    number
}

fn fixed_place(role: &Role, constants: &mut Vec<u8>) -> Option<Place> {
    match role {
        Role::Input(input) => Some(Place::Input(*input)),
        Role::Output(output) => Some(Place::Output(*output)),
        Role::State(state) => Some(Place::State(*state)),
        Role::Temporary => None,
        Role::Constant(literal) => {
            constants.resize(constants.len().next_multiple_of(64), 0);
            let offset = constants.len() as u64;
            constants.extend(literal.bytes());
            Some(Place::Constant(offset))
        }
    }
}
