//! A step allocates nothing.

mod common;

use kc_abi::library::{LibraryFunction, Region};
use kc_runtime::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: by the caller.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> usize {
    ALLOCATIONS.load(Ordering::SeqCst)
}

/// Notes the number of allocations after each batch, in memory that it has.
struct Watch(Vec<usize>);

impl Callback for Watch {
    fn name(&self) -> &str {
        "Watch"
    }
    fn on_train_batch_end(&mut self, _: &mut Training, _: usize) -> Result<(), training::CallbackError> {
        self.0.push(allocations());
        Ok(())
    }
}

/// Once a thread has met the length of a transform; eigenvalues and singular values are excepted.
fn library_functions_allocate_nothing() {
    const N: i64 = 12;
    let mut memory = vec![[0.5f32; 144]; 5];
    let mut integers = vec![[0u64; 144]; 2];
    memory[0].iter_mut().zip(0..).for_each(|(x, i)| *x = ((i * 37) % 19) as f32 - 9.0);
    let number = kc_abi::library::dtype_number;
    let [f32_number, i32_number, u64_number] =
        [number(kc_abi::DType::F32), number(kc_abi::DType::I32), number(kc_abi::DType::U64)];
    let region = |pointer: *mut u8, rows: i64, dtype: i64| Region {
        pointer,
        rows,
        columns: N,
        row_stride: N,
        column_stride: 1,
        dtype,
    };
    let mut matrix = |i: usize, rows: i64| region(memory[i].as_mut_ptr().cast(), rows, f32_number);
    let vectors = [matrix(0, 1), matrix(1, 1), matrix(2, 1), matrix(3, 1)];
    let matrices = [matrix(0, N), matrix(1, N), matrix(2, N)];
    let mut whole = |i: usize, dtype: i64| region(integers[i].as_mut_ptr().cast(), 1, dtype);
    let positions = whole(0, u64_number);
    let (pivots, rows) = (whole(0, i32_number), whole(1, i32_number));
    let calls: [(LibraryFunction, Vec<Region>); 7] = [
        (LibraryFunction::Argsort, vec![vectors[0], positions]),
        (LibraryFunction::Argsort, vec![vectors[0], vectors[1], positions]),
        (LibraryFunction::Argtop, vec![vectors[0], positions]),
        (LibraryFunction::Fft, vectors.to_vec()),
        (LibraryFunction::Lu, vec![matrices[0], matrices[1], pivots, rows]),
        (LibraryFunction::Qr, matrices.to_vec()),
        (LibraryFunction::Cholesky, matrices[..2].to_vec()),
    ];
    let run = || {
        for (function, regions) in &calls {
            let attributes = [0i64; 2];
            let library = kc_runtime::Functions::ALL.table().library;
            // SAFETY: each region lies in memory of its own, which nothing else uses meanwhile.
            unsafe {
                library(i64::from(*function as u32), regions.as_ptr(), regions.len() as i64, attributes.as_ptr());
            }
        }
    };
    run();
    let before = allocations();
    run();
    assert_eq!(allocations() - before, 0, "library functions");
}

/// One test, so that no other thread of the test program allocates meanwhile.
#[test]
fn a_step_allocates_nothing() {
    for threads in [1, 2] {
        let mut session = common::session(threads, 0);
        let entry = session.entry("train_step").unwrap();
        let mut outputs = Vec::new();
        let batches: Vec<[Array; 3]> = [64, 17]
            .map(|rows| {
                let vector = Array::from_slice(&vec![0.5f32; rows], &[rows]).unwrap();
                [vector.clone().reshaped(&[rows, 1]).unwrap(), vector.clone(), vector]
            })
            .into();
        // until the threads have started
        for batch in batches.iter().cycle().take(100) {
            session.run_into(entry, batch, &mut outputs).unwrap();
        }
        let before = allocations();
        for _ in 0..1000 {
            for batch in &batches {
                session.run_into(entry, batch, &mut outputs).unwrap();
            }
        }
        assert_eq!(allocations() - before, 0, "{threads} threads");

        let predict = session.entry("predict").unwrap();
        session.run_into(predict, &batches[0][..1], &mut outputs).unwrap();
        let before = allocations();
        session.run_into(predict, &batches[0][..1], &mut outputs).unwrap();
        assert_eq!(allocations() - before, 0, "predict with {threads} threads");
    }

    library_functions_allocate_nothing();

    let model = common::session(1, 0).into_model().unwrap();
    let (x, mut y) = ([0.5f32; 3], [0f32; 3]);
    let mut predict = || {
        let input = View::new(&x, &[3, 1]).unwrap();
        model.predict_to(&[input], &mut [bytes_mut(&mut y)]).unwrap();
    };
    predict();
    let before = allocations();
    predict();
    assert_eq!(allocations() - before, 0, "a shared model");

    // small batches are made by the training thread, large ones by another
    for batch_size in [64, 8192] {
        let mut session = common::session(1, 0);
        let samples = batch_size * 100;
        let data = Dataset::new(
            Array::zeros(kc_abi::DType::F32, &[samples, 1]).unwrap(),
            Array::zeros(kc_abi::DType::F32, &[samples]).unwrap(),
        );
        let mut watch = Watch(Vec::with_capacity(200));
        let options = FitOptions { batch_size, verbose: Verbose::Silent, ..Default::default() };
        fit(&mut session, &data, &options, &mut [&mut watch]).unwrap();
        let allocations = &watch.0[20..];
        assert_eq!(allocations.len(), 80);
        assert_eq!(allocations[79] - allocations[0], 0, "batches of {batch_size}");
    }
}
