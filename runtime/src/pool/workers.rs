//! Threads that wait for jobs.

use super::{Job, MAXIMUM_PARTS, Part};
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, Thread};

/// The threads start when jobs that could be divided have had this much work: starting them takes longer than a prediction
/// of one sample.
const STARTING_WORK: i64 = 1 << 24;

/// How often a thread looks for a new job before it sleeps.
const SPINS_BEFORE_SLEEP: u32 = 5_000;
/// How often the caller looks for the end of a job before it offers its processor to others.
const SPINS_BEFORE_YIELD: u32 = 10_000;

/// A fixed number of threads, the caller's included. The others start when there has been work that is worth it, sleep
/// between jobs and end when the pool is dropped.
#[derive(Debug)]
pub struct Pool {
    threads: usize,
    shared: Arc<Shared>,
    workers: OnceLock<Vec<JoinHandle<()>>>,
    /// Work of the jobs that could have been divided before the threads were started.
    work_before: AtomicI64,
}

/// `epoch << 32 | end << 16 | next`: the parts of a thread that nobody has taken. One word, so that taking a part of a
/// job that has ended is impossible.
#[repr(align(128))]
#[derive(Debug)]
struct Claim(AtomicU64);

#[repr(align(128))]
#[derive(Debug)]
struct Sleeper {
    sleeps: AtomicBool,
    thread: OnceLock<Thread>,
}

#[derive(Debug)]
struct Shared {
    /// Number of the newest job.
    epoch: AtomicU64,
    /// Whether a caller is using the pool.
    busy: AtomicBool,
    stop: AtomicBool,
    claims: Box<[Claim]>,
    sleepers: Box<[Sleeper]>,
    /// Workers that have started.
    started: AtomicUsize,
    /// Parts of the newest job that have ended.
    ended: AtomicUsize,
    parts: AtomicPtr<Part>,
    scratch: AtomicPtr<u8>,
    scratch_stride: AtomicUsize,
}

impl Pool {
    /// A pool of that many threads; 0: one for each processor that the process may use.
    pub fn new(threads: usize) -> Self {
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let threads = threads.min(1024);
        Pool {
            threads,
            shared: Arc::new(Shared {
                epoch: AtomicU64::new(0),
                busy: AtomicBool::new(false),
                stop: AtomicBool::new(false),
                claims: (0..threads).map(|_| Claim(AtomicU64::new(0))).collect(),
                sleepers: (1..threads)
                    .map(|_| Sleeper { sleeps: AtomicBool::new(false), thread: OnceLock::new() })
                    .collect(),
                started: AtomicUsize::new(0),
                ended: AtomicUsize::new(0),
                parts: AtomicPtr::new(core::ptr::null_mut()),
                scratch: AtomicPtr::new(core::ptr::null_mut()),
                scratch_stride: AtomicUsize::new(0),
            }),
            workers: OnceLock::new(),
            work_before: AtomicI64::new(0),
        }
    }

    /// Number of threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Executes a job; returns when all its parts have ended. Where another caller is using the pool, the calling
    /// thread executes all parts itself.
    ///
    /// # Safety
    /// Every part must keep the contract of [`KernelFn`](kc_abi::call::KernelFn); the parts must not depend on each other; scratch memory must be
    /// large enough for each kernel and for [`Pool::threads`] threads.
    pub unsafe fn run(&self, job: &Job) {
        let divided = self.threads > 1 && job.ends.len() == self.threads && job.parts.len() <= MAXIMUM_PARTS;
        let shared = &*self.shared;
        if !divided || !self.has_started(job.work) || shared.busy.swap(true, Ordering::Acquire) {
            for part in job.parts {
                // SAFETY: by the caller.
                unsafe { part.execute(job.scratch) };
            }
            return;
        }
        // All parts of the job before have ended, so nobody reads these fields now.
        shared.parts.store(job.parts.as_ptr().cast_mut(), Ordering::Relaxed);
        shared.scratch.store(job.scratch, Ordering::Relaxed);
        shared.scratch_stride.store(job.scratch_stride, Ordering::Relaxed);
        shared.ended.store(0, Ordering::Relaxed);
        let epoch = shared.epoch.load(Ordering::Relaxed) + 1;
        let mut first = 0;
        for (claim, &end) in shared.claims.iter().zip(job.ends) {
            claim.0.store(epoch << 32 | u64::from(end) << 16 | u64::from(first), Ordering::Release);
            first = end;
        }
        shared.epoch.store(epoch, Ordering::SeqCst);
        for sleeper in &shared.sleepers {
            if sleeper.sleeps.load(Ordering::SeqCst)
                && let Some(thread) = sleeper.thread.get()
            {
                thread.unpark();
            }
        }
        // SAFETY: by the caller.
        unsafe { shared.work(0) };
        let mut spins = 0u32;
        while shared.ended.load(Ordering::Acquire) < job.parts.len() {
            spins = spins.saturating_add(1);
            if spins < SPINS_BEFORE_YIELD { core::hint::spin_loop() } else { std::thread::yield_now() }
        }
        shared.busy.store(false, Ordering::Release);
    }

    /// Whether the workers have started; starts them where there has been enough work for them.
    fn has_started(&self, work: i64) -> bool {
        if self.workers.get().is_some() {
            return true;
        }
        let before = self.work_before.fetch_add(work.clamp(0, STARTING_WORK), Ordering::Relaxed);
        if before.saturating_add(work) >= STARTING_WORK {
            self.workers.get_or_init(|| self.start());
        }
        self.workers.get().is_some()
    }

