//! XLA on four devices: what a model that is spread over them computes, and what plug-ins say that cannot be used.

use kc::distribution::{DataParallel, DeviceMesh, Distribution, LayoutMap, ModelParallel, set_distribution};
use kc::prelude::*;
use kc_codegen::{Options, stablehlo};
use kc_ir::tensor::Module;
use kc_runtime::pjrt::{Client, CompileOptions, PjrtError, Plugin, Topology};
use kc_runtime::stablehlo::instantiate;
use kc_runtime::{DeviceOptions, Package, Session, SessionError, SessionOptions};
use kc_tests::runner::{cranelift, mlir, xla_plugin};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The plug-in; without it the test has nothing to do, and says so.
fn plugin() -> Option<PathBuf> {
    xla_plugin().inspect_err(|reason| eprintln!("skipped: {reason}")).ok()
}

fn model() -> kc::Result<Model> {
    kc::utils::set_random_seed(3);
    let mut model = Sequential::new()
        .add(Input::new([16]))
        .add(Dense::new(32).activation("relu").name("dense"))
        .add(Dropout::new(0.1))
        .add(Dense::new(16).activation("relu").name("dense_1"))
        .add(Dense::new(4).name("logits"));
    let loss = SparseCategoricalCrossentropy::new().from_logits(true);
    model.compile(Adam::new().learning_rate(1e-3), loss, ["accuracy"])?;
    Ok(model.into())
}

/// A model's module where it is spread like that.
fn module(distribution: Option<Distribution>) -> Module {
    kc::utils::clear_session();
    set_distribution(distribution);
    let model = model();
    set_distribution(None);
    model.and_then(|model| model.module()).expect("the model can be traced")
}

fn package(distribution: Option<Distribution>) -> Package {
    stablehlo::compile(&module(distribution), &Options::default(), &mut |_, _| {}).expect("XLA has all of its ops")
}

fn session(package: &Package, plugin: PathBuf) -> Result<Session, SessionError> {
    let device = DeviceOptions { plugin: Some(plugin), cache: None, ..DeviceOptions::default() };
    Session::new(package, &SessionOptions { device, ..SessionOptions::default() })
}

/// The inputs of a step.
fn batch(step: usize) -> [Array; 3] {
    // of one step a batch that four devices cannot divide
    let samples = if step == 10 { 30 } else { 32 };
    let number = |place: usize| ((place * 7919 + step * 104_729) % 1009) as f32 / 504.5 - 1.0;
    let features: Vec<f32> = (0..samples * 16).map(number).collect();
    let classes: Vec<i32> = (0..samples).map(|sample| ((sample * 31 + step) % 4) as i32).collect();
    [
        Array::from_slice(&features, &[samples, 16]).expect("as many"),
        Array::from_slice(&classes, &[samples]).expect("as many"),
        Array::from_slice(&vec![1f32; samples], &[samples]).expect("as many"),
    ]
}

/// An output, and the state.
fn outcome(session: &mut Session) -> Vec<Array> {
    let features = Array::from_slice(&[0.25f32; 8 * 16], &[8, 16]).expect("as many");
    let mut all = session.run("predict", &[&features]).expect("predict runs");
    all.extend_from_slice(session.state().expect("the state can be read"));
    all
}

/// What there is after 20 steps.
fn train(package: &Package, plugin: PathBuf) -> Vec<Array> {
    let mut session = session(package, plugin).expect("the plug-in has the devices");
    session.init(7).expect("init runs");
    for step in 0..20 {
        session.run("train_step", &batch(step).each_ref()).expect("a step runs");
    }
    outcome(&mut session)
}

/// The same by calls of ten steps and of nine, each one loop on the devices.
fn train_in_loops(package: &Package, plugin: PathBuf) -> Vec<Array> {
    let mut session = session(package, plugin).expect("the plug-in has the devices");
    session.init(7).expect("init runs");
    let mut together = |steps: std::ops::Range<usize>| {
        let count = steps.len();
        let batches: Vec<[Array; 3]> = steps.map(batch).collect();
        let stacked = [0, 1, 2].map(|input| {
            let first = &batches[0][input];
            let bytes: Vec<u8> = batches.iter().flat_map(|batch| batch[input].bytes()).copied().collect();
            Array::from_bytes(first.dtype(), &[&[count], first.shape()].concat(), &bytes).expect("as many")
        });
        session.run("train_steps", &stacked.each_ref()).expect("the steps run");
    };
    together(0..10);
    together(10..11);
    together(11..20);
    outcome(&mut session)
}

