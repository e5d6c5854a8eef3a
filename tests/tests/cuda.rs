//! Packages for GPUs on the real runtime, with the test device (`tests/device`) in the place of NVIDIA's driver: training, evaluation and
//! prediction against the tensor interpreter, the order of streams, what is given back, and what is said where something is missing.
//! Each test is a process of its own, since a process has one driver. Without the MLIR plug-in they are skipped.

use kc::prelude::*;
use kc_codegen::cuda::{Architecture, Cuda};
use kc_codegen::mlir::NotAvailable;
use kc_codegen::{Options, compile};
use kc_ir::tensor::Module;
use kc_runtime::{Dataset, EvaluateOptions, FitOptions, Package, Session, SessionOptions, Verbose};
use kc_tests::products;
use kc_tests::runner::{Runner, test_device};
use std::process::Command;

/// Says that this process is a test's own, with the test device loaded.
const CHILD: &str = "KC_CUDA_TEST_CHILD";

/// Runs a test in a process whose device is as the variables say; what the device found wrong must be what is expected.
fn on_device(test: &str, variables: &[(&str, &str)], complaints: &[&str], body: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        test_device().expect("the test device is built with the tests");
        return body();
    }
    match Cuda::new(Architecture::Sm80) {
        Ok(_) => {}
        Err(reason @ NotAvailable::Missing(_)) => return println!("skipped: {reason}"),
        Err(reason) => panic!("{reason}"),
    }
    let log = std::env::temp_dir().join(format!("kc-cuda-{}-{test}.log", std::process::id()));
    let mut command = Command::new(std::env::current_exe().expect("the test's own path"));
    command.args([test, "--exact", "--nocapture"]).env(CHILD, "1").env("KC_TEST_DEVICE_LOG", &log);
    let output = command.envs(variables.iter().copied()).output().expect("the test starts again");
    let texts = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}\n{}", texts[0], texts[1]);
    assert!(texts[0].contains("1 passed"), "the test was not found:\n{}", texts[0]);
    let found = std::fs::read_to_string(&log).unwrap_or_default();
    let _ = std::fs::remove_file(log);
    let lines: Vec<&str> = found.lines().filter_map(|line| line.strip_prefix("test device: ")).collect();
    assert_eq!(lines.len(), complaints.len(), "the device says:\n{found}");
    for (line, complaint) in lines.iter().zip(complaints) {
        assert!(line.contains(complaint), "the device says `{line}`, expected `{complaint}`");
    }
}

/// The example that the project is measured by.
#[path = "../../frontend/examples/mnist_mlp.rs"]
#[allow(dead_code)]
mod mnist_mlp;

fn mlp() -> Module {
    kc::utils::clear_session();
    mnist_mlp::kc_model().expect("the model is built").module().expect("the model is traced")
}

/// A block of a transformer, and a class of its mean.
fn encoder() -> Module {
    let build = || {
        kc::utils::clear_session();
        let x = Input::new([6, 8]);
        let h = LayerNormalization::new().call(&x)?;
        let h = MultiHeadAttention::new(2, 4).use_causal_mask(true).call([&h, &h])?;
        let x1 = Add::new().call((&x, &h))?;
        let h = Dense::new(16).activation("gelu").call(&LayerNormalization::new().call(&x1)?)?;
        let h = Add::new().call((&x1, &Dense::new(8).call(&h)?))?;
        let y = Dense::new(3).activation("softmax").call(&GlobalAveragePooling1D::new().call(&h)?)?;
        let mut model = Model::new(&x, &y)?;
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
        model.module()
    };
    build().expect("the model is traced")
}

/// Recurrent layers over sequences whose elements start at no multiple of 16 bytes.
fn recurrent() -> Module {
    let build = || {
        kc::utils::clear_session();
        let x = Input::new([6, 8]);
        let h = LSTM::new(5).return_sequences(true).call(&x)?;
        let h = GRU::new(3).call(&h)?;
        let y = Dense::new(3).activation("softmax").call(&h)?;
        let mut model = Model::new(&x, &y)?;
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
        model.module()
    };
    build().expect("the model is traced")
}

