//! Sessions: entry points executed over prepared plans.

mod common;

use common::{manifest, session, session_of, weight};
use kc_abi::manifest::{Place, launches_mut};
use kc_abi::{DType, Dim};
use kc_runtime::{Array, Package, Session, SessionError, SessionOptions};

fn column(values: &[f32]) -> Array {
    Array::from_slice(values, &[values.len(), 1]).unwrap()
}

#[test]
fn an_entry_point_computes_for_every_batch_size_and_thread_count() {
    for threads in [1, 2, 5] {
        let mut session = session(threads, 3);
        for round in 0..3 {
            for batch in [1usize, 2, 7, 64, 1000, 3, 4, 5, 6, 8, 9] {
                let x: Vec<f32> = (0..batch).map(|i| (i + round) as f32).collect();
                let outputs = session.run("predict", &[&column(&x)]).unwrap();
                let expected: Vec<f32> = x.iter().map(|x| 3.0 * x).collect();
                assert_eq!(outputs.len(), 1);
                assert_eq!(outputs[0], Array::from_slice(&expected, &[batch]).unwrap());
            }
        }
    }
}

#[test]
fn training_has_the_same_bits_for_any_number_of_threads() {
    let train = |threads| {
        let mut session = session(threads, 0);
        for batch in 1..200usize {
            let x: Vec<f32> = (0..batch).map(|i| (i as f32 * 0.7).sin()).collect();
            let y: Vec<f32> = x.iter().map(|x| 2.5 * x + 0.01).collect();
            let y = Array::from_slice(&y, &[batch]).unwrap();
            let ones = Array::from_slice(&vec![1f32; batch], &[batch]).unwrap();
            session.run("train_step", &[&column(&x), &y, &ones]).unwrap();
        }
        session.state().unwrap().to_vec()
    };
    let one = train(1);
    assert!((one[0].as_slice::<f32>().unwrap()[0] - 2.5).abs() < 0.1);
    for threads in [2, 3, 8] {
        assert_eq!(train(threads), one);
    }
}

#[test]
fn state_is_read_and_replaced() {
    let mut session = session(1, 7);
    assert_eq!(weight(&mut session), 7.0);
    let mut state = session.state().unwrap().to_vec();
    state[0] = Array::scalar(1.5f32);
    session.set_state(&state).unwrap();
    assert_eq!(weight(&mut session), 1.5);
    assert_eq!(session.learning_rate().unwrap(), Some(0.25));
    assert!(session.set_learning_rate(0.5));
    assert_eq!(session.state().unwrap()[1], Array::scalar(0.5f32));
    assert_eq!(session.state_index("sgd/iterations"), Some(2));
    state[2] = Array::scalar(1i32);
    assert_eq!(
        session.set_state(&state).unwrap_err().to_string(),
        "state tensor `sgd/iterations` is i64(), i32() was given"
    );
    assert_eq!(
        session.set_state(&state[1..]).unwrap_err().to_string(),
        "the package's manifest is wrong: it lists 5 state tensors, 4 were given"
    );
    assert_eq!(
        session.package().unwrap_err().to_string(),
        "a session whose kernels are functions of the process cannot be saved as a package; save its weights"
    );
}

#[test]
fn wrong_inputs_are_named() {
    let mut session = session(1, 0);
    let mut run = |entry: &str, inputs: &[&Array]| session.run(entry, inputs).unwrap_err().to_string();
    let x = column(&[1.0, 2.0]);
    let y = Array::from_slice(&[1f32, 2.0, 3.0], &[3]).unwrap();
    assert_eq!(
        run("predct", &[&x]),
        "the package has no entry point `predct`; it has `init`, `predict`, `test_step`, `train_step`, `metric_results`"
    );
    assert_eq!(run("predict", &[]), "`predict` takes 1 inputs (x), 0 were given");
    assert_eq!(run("predict", &[&y]), "input `x` of `predict` must be f32[B, 1], f32(3,) was given");
    assert_eq!(run("predict", &[&x.cast(DType::F64)]), "input `x` of `predict` must be f32[B, 1], f64(2, 1) was given");
    assert_eq!(run("train_step", &[&x, &y, &y]), "input `y` of `train_step` must be f32[B], f32(3,) was given (B = 2)");
}