/// The largest difference of all numbers.
fn difference(a: &[Array], b: &[Array]) -> f64 {
    let values = |array: &Array| array.cast(DType::F64).as_slice::<f64>().expect("just cast").to_vec();
    let pairs = a.iter().zip(b).flat_map(|(a, b)| values(a).into_iter().zip(values(b)).collect::<Vec<_>>());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn training_on_four_devices_is_training_on_one() {
    let Some(plugin) = plugin() else { return };
    let one = train(&package(None), plugin.clone());
    let parallel = DataParallel::new(4).expect("four devices");
    for (what, distribution) in [("data", parallel.into()), ("model", model_parallel([2, 2]))] {
        let four = train(&package(Some(distribution)), plugin.clone());
        assert!(difference(&one, &four) < 1e-5, "{what} parallel: {}", difference(&one, &four));
    }
}

#[test]
fn steps_in_a_loop_on_the_devices_are_the_same() {
    let Some(plugin) = plugin() else { return };
    let one = train(&package(None), plugin.clone());
    let parallel = DataParallel::new(4).expect("four devices");
    for distribution in [None, Some(parallel.into()), Some(model_parallel([2, 2]))] {
        let looped = train_in_loops(&package(distribution.clone()), plugin.clone());
        assert!(difference(&one, &looped) < 1e-5, "{distribution:?}: {}", difference(&one, &looped));
    }
}

/// The models of the examples `mnist_mlp` and `mnist_cnn`.
fn mnist(convolutions: bool) -> kc::Result<Module> {
    kc::utils::clear_session();
    let model = Sequential::new().add(Input::new([28, 28]).dtype("uint8")).add(Rescaling::new(1.0 / 255.0));
    let model = if convolutions {
        let model = model.add(Reshape::new([28, 28, 1])).add(Conv2D::new(8, 3).activation("relu"));
        model.add(MaxPooling2D::new(2)).add(Conv2D::new(16, 3).activation("relu")).add(MaxPooling2D::new(2))
    } else {
        model
    };
    let model = model.add(Flatten::new()).add(Dense::new(128).activation("relu")).add(Dropout::new(0.2));
    let mut model = model.add(Dense::new(10).activation("softmax"));
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])?;
    Model::from(model).module()
}

/// The losses of the first 20 steps.
fn losses(mut session: Session) -> Result<Vec<f64>, SessionError> {
    session.init(7)?;
    let mut losses = Vec::new();
    for step in 0..20usize {
        session.reset_metrics();
        let class = |sample: usize| (sample * 7 + step * 3) % 10;
        let pixel = |place: usize| {
            let (sample, position) = (place / 784, place % 784);
            let noise = (place.wrapping_mul(2_654_435_761) >> 13 & 63) as u8;
            if position / 78 == class(sample) { 190 + noise } else { noise }
        };
        let images: Vec<u8> = (0..64 * 784).map(pixel).collect();
        let classes: Vec<i32> = (0..64).map(|sample| class(sample) as i32).collect();
        let images = Array::from_slice(&images, &[64, 28, 28])?;
        let (classes, weights) = (Array::from_slice(&classes, &[64])?, Array::from_slice(&[1f32; 64], &[64])?);
        session.run("train_step", &[&images, &classes, &weights])?;
        losses.extend(session.run("metric_results", &[])?[0].first_as_f64());
    }
    Ok(losses)
}

#[test]
fn the_first_losses_are_those_of_the_processor() {
    let Some(plugin) = plugin() else { return };
    let backend = mlir().or_else(|_| cranelift()).expect("one of them is built in");
    for convolutions in [false, true] {
        let module = mnist(convolutions).expect("the model can be traced");
        let package = kc_codegen::compile(&module, backend, &Options::default()).expect("it is compiled");
        let here = Session::new(&package, &SessionOptions::default()).and_then(losses).expect("it trains");
        let package = stablehlo::compile(&module, &Options::default(), &mut |_, _| {}).expect("XLA has all of its ops");
        let there = session(&package, plugin.clone()).and_then(losses).expect("it trains");
        let difference = here.iter().zip(&there).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert_eq!((here.len(), there.len()), (20, 20));
        assert!(difference < 1e-4, "convolutions: {convolutions}, {difference}: {here:?} {there:?}");
        eprintln!("convolutions: {convolutions}, largest difference of a loss {difference:e}");
    }
}

