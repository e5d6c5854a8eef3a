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
    /// The pointer must be one to an initialised element of the dtype.
    unsafe fn read(self, pointers: &[*mut u8]) -> i64 {
        let pointer = pointers[self.position];
        // SAFETY: by the caller; elements need not be aligned.
        unsafe {
            match self.dtype {
                DType::I8 => i64::from(pointer.cast::<i8>().read_unaligned()),
                DType::I16 => i64::from(pointer.cast::<i16>().read_unaligned()),
                DType::I32 => i64::from(pointer.cast::<i32>().read_unaligned()),
                DType::I64 => pointer.cast::<i64>().read_unaligned(),
                DType::U16 => i64::from(pointer.cast::<u16>().read_unaligned()),
                DType::U32 => i64::from(pointer.cast::<u32>().read_unaligned()),
                DType::U64 => i64::try_from(pointer.cast::<u64>().read_unaligned()).unwrap_or(i64::MAX),
                _ => i64::from(pointer.read()),
            }
        }
    }
}

/// Why a call ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// The flag was set.
    Interrupted,
    /// There was another round.
    Rounds,
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
pub(super) struct Execution<'a> {
    pub(super) pointers: &'a mut [*mut u8],
    pub(super) parts: &'a [Part],
    pub(super) rounds: &'a mut [i64],
    pub(super) scratch: *mut u8,
    pub(super) scratch_stride: usize,
    pub(super) limits: Limits<'a>,
    pub(super) execute: &'a mut dyn FnMut(usize, &Job<'_>),
}

impl Execution<'_> {
    /// # Safety
    /// As [`Prepared::execute`].
    pub(super) unsafe fn steps(&mut self, steps: &[PreparedStep]) -> Result<(), Stopped> {
        for step in steps {
            match step {
                PreparedStep::Job { first_part, end_part, ends, launch, work } => {
                    let parts = &self.parts[*first_part..*end_part];
                    let (scratch, scratch_stride) = (self.scratch, self.scratch_stride);
                    (self.execute)(*launch, &Job { parts, ends, scratch, scratch_stride, work: *work });
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
                    while holds.read(self.pointers) != 0 {
                        self.limits.count_round()?;
                        self.steps(steps)?;
                        self.steps(condition)?;
                    }
                },
                PreparedStep::Branch { index, branches } => {
                    let last = branches.len() - 1;
                    // SAFETY: as above.
                    let index = unsafe { index.read(self.pointers) }.clamp(0, last as i64);
                    // SAFETY: by the caller.
                    unsafe { self.steps(&branches[index as usize]) }?;
                }
            }
        }
        Ok(())
    }
}
