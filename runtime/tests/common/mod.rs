//! A model of one weight, `prediction = weight * x`, with the squared error as loss and plain gradient descent, whose kernels are
//! functions of the test. Its entry points have the names, inputs and state of a traced model.
#![allow(dead_code)]

use kc_abi::call::{Environment, KernelFn};
use kc_abi::manifest::*;
use kc_abi::{DType, Dim, Symbol, TensorType};
use kc_runtime::{Session, SessionOptions};
use std::sync::Arc;

unsafe fn floats<'a>(buffers: *const *mut u8, index: usize, length: i64) -> &'a mut [f32] {
    // SAFETY: the plans below give buffers of these lengths.
    unsafe { std::slice::from_raw_parts_mut((*buffers.add(index)).cast(), length as usize) }
}

/// `output[i] = weight * x[i]`; buffers x, weight, output.
unsafe extern "C" fn forward(b: *const *mut u8, _: *const i64, first: i64, end: i64, _: *const Environment) {
    // SAFETY: see `floats`.
    let (x, weight, output) = unsafe { (floats(b, 0, end), floats(b, 1, 1), floats(b, 2, end)) };
    (first as usize..end as usize).for_each(|i| output[i] = weight[0] * x[i]);
}

/// Adds the weighted squared errors to the metric; buffers prediction, y, sample weight, total, count; dimension B.
unsafe extern "C" fn loss(b: *const *mut u8, dims: *const i64, _: i64, _: i64, _: *const Environment) {
    // SAFETY: see `floats`.
    unsafe {
        let n = *dims;
        let (prediction, y, weights) = (floats(b, 0, n), floats(b, 1, n), floats(b, 2, n));
        let (total, count) = (floats(b, 3, 1), floats(b, 4, 1));
        for i in 0..n as usize {
            total[0] += weights[i] * (prediction[i] - y[i]).powi(2);
            count[0] += 1.0;
        }
    }
}

/// `weight -= rate * mean(2 * sample weight * (prediction - y) * x)`; buffers prediction, x, y, sample weight, weight,
/// rate, iterations; dimension B.
unsafe extern "C" fn update(b: *const *mut u8, dims: *const i64, _: i64, _: i64, _: *const Environment) {
    // SAFETY: see `floats`.
    unsafe {
        let n = *dims;
        let (prediction, x, y, weights) = (floats(b, 0, n), floats(b, 1, n), floats(b, 2, n), floats(b, 3, n));
        let gradient: f32 = (0..n as usize).map(|i| 2.0 * weights[i] * (prediction[i] - y[i]) * x[i]).sum();
        floats(b, 4, 1)[0] -= floats(b, 5, 1)[0] * gradient / n as f32;
        *(*b.add(6)).cast::<i64>() += 1;
    }
}

/// `loss = total / count`; buffers total, count, loss.
unsafe extern "C" fn results(b: *const *mut u8, _: *const i64, _: i64, _: i64, _: *const Environment) {
    // SAFETY: see `floats`.
    unsafe { floats(b, 2, 1)[0] = floats(b, 0, 1)[0] / floats(b, 1, 1)[0] };
}

/// `weight = key[1]`, `rate = 0.25`; buffers key, weight, rate.
unsafe extern "C" fn init(b: *const *mut u8, _: *const i64, _: i64, _: i64, _: *const Environment) {
    // SAFETY: see `floats`; a key is two words.
    unsafe {
        floats(b, 1, 1)[0] = *(*b).cast::<u32>().add(1) as f32;
        floats(b, 2, 1)[0] = 0.25;
    }
}

pub fn kernels() -> Vec<KernelFn> {
    vec![forward, loss, update, results, init]
}

fn batch() -> Dim {
    Dim::symbol("B")
}