/// The text of the train step for a batch that the devices, where there are several, divide.
fn step_text(package: &Package, batch: i64) -> String {
    let step = package.manifest.entries.iter().position(|entry| entry.name == "train_step").expect("it is compiled");
    let programs = &package.manifest.code.programs;
    let program = programs.iter().find(|program| program.entry == step).expect("a text, the first for divided batches");
    let bytes = &package.code[program.offset as usize..(program.offset + program.bytes) as usize];
    instantiate(std::str::from_utf8(bytes).expect("text"), &|_| Some(batch)).expect("a batch")
}

fn model_parallel(shape: [usize; 2]) -> Distribution {
    let mesh = DeviceMesh::new(shape, ["batch", "model"]).expect("a mesh");
    let map = LayoutMap::new(&mesh).with(".*dense.*kernel", [None, Some("model")]).expect("a layout");
    let map = map.with(".*dense.*bias", [Some("model")]).expect("a layout");
    ModelParallel::new(map).batch_dim_name("batch").expect("an axis").into()
}

/// The contents of the fields of that number, messages or texts, in a message of protocol buffers.
fn fields(mut message: &[u8], wanted: u64) -> Vec<&[u8]> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let length = match key & 7 {
            0 => {
                varint(&mut message);
                0
            }
            1 => 8,
            2 => varint(&mut message) as usize,
            _ => 4,
        };
        let (contents, rest) = message.split_at(length);
        if key == wanted << 3 | 2 {
            found.push(contents);
        }
        message = rest;
    }
    found
}

/// How often each collective is in a program after XLA's passes (an `HloModuleProtoWithConfig`): a line each.
fn collectives(optimised: &[u8]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let instructions = fields(optimised, 1)
        .into_iter()
        .flat_map(|module| fields(module, 3))
        .flat_map(|computation| fields(computation, 2));
    for opcode in instructions.flat_map(|instruction| fields(instruction, 2)) {
        let opcode = String::from_utf8_lossy(opcode).into_owned();
        // of an asynchronous pair the first
        let names = ["all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter"];
        if names.iter().any(|name| opcode.starts_with(name)) && !opcode.ends_with("-done") {
            *counts.entry(opcode).or_default() += 1;
        }
    }
    counts.iter().map(|(opcode, count)| format!("  {opcode} {count}\n")).collect()
}