/// Convolutions over 3 by 3 places, with padding and strides.
fn convolutional() -> Module {
    let build = || {
        kc::utils::clear_session();
        let mut model = Sequential::new()
            .add(Input::new([6, 8]))
            .add(Reshape::new([6, 8, 1]))
            .add(Conv2D::new(8, 3).padding("same").activation("relu"))
            .add(Conv2D::new(12, 3).strides(2).padding("same").activation("relu"))
            .add(GlobalAveragePooling2D::new())
            .add(Dense::new(3).activation("softmax"));
        model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
        model.module()
    };
    build().expect("the model is traced")
}

/// Sequences of six vectors, and a class each.
fn sequences(count: usize) -> [Array; 2] {
    let values: Vec<f32> = (0..count * 48).map(|place| (place * 7919 % 101) as f32 / 50.0 - 1.0).collect();
    let classes: Vec<i32> = (0..count as i32).map(|sample| sample * 5 % 3).collect();
    [
        Array::from_slice(&values, &[count, 6, 8]).expect("as many values"),
        Array::from_slice(&classes, &[count]).expect("as many classes"),
    ]
}

fn package(module: &Module, architecture: Architecture) -> Package {
    let backend = Cuda::new(architecture).expect("the plug-in is there");
    compile(module, &backend, &Options::default()).expect("the model is compiled")
}

fn session(package: &Package) -> Session {
    Session::new(package, &SessionOptions::default()).expect("the session starts")
}

fn refusal(package: &Package) -> String {
    Session::new(package, &SessionOptions::default()).map(drop).expect_err("the device cannot run it").to_string()
}

/// Digits that are not quite random, so that something can be learned.
fn digits(count: usize) -> [Array; 2] {
    let classes: Vec<i32> = (0..count as i32).map(|sample| sample * 7 % 10).collect();
    let pixel = |sample: usize, place: usize| {
        let bright = (place / 28) as i32 % 10 == classes[sample];
        let noise = (sample * 7919 + place * 104_729) % 64;
        (if bright { 190 } else { 0 } + noise) as u8
    };
    let images: Vec<u8> =
        (0..count).flat_map(|sample| (0..784).map(move |place| (sample, place))).map(|(s, p)| pixel(s, p)).collect();
    [
        Array::from_slice(&images, &[count, 28, 28]).expect("as many pixels"),
        Array::from_slice(&classes, &[count]).expect("as many classes"),
    ]
}

fn near(name: &str, given: &Array, expected: &Array) {
    let values = |array: &Array| array.cast(kc_ir::DType::F64).as_slice::<f64>().expect("f64").to_vec();
    assert_eq!(given.shape(), expected.shape(), "{name}");
    for (place, (a, b)) in values(given).into_iter().zip(values(expected)).enumerate() {
        assert!((a - b).abs() <= 2e-5 + 2e-4 * b.abs(), "{name}[{place}] is {a}, expected {b}");
    }
}

/// Two train steps, a test step and a prediction, with a batch and with a rest, against the tensor interpreter. `data` makes so many
/// samples and their targets.
fn steps<const N: usize>(module: &Module, data: impl Fn(usize) -> [Array; N]) {
    let mut device = session(&package(module, Architecture::Sm80));
    let mut interpreter = Runner::Interpreter.load(module, 1).expect("the interpreter");
    device.init(7).expect("first weights");
    for (index, value) in device.state().expect("the state").to_vec().iter().enumerate() {
        interpreter.set_state(index, value).expect("the same state");
    }
    let call = |name: &str| module.functions.iter().find(|function| function.name == name).expect("an entry point");
    let mut compare = |name: &str, batch: usize| {
        let mut all = data(batch).to_vec();
        all.push(Array::from_slice(&vec![1.0f32; batch], &[batch]).expect("one a sample"));
        let inputs: Vec<&Array> = all.iter().take(call(name).inputs.len()).collect();
        let given = device.run(name, &inputs).unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = interpreter.run(name, &inputs).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (output, (given, expected)) in given.iter().zip(&expected).enumerate() {
            near(&format!("{name}, output {output}"), given, expected);
        }
        let expected = interpreter.state().expect("the state");
        for (index, given) in device.state().expect("the state").iter().enumerate() {
            near(&format!("{}, after {name}", module.state[index].name), given, &expected[index]);
        }
    };
    compare("train_step", 8);
    compare("train_step", 3);
    compare("test_step", 8);
    compare("predict", 5);
}