/// The manifest; the data checks of `y` are as given.
pub fn manifest(target_checks: Vec<ValueCheck>) -> Manifest {
    let scalar = TensorType::scalar;
    let vector = || TensorType::new(DType::F32, [batch()]);
    let state = |name: &str, role, dtype| StateTensor { name: name.into(), role, ty: scalar(dtype) };
    let x = Input {
        name: "x".into(),
        role: InputRole::Feature,
        ty: TensorType::new(DType::F32, [batch(), Dim::from(1i64)]),
        checks: vec![ValueCheck::NotNan],
    };
    let y = Input { name: "y".into(), role: InputRole::Target, ty: vector(), checks: target_checks };
    let weights = Input { name: "sample_weight".into(), role: InputRole::SampleWeight, ty: vector(), checks: vec![] };
    let buffer = |place, elements: Dim| Buffer { dtype: DType::F32, elements, place, offset: Dim::default() };
    let one = || Dim::from(1i64);
    let launch = |kernel, buffers: &[usize], tasks: Dim, work: i64| Launch {
        kernel,
        buffers: buffers.to_vec(),
        dims: vec![batch()],
        tasks,
        parts: vec![],
        work: Dim::from(work),
    };
    let step = |launch| Step::Launches(vec![launch]);
    // 0 x, 1 y, 2 sample weight, 3 prediction, 4 weight, 5 rate, 6 iterations, 7 total, 8 count
    let buffers = vec![
        buffer(Place::Input(0), batch()),
        buffer(Place::Input(1), batch()),
        buffer(Place::Input(2), batch()),
        buffer(Place::Slot(0), batch()),
        buffer(Place::State(0), one()),
        buffer(Place::State(1), one()),
        Buffer { dtype: DType::I64, elements: one(), place: Place::State(2), offset: Dim::default() },
        buffer(Place::State(3), one()),
        buffer(Place::State(4), one()),
    ];
    let slots = vec![vec![batch() * Dim::from(4i64), Dim::from(8i64)]];
    // work that is worth a second thread
    let forward = || launch(0, &[0, 4, 3], batch(), 1 << 20);
    let loss = || launch(1, &[3, 1, 2, 7, 8], one(), 0);
    let plan = |steps| Plan { kept: 0, slots: slots.clone(), buffers: buffers.clone(), steps };
    let entry = |name: &str, inputs: &[&Input], outputs, plan| Entry {
        name: name.into(),
        symbols: if inputs.iter().any(|input| input.role == InputRole::Feature) {
            vec![Symbol::new("B")]
        } else {
            vec![]
        },
        inputs: inputs.iter().map(|input| (*input).clone()).collect(),
        outputs,
        plan,
        exact: vec![],
        updates: vec![],
    };
    let key =
        Input { name: "seeds".into(), role: InputRole::Seeds, ty: TensorType::new(DType::U32, [2i64]), checks: vec![] };
    let no_dims = |launch: Launch| Launch { dims: vec![], ..launch };
    let train = vec![step(forward()), step(loss()), step(launch(2, &[3, 0, 1, 2, 4, 5, 6], one(), 0))];
    Manifest {
        format: FORMAT_VERSION,
        model: ModelInfo { name: "line".into(), ..Default::default() },
        state: vec![
            state("dense/kernel", StateRole::Trainable, DType::F32),
            state("sgd/learning_rate", StateRole::LearningRate, DType::F32),
            state("sgd/iterations", StateRole::Iterations, DType::I64),
            state("loss/total", StateRole::Metric, DType::F32),
            state("loss/count", StateRole::Metric, DType::F32),
        ],
        entries: vec![
            entry(
                "init",
                &[&key],
                vec![],
                Plan {
                    kept: 0,
                    slots: vec![],
                    buffers: vec![
                        Buffer {
                            dtype: DType::U32,
                            elements: Dim::from(2i64),
                            place: Place::Input(0),
                            offset: Dim::default(),
                        },
                        buffer(Place::State(0), one()),
                        buffer(Place::State(1), one()),
                    ],
                    steps: vec![step(no_dims(launch(4, &[0, 1, 2], one(), 0)))],
                },
            ),
            entry(
                "predict",
                &[&x],
                vec![Output { name: "line".into(), ty: vector() }],
                Plan {
                    kept: 0,
                    slots: vec![],
                    buffers: vec![
                        buffer(Place::Input(0), batch()),
                        buffer(Place::State(0), one()),
                        buffer(Place::Output(0), batch()),
                    ],
                    steps: vec![step(launch(0, &[0, 1, 2], batch(), 1 << 20))],
                },
            ),
            entry("test_step", &[&x, &y, &weights], vec![], plan(vec![step(forward()), step(loss())])),
            entry("train_step", &[&x, &y, &weights], vec![], plan(train)),
            entry(
                "metric_results",
                &[],
                vec![Output { name: "loss".into(), ty: scalar(DType::F32) }],
                Plan {
                    kept: 0,
                    slots: vec![],
                    buffers: vec![
                        buffer(Place::State(3), one()),
                        buffer(Place::State(4), one()),
                        buffer(Place::Output(0), one()),
                    ],
                    steps: vec![step(no_dims(launch(3, &[0, 1, 2], one(), 0)))],
                },
            ),
        ],
        code: Code {
            backend: "test".into(),
            target: "none".into(),
            features: vec![],
            intrinsics_version: 1,
            library: vec![],
            programs: vec![],
            kernels: ["forward", "loss", "update", "results", "init"]
                .map(|name| Kernel {
                    name: name.into(),
                    offset: 0,
                    scratch_bytes: 100,
                    calls: None,
                    block_threads: None,
                })
                .into(),
            parts: vec![],
        },
    }
}

pub fn session_of(manifest: Manifest, options: &SessionOptions) -> Session {
    // SAFETY: the kernels touch what their buffers hold.
    unsafe { Session::from_functions(Arc::new(manifest), kernels(), &[], options) }.unwrap()
}

/// A session whose weight is `seed`.
pub fn session(threads: usize, seed: u32) -> Session {
    let mut session = session_of(manifest(vec![]), &SessionOptions { threads, ..SessionOptions::default() });
    session.init_from(&[0, seed]).unwrap();
    session
}

pub fn weight(session: &mut Session) -> f32 {
    session.state().unwrap()[0].as_slice::<f32>().unwrap()[0]
}