/// Compares a text with its file, which `KC_BLESS=1` rewrites.
fn check(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("xla").join(name);
    if std::env::var_os("KC_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("it has one")).expect("the checkout can be written");
        std::fs::write(&path, text).expect("the checkout can be written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{} differs; KC_BLESS=1 rewrites it", path.display());
}

/// The collectives of the train step, spread by data and by model over devices of that mesh.
fn collectives_of_steps(shape: [usize; 2], compile: impl Fn(&str, &CompileOptions) -> Vec<u8>) -> String {
    let devices = shape[0] * shape[1];
    let parallel = DataParallel::new(devices).expect("devices");
    let mut text = String::new();
    for (name, distribution) in [("data", parallel.into()), ("model", model_parallel(shape))] {
        let step = step_text(&package(Some(distribution)), 64);
        let optimised = compile(&step, &CompileOptions { partitions: devices });
        text += &format!("{name} parallel\n{}", collectives(&optimised));
    }
    text
}

#[test]
fn processors_exchange_what_is_divided() {
    let Some(path) = plugin() else { return };
    let client = Client::new(Plugin::open(&path).expect("a plug-in")).expect("devices");
    let text = collectives_of_steps([2, 2], |text, options| {
        client.compile(text, options).and_then(|program| program.optimised()).expect("XLA takes the text and shows it")
    });
    check("collectives_cpu_2x2.txt", &text);
}

/// In the nightly command, which says where `libtpu` is.
#[test]
fn tpus_exchange_what_is_divided() {
    let Some(path) = std::env::var_os("KC_LIBTPU") else {
        eprintln!("skipped: KC_LIBTPU names no plug-in; `cargo xtask nightly tpu` sets it");
        return;
    };
    let topology = Topology::new(Plugin::open(path.as_ref()).expect("libtpu"), "v5e:2x4").expect("eight devices");
    let text = collectives_of_steps([2, 4], |text, options| {
        topology
            .compile(text, options)
            .and_then(|program| program.optimised())
            .expect("XLA takes the text and shows it")
    });
    check("collectives_v5e_2x4.txt", &text);
}

#[test]
fn a_program_is_loaded_from_the_cache() {
    let Some(plugin) = plugin() else { return };
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("xla_cache");
    let _ = std::fs::remove_dir_all(&folder);
    let package = package(None);
    let predict = || {
        let device =
            DeviceOptions { plugin: Some(plugin.clone()), cache: Some(folder.clone()), ..DeviceOptions::default() };
        let mut session = Session::new(&package, &SessionOptions { device, ..SessionOptions::default() })?;
        session.init(1)?;
        session.run("predict", &[&Array::zeros(DType::F32, &[3, 16])?])
    };
    let first = predict().expect("it runs");
    let kept = std::fs::read_dir(&folder).expect("programs were kept").count();
    assert_eq!(kept, 2, "init and predict");
    assert_eq!(predict().expect("it runs again"), first);
    // XLA would execute what is damaged
    for file in std::fs::read_dir(&folder).expect("programs were kept").flatten() {
        let mut bytes = std::fs::read(file.path()).expect("a kept program");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(file.path(), bytes).expect("a test's own file");
    }
    assert_eq!(predict().expect("it is compiled again"), first);
}

#[test]
fn what_a_plug_in_lacks_is_said() {
    let missing = session(&package(None), PathBuf::from("/no/such/plugin.so")).err().expect("an error").to_string();
    assert_eq!(
        missing,
        "the PJRT plug-in /no/such/plugin.so cannot be opened: there is no such file; expected a shared library that exports \
         `GetPjrtApi`"
    );
    let Some(path) = plugin() else { return };
    let package = package(Some(DataParallel::new(64).expect("a mesh").into()));
    assert_eq!(
        session(&package, path.clone()).err().expect("an error").to_string(),
        "the model is spread over 64 devices, the plug-in has 4 (cpu); take a smaller mesh or more processes"
    );
    let plugin = Plugin::open(&path).expect("a plug-in");
    match Topology::new(plugin, "v5e:17x3") {
        Err(PjrtError::Topology { name, .. }) => assert_eq!(name, "v5e:17x3"),
        other => panic!("expected an error about the topology, got {:?}", other.err()),
    }
    let client = Client::new(plugin).expect("devices");
    let error = client.compile("module { nonsense }", &CompileOptions::default()).expect_err("no text").to_string();
    assert!(error.starts_with("XLA (PJRT_Client_Compile): "), "{error}");
}

#[test]
fn layers_are_named_in_what_xla_shows() {
    let Some(path) = plugin() else { return };
    let client = Client::new(Plugin::open(&path).expect("a plug-in")).expect("devices");
    let executable = client.compile(&step_text(&package(None), 32), &CompileOptions::default()).expect("a program");
    let optimised = executable.optimised().expect("XLA shows it");
    for layer in ["dense/", "dense_1/", "logits/"] {
        assert!(optimised.windows(layer.len()).any(|part| part == layer.as_bytes()), "{layer}");
    }
}

#[test]
fn a_device_without_memory_is_an_error() {
    let Some(path) = plugin() else { return };
    let client = Client::new(Plugin::open(&path).expect("a plug-in")).expect("devices");
    let text = "module @m {\n  func.func public @main() -> (tensor<1099511627776xf32>) {\n    \
        %0 = stablehlo.iota dim = 0 : tensor<1099511627776xf32>\n    return %0 : tensor<1099511627776xf32>\n  }\n}\n";
    let executable = client.compile(text, &CompileOptions::default()).expect("XLA takes the text");
    let started = executable.execute(&[vec![]]);
    let ended = started.and_then(|(_, events)| events.into_iter().try_for_each(|event| event.wait()));
    let error = ended.expect_err("four terabytes are not there");
    assert!(matches!(error, PjrtError::OutOfMemory { .. }), "{error}");
    let message = error.to_string();
    assert!(message.starts_with("the device has no memory left ("), "{message}");
    assert!(message.ends_with("; use smaller batches, a smaller model or more devices"), "{message}");
}

/// Keras gives variables their layouts when they are made; what is set later changes nothing.
#[test]
fn a_model_is_spread_as_was_set_when_it_was_compiled() {
    let devices = |model: &Model| {
        let distribution = model.module().expect("the model can be traced").model.distribution;
        distribution.map_or(1, |distribution| distribution.devices())
    };
    kc::utils::clear_session();
    let four = || Some(DataParallel::new(4).expect("four devices").into());
    set_distribution(four());
    let spread = model().expect("a model");
    let never_compiled: Model = Sequential::new().add(Input::new([4])).add(Dense::new(2)).into();
    set_distribution(None);
    let whole = model().expect("a model");
    set_distribution(four());
    assert_eq!([devices(&spread), devices(&never_compiled), devices(&whole)], [4, 4, 1]);
    let elsewhere = std::thread::scope(|threads| threads.spawn(|| devices(&spread)).join().expect("no panic"));
    assert_eq!(elsewhere, 4, "in a thread where nothing is set");
    kc::utils::clear_session();
    assert!(kc::distribution::distribution().is_none());
}

#[test]
fn layouts_are_by_the_paths_of_keras() {
    let of = |key: &str| {
        kc::utils::clear_session();
        let mesh = DeviceMesh::new([2, 2], ["batch", "model"]).expect("a mesh");
        let map = LayoutMap::new(&mesh).with(key, [None, Some("model")]).expect("a layout");
        set_distribution(Some(ModelParallel::new(map).into()));
        let model = model().expect("a model");
        let module = model.module().map_err(|error| error.to_string())?;
        let spread = module.model.distribution.expect("it was set");
        let divided = module.state.iter().zip(spread.state).filter(|(_, axes)| axes.iter().any(Option::is_some));
        Ok(divided.map(|(tensor, _)| tensor.name.clone()).collect::<Vec<_>>())
    };
    let adam = |name: &str| [format!("adam/{name}_momentum"), format!("adam/{name}_velocity")];
    let dense = [vec!["dense/kernel".to_string()], adam("dense_kernel").into()].concat();
    assert_eq!(of("sequential/dense/kernel"), Ok(dense.clone()));
    assert_eq!(of(".*/dense/k.*"), Ok(dense));
    assert_eq!(of("dense/kernel"), Ok(vec![]), "not the whole path");
    let output: String = of("sequential/dense/output").expect_err("outputs have no layouts");
    assert_eq!(
        output,
        "`LayoutMap`: `sequential/dense/output` is of the output `sequential/dense/output`, and only variables have layouts here: XLA \
         lays out what layers give; leave the key out. The variables are sequential/dense/kernel, sequential/dense/bias, \
         sequential/dense_1/kernel, sequential/dense_1/bias, sequential/logits/kernel, sequential/logits/bias"
    );
}

#[test]
fn the_texts_are_those_that_a_session_takes() {
    let package = package(Some(DataParallel::new(4).expect("four devices").into()));
    let texts = |batch: i64| -> Vec<(bool, String)> {
        let programs = package.manifest.code.programs.iter();
        let of_step = programs.filter(|program| package.manifest.entries[program.entry].name == "train_steps");
        let texts = of_step.filter_map(|program| {
            let text = stablehlo::text_for(&package, program, batch, 5).expect("the extents are known");
            text.map(|(text, _)| (program.batch_divided, text))
        });
        texts.collect()
    };
    for (batch, divided) in [(32, true), (30, false)] {
        let texts = texts(batch);
        assert_eq!(texts.iter().map(|(divided, _)| *divided).collect::<Vec<_>>(), [divided], "{batch}");
        let text = &texts[0].1;
        assert!(
            text.contains("mhlo.num_partitions = 4") && text.contains(&format!("tensor<5x{batch}x16xf32>")),
            "{text}"
        );
        assert_eq!(text.contains("{devices=[1,4,1]<=[4]}"), divided, "{text}");
    }
}

#[test]
fn an_extent_that_is_no_batch_is_not_known_ahead() {
    kc::utils::clear_session();
    let model = Sequential::new().add(Input::new([Dim::symbol("T"), Dim::constant(2)]).name("x"));
    let module = Model::from(model.add(Dense::new(3))).module().expect("the model can be traced");
    let package = stablehlo::compile(&module, &Options::default(), &mut |_, _| {}).expect("XLA has all of its ops");
    let predict = package.manifest.entries.iter().position(|entry| entry.name == "predict").expect("it is compiled");
    let program = package.manifest.code.programs.iter().find(|program| program.entry == predict).expect("its text");
    assert_eq!(
        stablehlo::text_for(&package, program, 7, 1).expect_err("T is not known").to_string(),
        "predict: stablehlo: `x` is f32[B, T, 2]: the extent T is no size of a batch, so it is not known before the program runs; give \
         `Input` a number for it, or compile for `--target xla`, which compiles for the shapes that come"
    );
}

#[test]
fn a_cpu_back_end_refuses_a_model_that_is_spread() {
    let module = module(Some(DataParallel::new(4).expect("four devices").into()));
    let backend = kc_codegen::Cranelift::new().expect("this machine has it");
    assert_eq!(
        kc_codegen::compile(&module, &backend, &Options::default()).expect_err("one processor").to_string(),
        "the back end cranelift is not available: the model is spread over 4 devices, which only XLA does; compile it for \
         XLA (`--target xla` or `tpu`)"
    );
}
