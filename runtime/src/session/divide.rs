//! Dividing launches among threads.

use crate::heap::*;
use crate::pool::{DIVIDED_WORK, MAXIMUM_PARTS};
use core::ops::Range;

/// Ranges of tasks that a thread is given of each launch: more than one, so that a thread that comes late leaves some.
const PARTS_PER_THREAD: i64 = 4;

/// A launch whose extents are known.
pub(super) struct Ready<K> {
    pub(super) kernel: K,
    pub(super) first_pointer: usize,
    pub(super) first_dim: usize,
    /// Its tasks in parts, each of which is divided by itself.
    pub(super) parts: Vec<Range<i64>>,
    pub(super) work: i64,
}

pub(super) fn work_of<K>(launches: &[Ready<K>]) -> i64 {
    launches.iter().fold(0i64, |sum, launch| sum.saturating_add(launch.work))
}

/// Calls `part` with the ranges of tasks in the order of the threads they are given to, and returns where each thread's end;
/// nothing, and whole launches, where one thread does it all.
pub(super) fn divide<K>(
    launches: &[Ready<K>],
    threads: usize,
    mut part: impl FnMut(&Ready<K>, i64, i64),
) -> Box<[u16]> {
    let work = work_of(launches);
    let ranges = || launches.iter().flat_map(|launch| launch.parts.iter().map(move |range| (launch, range)));
    let tasks = ranges().fold(0i64, |sum, (_, range)| sum.saturating_add(range.end - range.start));
    let most = ranges().count() * threads * PARTS_PER_THREAD as usize;
    if threads < 2 || work < DIVIDED_WORK || tasks < 2 || most > MAXIMUM_PARTS {
        for launch in launches {
            if let (Some(first), Some(last)) = (launch.parts.first(), launch.parts.last())
                && first.start < last.end
            {
                part(launch, first.start, last.end);
            }
        }
        return Box::new([]);
    }
    let mut count = 0u16;
    let at = |range: &Range<i64>, thread: usize| {
        range.start + (i128::from(range.end - range.start) * thread as i128 / threads as i128) as i64
    };
    (0..threads)
        .map(|thread| {
            for (launch, range) in ranges() {
                let (first, end) = (at(range, thread), at(range, thread + 1));
                let pieces = PARTS_PER_THREAD.min(end - first);
                for piece in 0..pieces {
                    let cut = |piece: i64| first + ((end - first) as i128 * piece as i128 / pieces as i128) as i64;
                    part(launch, cut(piece), cut(piece + 1));
                    count += 1;
                }
            }
            count
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_all_tasks_once() {
        for (tasks, start) in [([1, 0], 0), ([2, 5], 1), ([100, 3], 90), ([7, 1000], 0)] {
            for threads in [1, 2, 3, 16] {
                let ready = |number: usize| Ready {
                    kernel: (),
                    first_pointer: 0,
                    first_dim: number,
                    parts: vec![0..start.min(tasks[number]), start.min(tasks[number])..tasks[number]],
                    work: DIVIDED_WORK,
                };
                let mut seen = [vec![0; tasks[0] as usize], vec![0; tasks[1] as usize]];
                let mut parts = 0;
                let ends = divide(&[ready(0), ready(1)], threads, |launch, first, end| {
                    parts += 1;
                    assert!(first < end);
                    seen[launch.first_dim][first as usize..end as usize].iter_mut().for_each(|n| *n += 1);
                });
                assert!(seen.iter().flatten().all(|&n| n == 1), "{tasks:?} on {threads}");
                if let Some(&last) = ends.last() {
                    assert_eq!((ends.len(), usize::from(last)), (threads, parts));
                }
            }
        }
    }
}
