//! Matrices in the registers of a warp, and copies into shared memory that go on beside.

use crate::ptx::Factors;
use half::{bf16, f16};
use std::collections::VecDeque;

const WARP: usize = 32;

/// What each thread of a warp gets of four matrices: `lines` has the 16 bytes that each thread gave the address of.
pub fn distributed(lines: &[[u8; 16]; WARP], transposed: bool) -> [[u64; WARP]; 4] {
    let element = |matrix: usize, row: usize, column: usize| {
        let line = &lines[8 * matrix + row];
        u64::from(u16::from_le_bytes([line[2 * column], line[2 * column + 1]]))
    };
    std::array::from_fn(|matrix| {
        std::array::from_fn(|thread| {
            let (line, pair) = (thread / 4, thread % 4 * 2);
            let [low, high] = [pair, pair + 1].map(|place| match transposed {
                false => element(matrix, line, place),
                true => element(matrix, place, line),
            });
            low | high << 16
        })
    })
}

/// The product of matrices, and sums of 16 by 8 elements: ten registers of each thread to four. Each element is summed in f64 in order, and
/// rounded once.
pub fn product(given: &[[u64; WARP]; 10], factors: Factors) -> [[u64; WARP]; 4] {
    let half = |register: usize, thread: usize, high: usize| {
        let bits = (given[register][thread] >> (16 * high)) as u16;
        if factors == Factors::Brain { bf16::from_bits(bits).to_f64() } else { f16::from_bits(bits).to_f64() }
    };
    let (mut left, mut right) = ([[0.0; 16]; 16], [[0.0; 8]; 16]);
    for (thread, register) in (0..WARP).flat_map(|thread| (0..4).map(move |register| (thread, register))) {
        let (line, place) = (thread / 4, thread % 4);
        let (below, beside) = (8 * (register % 2), register / 2);
        if factors == Factors::Tf32 {
            let single = |register: usize| f64::from(f32::from_bits(given[register][thread] as u32 & !0x1fff));
            left[line + below][place + 4 * beside] = single(register);
            if register < 2 {
                right[place + 4 * register][line] = single(4 + register);
            }
            continue;
        }
        for high in 0..2 {
            left[line + below][2 * place + high + 8 * beside] = half(register, thread, high);
            if register < 2 {
                right[2 * place + high + 8 * register][line] = half(4 + register, thread, high);
            }
        }
    }
    std::array::from_fn(|register| {
        std::array::from_fn(|thread| {
            let (row, column) = (thread / 4 + 8 * (register / 2), thread % 4 * 2 + register % 2);
            let mut sum = f64::from(f32::from_bits(given[6 + register][thread] as u32));
            for (x, right) in left[row].iter().zip(&right) {
                sum += x * right[column];
            }
            let sum = sum as f32;
            // NVIDIA's GPUs give one NaN
            u64::from(if sum.is_nan() { 0x7fff_ffff } else { sum.to_bits() })
        })
    })
}

/// What a copy writes where.
type Written = (u64, Vec<u8>);

/// The copies that the threads of a block have started.
pub struct Copies {
    /// By thread: groups, and those that are in no group yet.
    threads: Vec<(VecDeque<Vec<Written>>, Vec<Written>)>,
    /// By byte of shared memory: whether a copy that nobody has waited for writes it.
    in_flight: Vec<bool>,
}

impl Copies {
    /// None yet.
    pub fn new(threads: usize, shared_bytes: usize) -> Self {
        Copies { threads: (0..threads).map(|_| Default::default()).collect(), in_flight: vec![false; shared_bytes] }
    }

    /// Starts a copy of a thread.
    pub fn start(&mut self, thread: usize, place: u64, bytes: Vec<u8>) {
        self.in_flight[place as usize..place as usize + bytes.len()].fill(true);
        self.threads[thread].1.push((place, bytes));
    }

    /// Whether a copy writes some of these bytes.
    pub fn writes(&self, place: u64, bytes: usize) -> bool {
        self.in_flight.get(place as usize..place as usize + bytes).is_some_and(|bytes| bytes.contains(&true))
    }

    /// Makes a thread's copies a group.
    pub fn commit(&mut self, thread: usize) {
        let (groups, open) = &mut self.threads[thread];
        groups.push_back(std::mem::take(open));
    }

    /// What has been written when a thread has waited for all of its groups but the last `pending`.
    pub fn wait(&mut self, thread: usize, pending: usize) -> Vec<Written> {
        let groups = &mut self.threads[thread].0;
        let done = groups.len().saturating_sub(pending);
        let written: Vec<Written> = groups.drain(..done).flatten().collect();
        for (place, bytes) in &written {
            self.in_flight[*place as usize..*place as usize + bytes.len()].fill(false);
        }
        written
    }
}