#[test]
fn steps_are_those_of_the_interpreter() {
    on_device("steps_are_those_of_the_interpreter", &[], &[], || steps(&mlp(), digits));
}

#[test]
fn late_copies_change_nothing() {
    on_device("late_copies_change_nothing", &[("KC_TEST_DEVICE_COPIES", "late")], &[], || steps(&mlp(), digits));
}

#[test]
fn a_transformer_is_that_of_the_interpreter() {
    on_device("a_transformer_is_that_of_the_interpreter", &[], &[], || steps(&encoder(), sequences));
}

#[test]
fn convolutions_are_those_of_the_interpreter() {
    on_device("convolutions_are_those_of_the_interpreter", &[], &[], || steps(&convolutional(), sequences));
}

#[test]
fn recurrent_layers_are_those_of_the_interpreter() {
    on_device("recurrent_layers_are_those_of_the_interpreter", &[], &[], || steps(&recurrent(), sequences));
}

/// Products of tiles, tensor cores' and threads', with rows, columns and sums that fill no tile.
#[test]
fn products_are_those_of_the_interpreter() {
    on_device("products_are_those_of_the_interpreter", &[], &[], || {
        use kc_ir::DType::{Bf16, F16, F32};
        let sizes = [(Bf16, [70, 41, 90]), (F16, [40, 64, 72]), (F32, [70, 41, 90]), (F32, [40, 64, 72])];
        for (dtype, extents) in sizes {
            let module = products::module(dtype, extents);
            let mut device = session(&package(&module, Architecture::Sm80));
            // what is computed of the sums is rounded once, when it is stored
            let wide = products::module(F32, extents);
            let mut interpreter = Runner::Interpreter.load(&wide, 1).expect("the interpreter");
            for layout in products::LAYOUTS {
                let name = products::entry(layout);
                let call = module.functions.iter().find(|function| function.name == name).expect("an entry point");
                let inputs: Vec<Array> = call
                    .inputs
                    .iter()
                    .map(|input| {
                        let shape: Vec<usize> =
                            input.ty.shape.iter().filter_map(|dim| dim.as_constant()).map(|n| n as usize).collect();
                        // quarters, so that every order of summation gives the same
                        let values: Vec<f32> = (0..shape.iter().product::<usize>())
                            .map(|place| (place * 7919 % 17) as f32 / 4.0 - 2.0)
                            .collect();
                        Array::from_slice(&values, &shape).expect("as many values")
                    })
                    .collect();
                let narrow: Vec<Array> = inputs.iter().map(|input| input.cast(dtype)).collect();
                let [inputs, narrow] = [&inputs, &narrow].map(|inputs| inputs.iter().collect::<Vec<&Array>>());
                let given = device.run(&name, &narrow).unwrap_or_else(|error| panic!("{name}: {error}"));
                let expected = interpreter.run(&name, &inputs).unwrap_or_else(|error| panic!("{name}: {error}"));
                let expected: Vec<Array> = expected.iter().map(|output| output.cast(dtype)).collect();
                assert!(given == expected, "{name} of {dtype} is\n{given:?}\nexpected\n{expected:?}");
            }
        }
    });
}

#[test]
fn training_learns_and_goes_on_from_a_package() {
    on_device("training_learns_and_goes_on_from_a_package", &[], &[], || {
        let module = mlp();
        let mut session = session(&package(&module, Architecture::Sm90a));
        session.init(1).expect("first weights");
        let [images, classes] = digits(44);
        let data = Dataset { features: vec![images.clone()], targets: vec![classes], ..Dataset::default() };
        let options = FitOptions { batch_size: 8, epochs: 3, verbose: Verbose::Silent, ..FitOptions::default() };
        let history = kc_runtime::fit(&mut session, &data, &options, &mut []).expect("it trains");
        let losses = history.get("loss").expect("losses");
        assert!(losses.len() == 3 && losses[2] < 0.7 * losses[0], "{losses:?}");
        let quiet = EvaluateOptions { batch_size: 16, verbose: Verbose::Silent, ..EvaluateOptions::default() };
        let only = Dataset { features: vec![images], ..Dataset::default() };
        let before = kc_runtime::predict(&mut session, &only, &quiet, &mut []).expect("it predicts");
        let saved = session.package().expect("a package");
        drop(session);
        let mut again = self::session(&saved);
        let after = kc_runtime::predict(&mut again, &only, &quiet, &mut []).expect("it predicts");
        assert_eq!(before, after);
    });
}

