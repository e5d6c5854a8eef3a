//! Loops and choices of plans, with kernels that are functions of the test.

use kc_abi::call::{Environment, KernelFn};
use kc_abi::manifest::*;
use kc_abi::{DType, Dim, Symbol, TensorType};
use kc_runtime::{Array, Session, SessionError, SessionOptions};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

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

unsafe fn floats<'a>(buffers: *const *mut u8, index: usize) -> &'a mut [f32] {
    // SAFETY: the plans below give buffers of two elements.
    unsafe { std::slice::from_raw_parts_mut((*buffers.add(index)).cast(), 2) }
}

/// `sum = 0`
unsafe extern "C" fn zero(b: *const *mut u8, _: *const i64, _: i64, _: i64, _: *const Environment) {
    // SAFETY: see `floats`.
    unsafe { floats(b, 0).fill(0.0) };
}

/// `after = before + x`, `y = after`; buffers before, x, after, y.
unsafe extern "C" fn add(b: *const *mut u8, _: *const i64, _: i64, _: i64, _: *const Environment) {
    // SAFETY: see `floats`; before and after do not overlap.
    let (before, x, after, y) = unsafe { (floats(b, 0), floats(b, 1), floats(b, 2), floats(b, 3)) };
    for i in 0..2 {
        after[i] = before[i] + x[i];
        y[i] = after[i];
    }
}

/// `holds = sum[0] < 100`; buffers sum, holds.
unsafe extern "C" fn small(b: *const *mut u8, _: *const i64, _: i64, _: i64, _: *const Environment) {
    // SAFETY: see `floats`; a bool is a byte.
    unsafe { (*b.add(1)).write(u8::from(floats(b, 0)[0] < 100.0)) };
}

/// `sum *= 2`
unsafe extern "C" fn double(b: *const *mut u8, _: *const i64, _: i64, _: i64, _: *const Environment) {
    // SAFETY: see `floats`.
    unsafe { floats(b, 0).iter_mut().for_each(|x| *x *= 2.0) };
}

/// `y = x`; buffers x, y.
unsafe extern "C" fn copy(b: *const *mut u8, _: *const i64, _: i64, _: i64, _: *const Environment) {
    // SAFETY: see `floats`.
    unsafe { floats(b, 1).copy_from_slice(floats(b, 0)) };
}

const KERNELS: [(&str, KernelFn); 5] =
    [("zero", zero), ("add", add), ("small", small), ("double", double), ("copy", copy)];

fn dim(text: &str) -> Dim {
    text.parse().expect("a dimension")
}

fn launch(kernel: usize, buffers: &[usize]) -> Step {
    let (tasks, work) = (dim("1"), Dim::default());
    Step::Launches(vec![Launch { kernel, buffers: buffers.to_vec(), dims: vec![], tasks, parts: vec![], work }])
}

/// Running sums of `x: f32[T, 2]` (in two buffers that take turns), and what comes of the last one by the choice `how: i32[]`: 0 itself,
/// 1 doubled until it is 100 at least.
fn manifest() -> Manifest {
    let input = |name: &str, ty| Input { name: name.into(), role: InputRole::Feature, ty, checks: vec![] };
    let rows = || TensorType { dtype: DType::F32, shape: vec![dim("T"), dim("2")] };
    let buffer = |place, elements: &str, offset: &str| Buffer {
        dtype: DType::F32,
        elements: dim(elements),
        place,
        offset: dim(offset),
    };
    let scalar = |dtype, place| Buffer { dtype, elements: dim("1"), place, offset: Dim::default() };
    let buffers = vec![
        buffer(Place::Input(0), "2", "t*2"),
        buffer(Place::Output(0), "2", "t*2"),
        buffer(Place::Slot(0), "2", "0"),
        buffer(Place::Slot(0), "2", "(t - t//2*2)*2"),
        buffer(Place::Slot(0), "2", "(1 - t + t//2*2)*2"),
        buffer(Place::Slot(0), "2", "(T - T//2*2)*2"),
        buffer(Place::Output(1), "2", "0"),
        scalar(DType::I32, Place::Input(1)),
        scalar(DType::Bool, Place::Slot(1)),
    ];
    let steps = vec![
        launch(0, &[2]),
        Step::Loop { counter: Symbol::new("t"), rounds: dim("T"), steps: vec![launch(1, &[3, 0, 4, 1])] },
        Step::Branch {
            index: 7,
            branches: vec![
                vec![launch(4, &[5, 6])],
                vec![
                    Step::While { condition: vec![launch(2, &[5, 8])], holds: 8, steps: vec![launch(3, &[5])] },
                    launch(4, &[5, 6]),
                ],
            ],
        },
    ];
    let entry = Entry {
        name: "sums".into(),
        symbols: vec![Symbol::new("T")],
        inputs: vec![input("x", rows()), input("how", TensorType::scalar(DType::I32))],
        outputs: vec![
            Output { name: "sums".into(), ty: rows() },
            Output { name: "last".into(), ty: TensorType::new(DType::F32, [2i64]) },
        ],
        plan: Plan { kept: 0, slots: vec![vec![dim("16")], vec![dim("1")]], buffers, steps },
        exact: vec![],
        updates: vec![],
    };
    let kernel = |(name, _): &(&str, KernelFn)| Kernel {
        name: (*name).into(),
        offset: 0,
        scratch_bytes: 0,
        calls: None,
        block_threads: None,
    };
    Manifest {
        format: FORMAT_VERSION,
        model: ModelInfo::default(),
        state: vec![],
        entries: vec![entry],
        code: Code {
            backend: "hand".into(),
            target: kc_runtime::intrinsics::host_target().into(),
            features: vec![],
            intrinsics_version: 1,
            library: vec![],
            programs: vec![],
            kernels: KERNELS.iter().map(kernel).collect(),
            parts: vec![],
        },
    }
}

