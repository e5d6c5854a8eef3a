//! Memory planning: every buffer of a program gets its place, temporaries in slots of one arena that are used again once
//! their contents are dead.

use crate::target::NOMINAL_EXTENT;
use kc_ir::Dim;
use kc_ir::kernel::{Program, Role, Step};
use kc_ir::manifest::{Buffer, Place, Plan};
use std::collections::BTreeSet;

/// Plans a program's memory. Literals are appended to `constants`, each at a multiple of 64 bytes; kernels keep the program's
/// numbers.
pub fn plan(program: &Program, constants: &mut Vec<u8>) -> Plan {
    let lifetimes = Lifetimes::of(program);
    let mut slots: Vec<Slot> = vec![];
    let mut places: Vec<Option<Place>> =
        program.buffers.iter().map(|buffer| fixed_place(&buffer.role, constants)).collect();
    let mut temporaries: Vec<usize> =
        (0..places.len()).filter(|&b| program.buffers[b].role == Role::Temporary).collect();
    temporaries.sort_by_key(|&b| (lifetimes.of_buffer(b).map(|(first, _)| first), b));
    let kept = kept(program);
    for buffer in temporaries {
        let ty = &program.buffers[buffer].ty;
        let bytes = ty.elements() * Dim::constant(ty.dtype.bytes() as i64);
        // a buffer that nothing touches still needs a place
        let (first, last) = match kept.contains(&buffer) {
            // it is read in later calls, too
            true => (0, usize::MAX),
            false => lifetimes.of_buffer(buffer).unwrap_or((0, 0)),
        };
        places[buffer] = Some(Place::Slot(take_slot(&mut slots, bytes, first, last)));
    }
    let buffers = program.buffers.iter().enumerate().map(|(number, buffer)| {
        let (root, offset) = program.root(number);
        let place = places[root].clone().unwrap_or(Place::Slot(0));
        Buffer { dtype: buffer.ty.dtype, elements: buffer.ty.elements(), place, offset }
    });
    Plan {
        slots: slots.into_iter().map(|slot| slot.bytes).collect(),
        buffers: buffers.collect(),
        steps: program.steps.clone(),
        kept: program.kept,
    }
}

/// The buffers that later calls read without repeating the steps that write them.
fn kept(program: &Program) -> BTreeSet<usize> {
    let launches = program.steps[..program.kept].iter().flat_map(|step| match step {
        Step::Launches(launches) => &launches[..],
        _ => &[],
    });
    let written: BTreeSet<usize> =
        launches.flat_map(|launch| &launch.buffers).map(|&buffer| program.root(buffer).0).collect();
    let mut read = BTreeSet::new();
    let mut open: Vec<&Step> = program.steps[program.kept..].iter().collect();
    while let Some(step) = open.pop() {
        let buffers: Vec<usize> = match step {
            Step::Launches(launches) => launches.iter().flat_map(|launch| launch.buffers.clone()).collect(),
            Step::While { holds: buffer, .. } | Step::Branch { index: buffer, .. } => vec![*buffer],
            Step::Loop { .. } => vec![],
        };
        read.extend(buffers.into_iter().map(|buffer| program.root(buffer).0));
        open.extend(step.blocks().into_iter().flatten());
    }
    &written & &read
}

/// Memory that holds one temporary after the other.
struct Slot {
    /// Sizes of all that it holds.
    bytes: Vec<Dim>,
    /// The last step that touches the present contents.
    last: usize,
}

/// Steps that are executed together: the program's, a round of a loop, a branch. Numbers are those of the steps in the order of the
/// text form.
struct Block {
    around: usize,
    first: usize,
    last: usize,
}

/// When buffers are touched. A buffer that only one block touches lives there from its first use to its last; one that steps around a
/// loop touch as well lives as long as the loop.
struct Lifetimes {
    blocks: Vec<Block>,
    next: usize,
    /// For each buffer that is no part of another the steps and blocks where it is touched.
    uses: Vec<Vec<(usize, usize)>>,
}

impl Lifetimes {
    fn of(program: &Program) -> Self {
        let mut this = Lifetimes {
            blocks: vec![Block { around: 0, first: 0, last: usize::MAX }],
            next: 0,
            uses: vec![vec![]; program.buffers.len()],
        };
        this.steps(program, &program.steps, 0);
        this
    }

    fn touch(&mut self, program: &Program, buffer: usize, block: usize) {
        self.uses[program.root(buffer).0].push((self.next, block));
    }

    fn block(&mut self, around: usize, add: impl FnOnce(&mut Self, usize)) {
        let block = self.blocks.len();
        self.blocks.push(Block { around, first: self.next, last: self.next });
        add(self, block);
        self.blocks[block].last = self.next;
        self.next += 1;
    }

    fn steps(&mut self, program: &Program, steps: &[Step], block: usize) {
        for step in steps {
            match step {
                Step::Launches(launches) => {
                    let touched = launches.iter().flat_map(|launch| &launch.buffers);
                    touched.for_each(|&buffer| self.touch(program, buffer, block));
                    self.next += 1;
                }
                Step::Loop { steps, .. } => self.block(block, |this, inner| this.steps(program, steps, inner)),
                Step::While { condition, holds, steps } => self.block(block, |this, inner| {
                    this.steps(program, condition, inner);
                    this.touch(program, *holds, inner);
                    this.next += 1;
                    this.steps(program, steps, inner);
                }),
                Step::Branch { index, branches } => {
                    self.touch(program, *index, block);
                    self.next += 1;
                    // as one block, so that what several branches write lives through all of them
                    self.block(block, |this, all| {
                        branches.iter().for_each(|steps| this.block(all, |this, one| this.steps(program, steps, one)))
                    });
                }
            }
        }
    }

    /// The blocks around a block, from the program's on, itself included.
    fn path(&self, mut block: usize) -> Vec<usize> {
        let mut path = vec![block];
        while block != 0 {
            block = self.blocks[block].around;
            path.push(block);
        }
        path.reverse();
        path
    }

    /// The first and last step that touch a buffer.
    fn of_buffer(&self, buffer: usize) -> Option<(usize, usize)> {
        let paths: Vec<(usize, Vec<usize>)> =
            self.uses[buffer].iter().map(|&(step, block)| (step, self.path(block))).collect();
        let (_, shortest) = paths.iter().min_by_key(|(_, path)| path.len())?;
        let depth =
            (0..shortest.len()).take_while(|&i| paths.iter().all(|(_, path)| path.get(i) == shortest.get(i))).count();
        let spans = paths.iter().map(|(step, path)| match path.get(depth) {
            Some(&inner) => (self.blocks[inner].first, self.blocks[inner].last),
            None => (*step, *step),
        });
        spans.reduce(|(a, b), (first, last)| (a.min(first), b.max(last)))
    }
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
        Role::Temporary | Role::Part { .. } => None,
        Role::Constant(literal) => {
            constants.resize(constants.len().next_multiple_of(64), 0);
            let offset = constants.len() as u64;
            constants.extend(literal.bytes());
            Some(Place::Constant(offset))
        }
    }
}