#[test]
fn an_old_driver_is_named() {
    on_device("an_old_driver_is_named", &[("KC_TEST_DEVICE_DRIVER", "11080")], &[], || {
        assert_eq!(
            refusal(&package(&mlp(), Architecture::Sm80)),
            "the NVIDIA driver is one of CUDA 11.8, this runtime needs CUDA 12.0; update the driver"
        );
    });
}

#[test]
fn a_driver_older_than_the_ptx_is_named() {
    let variables = [("KC_TEST_DEVICE_DRIVER", "12040"), ("KC_TEST_DEVICE", "100")];
    on_device("a_driver_older_than_the_ptx_is_named", &variables, &[], || {
        assert_eq!(
            refusal(&package(&mlp(), Architecture::Sm100a)),
            "the NVIDIA driver is one of CUDA 12.4, which does not read the package's PTX, version 8.6; update the driver, or compile \
             the model with `--arch sm_80`, whose PTX is older"
        );
    });
}

#[test]
fn no_device_is_named() {
    on_device("no_device_is_named", &[("KC_TEST_DEVICE", "none")], &[], || {
        assert_eq!(
            refusal(&package(&mlp(), Architecture::Sm80)),
            "the NVIDIA driver finds no GPU (is one hidden by CUDA_VISIBLE_DEVICES?); or compile the model with `--target cpu`"
        );
    });
}

#[test]
fn a_package_for_another_gpu_is_named() {
    on_device("a_package_for_another_gpu_is_named", &[("KC_TEST_DEVICE", "80")], &[], || {
        assert_eq!(
            refusal(&package(&mlp(), Architecture::Sm90a)),
            "the package is for sm_90a, this GPU (test device) is sm_80; compile the model for it, or with `--arch sm_80` for all"
        );
    });
}

#[test]
fn too_little_memory_is_named_and_smaller_batches_go_on() {
    let name = "too_little_memory_is_named_and_smaller_batches_go_on";
    on_device(name, &[("KC_TEST_DEVICE_BYTES", "6000000")], &[], || {
        let mut session = session(&package(&mlp(), Architecture::Sm80));
        session.init(1).expect("first weights");
        let error = session.run("predict", &[&digits(4000)[0]]).expect_err("too large").to_string();
        assert!(error.starts_with("the GPU has no memory for ") && error.contains("`predict`"), "{error}");
        assert!(error.ends_with("use smaller batches or a smaller model, or end other programs on the GPU"), "{error}");
        session.run("predict", &[&digits(2)[0]]).expect("a small batch");
    });
}

#[test]
fn a_fault_is_one_message_and_the_process_goes_on() {
    let name = "a_fault_is_one_message_and_the_process_goes_on";
    // the driver gives nothing back after a fault
    let left = ["allocations", "the host's memory", "modules", "streams", "events", "executable graphs"];
    let left: Vec<String> = left.map(|what| format!("{what} left")).into();
    let complaints = ["behind the start of an allocation"].into_iter().chain(left.iter().map(String::as_str));
    on_device(name, &[], &complaints.collect::<Vec<_>>(), || {
        let module = mlp();
        let mut package = package(&module, Architecture::Sm80);
        // a lie about the extents: a kernel goes where there is nothing
        let predict = package.manifest.entries.iter_mut().find(|entry| entry.name == "predict").expect("predict");
        for launch in kc_ir::manifest::launches_mut(&mut predict.plan.steps) {
            launch.dims.iter_mut().for_each(|dim| *dim = kc_ir::Dim::constant(1 << 20));
        }
        let mut session = session(&package);
        session.init(1).expect("first weights");
        let error = session.run("predict", &[&digits(2)[0]]).expect_err("a fault").to_string();
        assert!(error.starts_with("a kernel failed on the GPU (CUDA_ERROR_ILLEGAL_ADDRESS: "), "{error}");
        assert!(error.contains("start again from the last checkpoint"), "{error}");
        let again = session.state().map(<[Array]>::len).expect_err("the state is lost").to_string();
        assert_eq!(again, error);
    });
}