fn session(manifest: Manifest, profile: bool) -> Session {
    let options = SessionOptions { threads: 2, profile, ..SessionOptions::default() };
    let kernels = KERNELS.iter().map(|(_, kernel)| *kernel).collect();
    // SAFETY: the kernels are those of the manifest.
    unsafe { Session::from_functions(Arc::new(manifest), kernels, &[], &options) }.expect("a session")
}

fn inputs(length: usize, how: i32) -> [Array; 2] {
    let values: Vec<f32> = (0..2 * length).map(|i| i as f32 + 1.0).collect();
    [Array::from_slice(&values, &[length, 2]).unwrap(), Array::from_slice(&[how], &[]).unwrap()]
}

fn run(session: &mut Session, length: usize, how: i32) -> [Vec<f32>; 2] {
    let [x, how] = inputs(length, how);
    let outputs = session.run("sums", &[&x, &how]).unwrap();
    [0, 1].map(|i| outputs[i].as_slice::<f32>().unwrap().to_vec())
}

/// One test, so that no other thread of the test program allocates meanwhile.
#[test]
fn loops_and_choices_of_a_plan() {
    let plan = manifest();
    let bytes = kc_abi::codec::encode(&plan);
    assert_eq!(kc_abi::codec::decode::<Manifest>(&bytes).unwrap(), plan);

    let mut session = self::session(plan, false);
    // an odd and an even number of rounds, and none
    assert_eq!(run(&mut session, 3, 0), [vec![1.0, 2.0, 4.0, 6.0, 9.0, 12.0], vec![9.0, 12.0]]);
    assert_eq!(run(&mut session, 2, 1), [vec![1.0, 2.0, 4.0, 6.0], vec![128.0, 192.0]]);
    assert_eq!(run(&mut session, 0, 0), [vec![], vec![0.0, 0.0]]);
    // what is below the first branch is the first, what is above the last the last
    assert_eq!(run(&mut session, 1, -5)[1], [1.0, 2.0]);
    assert_eq!(run(&mut session, 1, 77)[1], [128.0, 256.0]);

    // nothing is allocated
    let entry = session.entry("sums").unwrap();
    let (inputs, mut outputs) = (inputs(50, 1), vec![]);
    session.run_into(entry, &inputs, &mut outputs).unwrap();
    let before = ALLOCATIONS.load(Ordering::SeqCst);
    for _ in 0..20 {
        session.run_into(entry, &inputs, &mut outputs).unwrap();
    }
    assert_eq!(ALLOCATIONS.load(Ordering::SeqCst) - before, 0);

    // launches are counted over rounds
    let mut session = self::session(manifest(), true);
    run(&mut session, 5, 0);
    run(&mut session, 2, 1);
    let launches = session.profile().unwrap().launches("sums");
    let calls: Vec<(&str, u64)> = launches.iter().map(|launch| (launch.kernel.as_str(), launch.calls)).collect();
    assert_eq!(calls, [("zero", 2), ("add", 7), ("copy", 1), ("small", 6), ("double", 5), ("copy", 1)]);

    a_loop_without_an_end_is_ended();

    // plans that would reach outside are refused
    for (message, change) in wrong_plans() {
        let mut wrong = manifest();
        let entry = &mut wrong.entries[0];
        change(&mut entry.plan);
        let (x, how) = (Array::zeros(DType::F32, &[3, 2]).unwrap(), Array::zeros(DType::I32, &[]).unwrap());
        let error = self::session(wrong, false).run("sums", &[&x, &how]).unwrap_err().to_string();
        assert_eq!(error, format!("the package's manifest is wrong: plan of `sums`: {message}"));
    }
}