    /// Starts the workers and waits until they are ready, so that what a thread's start needs is over before the first job.
    fn start(&self) -> Vec<JoinHandle<()>> {
        let workers: Vec<JoinHandle<()>> = (1..self.threads)
            .map_while(|index| {
                let shared = self.shared.clone();
                // Where the system gives no thread, the others execute its parts.
                std::thread::Builder::new()
                    .name(format!("kc-{index}"))
                    .spawn(move || shared.serve(index))
                    .ok()
                    .inspect(|worker| drop(self.shared.sleepers[index - 1].thread.set(worker.thread().clone())))
            })
            .collect();
        while self.shared.started.load(Ordering::Acquire) < workers.len() {
            std::thread::yield_now();
        }
        workers
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for worker in self.workers.take().into_iter().flatten() {
            worker.thread().unpark();
            // A worker ends without a panic: kernels cannot unwind.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// Takes and executes parts until none is left, first those of thread `index`.
    ///
    /// # Safety
    /// As [`Pool::run`].
    unsafe fn work(&self, index: usize) {
        let threads = self.claims.len();
        for offset in 0..threads {
            let claim = &self.claims[(index + offset) % threads].0;
            let mut word = claim.load(Ordering::Acquire);
            while word & 0xffff < word >> 16 & 0xffff {
                match claim.compare_exchange_weak(word, word + 1, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => {
                        // The part is taken and not ended: the fields stay those of its job until it has.
                        let scratch = self.scratch.load(Ordering::Relaxed);
                        let stride = self.scratch_stride.load(Ordering::Relaxed);
                        let parts = self.parts.load(Ordering::Relaxed);
                        // SAFETY: the index is in the job's range; the caller of `run` vouches for the rest.
                        unsafe {
                            let part = &*parts.add((word & 0xffff) as usize);
                            part.execute(scratch.wrapping_add(index * stride));
                        }
                        self.ended.fetch_add(1, Ordering::Release);
                        word = claim.load(Ordering::Acquire);
                    }
                    Err(now) => word = now,
                }
            }
        }
    }

    /// The life of worker `index`.
    fn serve(&self, index: usize) {
        let mut seen = 0;
        let sleeper = &self.sleepers[index - 1];
        self.started.fetch_add(1, Ordering::Release);
        loop {
            let mut spins = 0;
            while self.epoch.load(Ordering::Acquire) == seen {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                spins += 1;
                if spins < SPINS_BEFORE_SLEEP {
                    core::hint::spin_loop();
                    continue;
                }
                sleeper.sleeps.store(true, Ordering::SeqCst);
                // Either this load sees the new job, or the caller sees that this thread sleeps.
                if self.epoch.load(Ordering::SeqCst) == seen && !self.stop.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                sleeper.sleeps.store(false, Ordering::SeqCst);
                spins = 0;
            }
            seen = self.epoch.load(Ordering::Acquire);
            // SAFETY: the caller of `run` vouches for the parts.
            unsafe { self.work(index) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intrinsics::Functions;
    use crate::pool::{Callable, Part};
    use kc_abi::call::{Environment, Intrinsics};

    const TABLE: &Intrinsics = Functions::NONE.table();

    /// Adds 1 to each of its tasks' counters.
    unsafe extern "C" fn count(
        buffers: *const *mut u8,
        _: *const i64,
        first: i64,
        end: i64,
        environment: *const Environment,
    ) {
        for task in first..end {
            // SAFETY: the test's counters are as many as its tasks; each thread has a scratch byte.
            unsafe {
                *(*environment).scratch = task as u8;
                let counter = (*buffers).cast::<u32>().add(task as usize);
                *counter += 1;
                assert_eq!(*(*environment).scratch, task as u8);
            }
        }
    }

    #[test]
    fn every_part_is_executed_once_for_any_number_of_threads() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads);
            let mut counters = vec![0u32; 1000];
            let buffers = [counters.as_mut_ptr().cast::<u8>()];
            let parts: Vec<Part> = (0..100)
                .map(|i| Part {
                    kernel: Callable { function: count, intrinsics: TABLE },
                    buffers: buffers.as_ptr(),
                    dims: std::ptr::null(),
                    first_task: i * 10,
                    end_task: i * 10 + 10,
                })
                .collect();
            let ends: Vec<u16> = (1..=threads).map(|t| (100 * t / threads) as u16).collect();
            let mut scratch = vec![0u8; 64 * threads];
            let job = Job {
                parts: &parts,
                ends: &ends,
                scratch: scratch.as_mut_ptr(),
                scratch_stride: 64,
                work: STARTING_WORK,
            };
            const ROUNDS: u32 = 2000;
            for _ in 0..ROUNDS {
                // SAFETY: the parts write disjoint counters.
                unsafe { pool.run(&job) };
            }
            assert!(counters.iter().all(|&n| n == ROUNDS), "{threads} threads");
        }
    }

    #[test]
    fn callers_at_the_same_time_do_not_wait_for_each_other() {
        let pool = Pool::new(2);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut counters = vec![0u32; 64];
                    let buffers = [counters.as_mut_ptr().cast::<u8>()];
                    let parts: Vec<Part> = (0..64)
                        .map(|i| Part {
                            kernel: Callable { function: count, intrinsics: TABLE },
                            buffers: buffers.as_ptr(),
                            dims: std::ptr::null(),
                            first_task: i,
                            end_task: i + 1,
                        })
                        .collect();
                    let mut scratch = [0u8; 128];
                    let job = Job {
                        parts: &parts,
                        ends: &[32, 64],
                        scratch: scratch.as_mut_ptr(),
                        scratch_stride: 64,
                        work: STARTING_WORK,
                    };
                    for _ in 0..500 {
                        // SAFETY: the parts write disjoint counters.
                        unsafe { pool.run(&job) };
                    }
                    assert!(counters.iter().all(|&n| n == 500));
                });
            }
        });
    }
}