#[test]
fn the_profile_counts_each_launch() {
    let options = SessionOptions { threads: 2, profile: true, ..SessionOptions::default() };
    let mut session = session_of(manifest(vec![]), &options);
    session.init(1).unwrap();
    session.take_profile();
    let x = column(&vec![1.0; 100_000]);
    let y = Array::zeros(DType::F32, &[100_000]).unwrap();
    for _ in 0..5 {
        session.run("train_step", &[&x, &y, &y]).unwrap();
    }
    let profile = session.profile().unwrap();
    assert_eq!(profile.entries().collect::<Vec<_>>(), ["train_step"]);
    assert_eq!(profile.calls("train_step"), 5);
    let launches: Vec<(&str, u64)> =
        profile.launches("train_step").iter().map(|launch| (launch.kernel.as_str(), launch.calls)).collect();
    assert_eq!(launches, [("forward", 5), ("loss", 5), ("update", 5)]);
    let share = profile.kernel_share("train_step").unwrap();
    assert!(share > 0.0 && share <= 1.0, "{share}");
    assert!(profile.kernel_share("predict").is_none());
    assert!(common::session(1, 0).profile().is_none());
}

/// The message for a manifest that `change` made wrong.
fn wrong_plan(change: impl Fn(&mut kc_abi::manifest::Manifest)) -> String {
    let mut manifest = manifest(vec![]);
    change(&mut manifest);
    // SAFETY: the kernels are those of the manifest; the plan is refused.
    let session = unsafe {
        Session::from_functions(std::sync::Arc::new(manifest), common::kernels(), &[], &SessionOptions::default())
    };
    match session {
        Ok(mut session) => session.run("predict", &[&column(&[1.0, 2.0])]).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn plans_that_reach_outside_their_buffers_are_refused() {
    const PREDICT: usize = 1;
    let prefix = "the package's manifest is wrong: ";
    type Change = fn(&mut kc_abi::manifest::Manifest);
    let cases: [(&str, Change); 14] = [
        ("plan of `predict`: buffer 2 needs 16 bytes of output 0, which has 8", |m| {
            m.entries[PREDICT].plan.buffers[2].elements = Dim::from(4i64)
        }),
        ("plan of `predict`: buffer 1 needs 8 bytes of state tensor 0, which has 4", |m| {
            m.entries[PREDICT].plan.buffers[1].elements = Dim::symbol("B")
        }),
        ("plan of `predict`: buffer 1 lies in state tensor 9, which is missing", |m| {
            m.entries[PREDICT].plan.buffers[1].place = Place::State(9)
        }),
        ("plan of `predict`: buffer 1 lies in slot 0, which is missing", |m| {
            m.entries[PREDICT].plan.buffers[1].place = Place::Slot(0)
        }),
        ("plan of `predict`: buffer 1 needs 4 bytes of the constants from byte 64, which has 0", |m| {
            m.entries[PREDICT].plan.buffers[1].place = Place::Constant(64)
        }),
        ("plan of `predict`: buffer 1 lies at byte 4 of the constants, no multiple of 64", |m| {
            m.entries[PREDICT].plan.buffers[1].place = Place::Constant(4)
        }),
        ("plan of `predict`: buffer 1 (B - 9) is no size", |m| {
            m.entries[PREDICT].plan.buffers[1].elements = Dim::symbol("B") - Dim::from(9i64)
        }),
        ("plan of `predict`: launch 0 runs kernel 99, which is missing", |m| {
            launches_mut(&mut m.entries[PREDICT].plan.steps)[0].kernel = 99
        }),
        ("plan of `predict`: launch 0 takes buffer 7, which is missing", |m| {
            launches_mut(&mut m.entries[PREDICT].plan.steps)[0].buffers[0] = 7
        }),
        ("plan of `predict`: dimension T of launch 0 has no value", |m| {
            launches_mut(&mut m.entries[PREDICT].plan.steps)[0].dims[0] = Dim::symbol("T")
        }),
        ("the symbol T of `predict` is no extent of an input", |m| {
            m.entries[PREDICT].symbols.push(kc_abi::Symbol::new("T"))
        }),
        ("it lists 4 kernels, the code has 5", |m| drop(m.code.kernels.pop())),
        ("a kernel needs 18446744073709551615 bytes of scratch memory", |m| m.code.kernels[0].scratch_bytes = u64::MAX),
        ("state tensor `dense/kernel` has the shape f32[B]", |m| m.state[0].ty.shape.push(Dim::symbol("B"))),
    ];
    for (message, change) in cases {
        assert_eq!(wrong_plan(change), format!("{prefix}{message}"));
    }
    let huge = |m: &mut kc_abi::manifest::Manifest| {
        m.entries[PREDICT].plan.slots.push(vec![Dim::from(i64::MAX - 100)]);
    };
    assert_eq!(wrong_plan(huge), "`predict` needs more memory than there is: slot 0");
}

/// A package of machine code for this machine: `output[0] = *input + dims[0]` as one task.
fn machine_code() -> Option<&'static [u8]> {
    // void f(void **buffers, const long *dims, long first, long end, const void *environment)
    if cfg!(target_arch = "x86_64") {
        // mov rax, [rdi]; mov rcx, [rdi+8]; mov rdx, [rax]; add rdx, [rsi]; mov [rcx], rdx; ret
        Some(&[0x48, 0x8b, 0x07, 0x48, 0x8b, 0x4f, 0x08, 0x48, 0x8b, 0x10, 0x48, 0x03, 0x16, 0x48, 0x89, 0x11, 0xc3])
    } else if cfg!(target_arch = "aarch64") {
        // ldp x8, x9, [x0]; ldr x10, [x8]; ldr x11, [x1]; add x10, x10, x11; str x10, [x9]; ret
        Some(&[
            0x08, 0x24, 0x40, 0xa9, 0x0a, 0x01, 0x40, 0xf9, 0x2b, 0x00, 0x40, 0xf9, 0x4a, 0x01, 0x0b, 0x8b, 0x2a, 0x01,
            0x00, 0xf9, 0xc0, 0x03, 0x5f, 0xd6,
        ])
    } else {
        None
    }
}

fn compiled(code: &[u8]) -> Package {
    use kc_abi::manifest::*;
    let ty = kc_abi::TensorType::new(DType::I64, [Dim::from(1i64), Dim::symbol("B")]);
    let buffer = |place| Buffer { dtype: DType::I64, elements: Dim::symbol("B"), place, offset: Dim::default() };
    let manifest = Manifest {
        format: FORMAT_VERSION,
        model: ModelInfo::default(),
        state: vec![StateTensor {
            name: "sum".into(),
            role: StateRole::NonTrainable,
            ty: kc_abi::TensorType::scalar(DType::I64),
        }],
        entries: vec![Entry {
            name: "add".into(),
            symbols: vec![kc_abi::Symbol::new("B")],
            inputs: vec![Input { name: "x".into(), role: InputRole::Feature, ty: ty.clone(), checks: vec![] }],
            outputs: vec![Output { name: "sum".into(), ty }],
            plan: Plan {
                kept: 0,
                slots: vec![],
                buffers: vec![buffer(Place::Input(0)), buffer(Place::Output(0))],
                steps: vec![Step::Launches(vec![Launch {
                    kernel: 0,
                    buffers: vec![0, 1],
                    dims: vec![Dim::symbol("B") * Dim::from(100i64)],
                    tasks: Dim::from(1i64),
                    parts: vec![],
                    work: Dim::default(),
                }])],
            },
            exact: vec![],
            updates: vec![],
        }],
        code: Code {
            backend: "test".into(),
            target: kc_runtime::intrinsics::host_target().into(),
            features: vec![],
            intrinsics_version: 1,
            library: vec![],
            programs: vec![],
            kernels: vec![Kernel {
                name: "add".into(),
                offset: 64,
                scratch_bytes: 0,
                calls: None,
                block_threads: None,
            }],
            parts: vec![],
        },
    };
    let code = [&[0; 64], code].concat();
    Package { manifest, code: code.into(), constants: Default::default(), state: None, others: vec![] }
}

#[test]
fn machine_code_of_a_package_is_executed() {
    let Some(code) = machine_code() else { return };
    let bytes = compiled(code).to_bytes().unwrap();
    let package = Package::from_bytes(&bytes).unwrap();
    let mut session = Session::new(&package, &SessionOptions::default()).unwrap();
    let x = Array::from_slice(&[42i64], &[1, 1]).unwrap();
    assert_eq!(session.run("add", &[&x]).unwrap(), [Array::from_slice(&[142i64], &[1, 1]).unwrap()]);
    session.set_state_tensor(0, &Array::scalar(5i64)).unwrap();
    let saved = session.package().unwrap();
    assert_eq!((&saved.manifest, &saved.code), (&package.manifest, &package.code));
    assert_eq!(saved.state, Some(vec![Array::scalar(5i64)]));
}

#[test]
fn parts_of_tasks_are_in_order_and_within() {
    let Some(code) = machine_code() else { return };
    for (tasks, parts) in [(1, vec![2]), (9, vec![7, 3]), (9, vec![-1])] {
        let mut package = compiled(code);
        if let kc_abi::manifest::Step::Launches(launches) = &mut package.manifest.entries[0].plan.steps[0] {
            launches[0].tasks = Dim::from(tasks as i64);
            launches[0].parts = parts.iter().map(|&start: &i64| Dim::from(start)).collect();
        }
        let mut session = Session::new(&package, &SessionOptions::default()).unwrap();
        let x = Array::from_slice(&[42i64], &[1, 1]).unwrap();
        let error = session.run("add", &[&x]).map(drop).unwrap_err().to_string();
        assert!(error.contains("the parts of launch 0"), "{error}");
    }
}

#[test]
fn code_for_another_machine_is_refused() {
    let package = |change: &dyn Fn(&mut kc_abi::manifest::Code)| {
        let mut package = compiled(&[0]);
        change(&mut package.manifest.code);
        Session::new(&package, &SessionOptions::default()).map(drop).unwrap_err()
    };
    let host = kc_runtime::intrinsics::host_target();
    assert_eq!(
        package(&|code| code.target = "riscv64-linux".into()).to_string(),
        format!("the package's code is for riscv64-linux, this machine is {host}; compile the model for this machine")
    );
    #[cfg(not(feature = "cuda"))]
    assert_eq!(
        package(&|code| code.target = "nvptx64-sm_90a".into()).to_string(),
        "the package is for nvptx64-sm_90a, which this runtime was built without; build it with the feature `cuda` of kc-runtime"
    );
    assert_eq!(
        package(&|code| code.features = vec!["warp-drive".into(), "amx-int3".into()]).to_string(),
        "the package's code needs the CPU features amx-int3, warp-drive, which this processor lacks; \
         compile the model for this machine or for an older CPU"
    );
    assert_eq!(
        package(&|code| code.intrinsics_version = 7).to_string(),
        "the package needs version 7 of the runtime's functions, this runtime has version 2; update the runtime"
    );
    assert_eq!(
        package(&|code| code.library = vec!["argsort".into(), "divine".into()]).to_string(),
        "the package calls `divine`, which this runtime does not know; update the runtime"
    );
    if !cfg!(feature = "linalg") {
        assert_eq!(
            package(&|code| code.library = vec!["svd".into()]).to_string(),
            "the package calls `svd`, which this runtime was built without; build it with the feature `linalg` of kc-runtime"
        );
    }
    assert!(matches!(package(&|code| code.kernels[0].offset = 1 << 40), SessionError::Image(_)));
}

#[test]
fn more_memory_than_there_is_is_an_error_that_says_what_for() {
    assert_eq!(
        Array::zeros(DType::F32, &[1 << 50, 3]).unwrap_err().to_string(),
        "there is no memory for 13510798882111488 bytes: an array of f32 of shape (1125899906842624, 3)"
    );
    let mut manifest = manifest(vec![]);
    manifest.state[0].ty.shape = vec![Dim::constant(1 << 50)];
    // SAFETY: no kernel runs.
    let session = unsafe {
        Session::from_functions(std::sync::Arc::new(manifest), common::kernels(), &[], &SessionOptions::default())
    };
    assert_eq!(
        session.err().map(|error| error.to_string()).as_deref(),
        Some(
            "there is no memory for 4503599627370496 bytes: state tensor `dense/kernel`; \
             free memory, or use a smaller model or smaller batches"
        )
    );
}

#[test]
fn a_model_is_given_the_functions_that_its_kernels_call() {
    use kc_runtime::{Functions, Model};
    let Some(code) = machine_code() else { return };
    const GEMM: &Functions = &Functions::NONE.gemm_f32();
    let load = |calls: Option<&[&str]>, functions| {
        let mut package = compiled(code);
        package.manifest.entries[0].name = "predict".into();
        package.manifest.code.kernels[0].calls = calls.map(|names| names.iter().map(|name| (*name).into()).collect());
        package.state = Some(vec![Array::scalar(0i64)]);
        Model::with_functions(package, functions).map_err(|error| error.to_string())
    };
    let model = load(Some(&["gemm_f32"]), GEMM).unwrap();
    let x = Array::from_slice(&[42i64], &[1, 1]).unwrap();
    assert_eq!(model.predict(&[&x]).unwrap(), [Array::from_slice(&[142i64], &[1, 1]).unwrap()]);
    assert!(load(Some(&[]), &Functions::NONE).is_ok());
    assert!(load(None, &Functions::ALL).is_ok());
    let absent = |name: &str| {
        format!(
            "the kernel `add` may call `{name}`, which is not among the functions that the model was given; \
             give it those, as `Model::new` does, or build the program's interface again from this package"
        )
    };
    assert_eq!(load(Some(&["gemm_f32", "library"]), GEMM).err(), Some(absent("library")));
    // of a package whose maker did not say what it calls, everything may be called
    assert_eq!(load(None, &Functions::NONE).err(), Some(absent("gemm_f32")));
    assert_eq!(
        load(Some(&["divine"]), GEMM).err().as_deref(),
        Some("the package calls `divine`, which this runtime does not know; update the runtime")
    );
}

#[test]
fn code_is_executed_where_it_lies() {
    let Some(code) = machine_code() else { return };
    let mut package = compiled(code);
    package.manifest.entries[0].name = "predict".into();
    package.state = Some(vec![Array::scalar(100i64)]);
    let image = kc_runtime::image::Image::load(&package.code).unwrap();
    let place: &'static [u8] = Box::leak(Box::new(image)).bytes();
    let x = Array::from_slice(&[42i64], &[1, 1]).unwrap();
    let predict = |package: Package, place| {
        // SAFETY: the image's memory is executable, and stays.
        unsafe { kc_runtime::Predictor::in_place(package, place, &kc_runtime::Functions::ALL) }
    };
    let mut predictor = predict(package.clone(), place).unwrap();
    assert_eq!(predictor.predict(&[&x]).unwrap(), [Array::from_slice(&[142i64], &[1, 1]).unwrap()]);
    let mut result = [0i64];
    predictor.predict_to(&[&x], &mut [kc_runtime::bytes_mut(&mut result)]).unwrap();
    assert_eq!(result, [142]);

    let error = |package, place| predict(package, place).err().unwrap().to_string();
    let length = place.len();
    assert_eq!(
        error(package.clone(), &place[1..]),
        format!(
            "the package's manifest is wrong: the {} bytes where the code should lie are not the package's {length} bytes of code",
            length - 1
        )
    );
    let mut outside = package.clone();
    outside.manifest.code.kernels[0].offset = 1 << 40;
    assert_eq!(error(outside, place), "the package's manifest is wrong: kernel `add` is outside the code");
    package.state = None;
    assert_eq!(error(package, place), "the package holds no weights; train it first, or run `init` in a session");
}

#[test]
fn arrays_are_shown_as_what_they_are() {
    let shown = |array: Array| format!("{array:?}");
    assert_eq!(shown(Array::from_slice(&[1.0f32, -0.5], &[2]).unwrap()), "f32(2,) [1.0, -0.5]");
    assert_eq!(shown(Array::from_slice(&[1i64, i64::MIN], &[1, 2]).unwrap()), "i64(1, 2) [1, -9223372036854775808]");
    assert_eq!(shown(Array::from_slice(&[7u8; 9], &[9]).unwrap()), "u8(9,) [7, 7, 7, 7, 7, 7, 7, 7, ...]");
    assert_eq!(shown(Array::from_bytes(DType::Bool, &[2], &[0, 1]).unwrap()), "bool(2,) [false, true]");
}