/// 0 is doubled for ever.
fn a_loop_without_an_end_is_ended() {
    let x = Array::zeros(DType::F32, &[1, 2]).unwrap();
    let how = Array::from_slice(&[1i32], &[]).unwrap();
    let mut session = self::session(manifest(), false);
    session.set_round_limit(Some(5));
    let error = session.run("sums", &[&x, &how]).unwrap_err().to_string();
    assert_eq!(
        error,
        "the `while` loops of `sums` take more than 5 rounds, which is the session's limit; mend the condition that does not end \
         them, or allow more rounds"
    );
    // one that takes 7 rounds, then 6
    session.set_round_limit(Some(6));
    let ones = Array::from_slice(&[1f32, 1.0], &[1, 2]).unwrap();
    assert!(matches!(session.run("sums", &[&ones, &how]), Err(SessionError::Rounds { limit: 6, .. })));
    assert_eq!(run(&mut session, 2, 1)[1], [128.0, 192.0]);
    session.set_round_limit(None);

    let flag = Arc::new(AtomicBool::new(false));
    assert!(session.set_interrupt(Some(flag.clone())).is_none());
    let error = std::thread::scope(|scope| {
        scope.spawn(|| flag.store(true, Ordering::Relaxed));
        session.run("sums", &[&x, &how]).unwrap_err().to_string()
    });
    assert_eq!(error, "`sums` was interrupted in a `while` loop");
    // what has no such loop is not interrupted, and what is not interrupted goes on as before
    assert_eq!(run(&mut session, 1, 0)[1], [1.0, 2.0]);
    flag.store(false, Ordering::Relaxed);
    assert_eq!(run(&mut session, 1, 1)[1], [128.0, 256.0]);
}

type Change = fn(&mut Plan);

fn wrong_plans() -> Vec<(&'static str, Change)> {
    fn offset(plan: &mut Plan, text: &str) {
        plan.buffers[0].offset = dim(text);
    }
    fn steps(plan: &mut Plan) -> &mut Vec<Step> {
        &mut plan.steps
    }
    vec![
        ("buffer 0 needs 8 bytes from byte 0 or up to 24 of input 0, which has 24", |p| offset(p, "t*3")),
        ("buffer 0 needs 8 bytes from byte -4 or up to 12 of input 0, which has 24", |p| offset(p, "t*2 - 1")),
        ("buffer 0 needs 8 bytes from byte -16 or up to 0 of input 0, which has 24", |p| offset(p, "-t*2")),
        ("buffer 0 needs 8 bytes from byte 0 or up to 17179869176 of input 0, which has 24", |p| {
            offset(p, "t//2*4294967294")
        }),
        ("buffer 0 starts at t*t, which is not known there", |p| offset(p, "t*t")),
        ("buffer 0 starts at t//3, which is not known there", |p| offset(p, "t//3")),
        ("buffer 0 starts at u, which is not known there", |p| offset(p, "u")),
        ("buffer 2 starts at t, which is not known there", |p| p.buffers[2].offset = dim("t")),
        ("the counter T is the name of something else", |p| {
            if let Step::Loop { counter, .. } = &mut steps(p)[1] {
                *counter = Symbol::new("T");
            }
        }),
        ("the number of rounds of loop t (T - 4) is no size", |p| {
            if let Step::Loop { rounds, .. } = &mut steps(p)[1] {
                *rounds = dim("T - 4");
            }
        }),
        ("a choice has no branches", |p| {
            if let Step::Branch { branches, .. } = &mut steps(p)[2] {
                branches.clear();
            }
        }),
        ("a loop or choice takes buffer 6, 2 elements of f32", |p| {
            if let Step::Branch { index, .. } = &mut steps(p)[2] {
                *index = 6;
            }
        }),
        ("a loop or choice takes buffer 99, which is missing", |p| {
            if let Step::Branch { index, .. } = &mut steps(p)[2] {
                *index = 99;
            }
        }),
        ("a loop or choice takes buffer 7, 0 elements of i32", |p| p.buffers[7].elements = Dim::default()),
    ]
}
