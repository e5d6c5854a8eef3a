//! A prepared plan in execution.

use crate::heap::*;
use crate::pool::{Job, Part};
use core::sync::atomic::{AtomicBool, Ordering};
use kc_abi::DType;

/// What is executed next.
pub(super) enum PreparedStep {
    Job {
        first_part: usize,
        end_part: usize,
        /// One end of a range of parts a thread; empty where the calling thread executes all.
        ends: Box<[u16]>,
        /// Number of the first launch, counted over the plan.
        launch: usize,
        work: i64,
    },
    Loop {
        /// The loop's number among all.
        number: usize,
        rounds: i64,
        /// Pointers that this loop's rounds move.
        moving: Box<[Moving]>,
        steps: Box<[PreparedStep]>,
    },
    While {
        condition: Box<[PreparedStep]>,
        holds: Scalar,
        steps: Box<[PreparedStep]>,
    },
    Branch {
        index: Scalar,
        branches: Box<[Box<[PreparedStep]>]>,
    },
}

/// A pointer of the table that depends on rounds of loops: it is that at `base` and `round * step + round / 2 * half` bytes for each
/// of these loops.
pub(super) struct Moving {
    pub(super) position: usize,
    pub(super) base: usize,
    pub(super) terms: Box<[Term]>,
}

#[derive(Clone, Copy)]
pub(super) struct Term {
    pub(super) number: usize,
    pub(super) step: isize,
    pub(super) half: isize,
}

/// A number in memory that decides what is executed: its pointer in the table.
#[derive(Clone, Copy)]
pub(super) struct Scalar {
    pub(super) position: usize,
    pub(super) dtype: DType,
}

impl Scalar {
    /// # Safety
    /// The pointer must be one to an initialised element of the dtype, in the machine's memory.
    unsafe fn read<K>(self, pointers: &[*mut u8], machine: &mut dyn Machine<K>) -> Result<i64, Stopped> {
        let mut bytes = [0; 8];
        let size = self.dtype.bytes().min(8);
        // SAFETY: by the caller.
        unsafe { machine.read(pointers[self.position], &mut bytes[..size]) }?;
        let value = u64::from_le_bytes(bytes);
        Ok(match self.dtype {
            DType::I8 => i64::from(value as i8),
            DType::I16 => i64::from(value as i16),
            DType::I32 => i64::from(value as i32),
            DType::I64 => value as i64,
            DType::U64 => i64::try_from(value).unwrap_or(i64::MAX),
            _ => value as i64,
        })
    }
}

/// Why a call ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The flag was set.
    Interrupted,
    /// There was another round.
    Rounds,
    /// The machine failed; it knows why.
    #[cfg(feature = "cuda")]
    Machine,
}

/// What executes the jobs of a plan and reads what decides about them.
pub(super) trait Machine<K> {
    /// Executes a job, whose first launch has this number in the plan.
    fn run(&mut self, launch: usize, job: &Job<'_, K>) -> Result<(), Stopped>;

    /// The bytes of an element, once all jobs before have written it.
    ///
    /// # Safety
    /// The pointer must be one of the plan's, to so many initialised bytes.
    unsafe fn read(&mut self, pointer: *const u8, bytes: &mut [u8]) -> Result<(), Stopped>;
}

/// What ends a `while` loop that its condition does not end.
#[derive(Clone, Copy)]
pub(super) struct Limits<'a> {
    pub(super) interrupt: Option<&'a AtomicBool>,
    /// Rounds that are left.
    pub(super) rounds: u64,
}

impl Limits<'_> {
    fn count_round(&mut self) -> Result<(), Stopped> {
        if self.interrupt.is_some_and(|flag| flag.load(Ordering::Relaxed)) {
            return Err(Stopped::Interrupted);
        }
        self.rounds = self.rounds.checked_sub(1).ok_or(Stopped::Rounds)?;
        Ok(())
    }
}

/// A step of a session.
pub(super) struct Execution<'a, K> {
    pub(super) pointers: &'a mut [*mut u8],
    pub(super) parts: &'a [Part<K>],
    pub(super) rounds: &'a mut [i64],
    pub(super) scratch: *mut u8,
    pub(super) scratch_stride: usize,
    pub(super) limits: Limits<'a>,
    pub(super) machine: &'a mut dyn Machine<K>,
}

impl<K> Execution<'_, K> {
    /// # Safety
    /// As [`Prepared::execute`].
    pub(super) unsafe fn steps(&mut self, steps: &[PreparedStep]) -> Result<(), Stopped> {
        for step in steps {
            match step {
                PreparedStep::Job { first_part, end_part, ends, launch, work } => {
                    let parts = &self.parts[*first_part..*end_part];
                    let (scratch, scratch_stride) = (self.scratch, self.scratch_stride);
                    self.machine.run(*launch, &Job { parts, ends, scratch, scratch_stride, work: *work })?;
                }
                PreparedStep::Loop { number, rounds, moving, steps } => {
                    for round in 0..*rounds {
                        self.rounds[*number] = round;
                        for pointer in moving {
                            let bytes = pointer.terms.iter().fold(0isize, |sum, term| {
                                let round = self.rounds[term.number] as isize;
                                sum + round * term.step + (round >> 1) * term.half
                            });
                            self.pointers[pointer.position] = self.pointers[pointer.base].wrapping_offset(bytes);
                        }
                        // SAFETY: by the caller; the offsets of all rounds were checked.
                        unsafe { self.steps(steps) }?;
                    }
                }
                // SAFETY: by the caller; the scalars' places were checked.
                PreparedStep::While { condition, holds, steps } => unsafe {
                    self.steps(condition)?;
                    while holds.read(self.pointers, self.machine)? != 0 {
                        self.limits.count_round()?;
                        self.steps(steps)?;
                        self.steps(condition)?;
                    }
                },
                PreparedStep::Branch { index, branches } => {
                    let last = branches.len() - 1;
                    // SAFETY: as above.
                    let index = unsafe { index.read(self.pointers, self.machine) }?.clamp(0, last as i64);
                    // SAFETY: by the caller.
                    unsafe { self.steps(&branches[index as usize]) }?;
                }
            }
        }
        Ok(())
    }
}
