//! Several processes: the store by which they find each other, a plug-in that joins them, and those that do not.
//!
//! The test program starts itself as the processes: [`a_process`] is what they do.

use kc::distribution::{DataParallel, set_distribution};
use kc::prelude::*;
use kc_codegen::{Options, stablehlo};
use kc_runtime::pjrt::{Client, PjrtError, Plugin, Processes};
use kc_runtime::{Array, DeviceOptions, Session, SessionOptions};
use kc_tests::runner::xla_plugin;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Names the plug-in to a process that [`start`] started, and what it does with it.
const PLUGIN: &str = "KC_TEST_PLUGIN";
const ACTION: &str = "KC_TEST_ACTION";

/// An address of this machine that nobody listens at.
fn address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has one").to_string()
}

fn start(plugin: &Path, action: &str, address: &str, count: usize, id: usize) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["a_process", "--exact", "--nocapture"])
        .env(PLUGIN, plugin)
        .env(ACTION, action)
        .env("KERAS_DISTRIBUTION_JOB_ADDRESSES", address)
        .env("KERAS_DISTRIBUTION_NUM_PROCESSES", count.to_string())
        .env("KERAS_DISTRIBUTION_PROCESS_ID", id.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program starts")
}

/// What a process says on a line that begins with `says: `.
fn said(process: Child) -> String {
    let ended = process.wait_with_output().expect("a process of ours");
    let printed = String::from_utf8_lossy(&ended.stdout).into_owned();
    let line = printed.lines().find_map(|line| line.split_once("says: ").map(|(_, said)| said.to_owned()));
    line.unwrap_or_else(|| panic!("it says nothing: {printed}"))
}

/// Does what [`start`] says; as a test by itself nothing.
#[test]
fn a_process() {
    let (Some(plugin), Ok(action)) = (std::env::var_os(PLUGIN).map(PathBuf::from), std::env::var(ACTION)) else {
        return;
    };
    let said = match action.as_str() {
        "devices" => devices(&plugin).unwrap_or_else(|error| error.to_string()),
        _ => losses(plugin).map_or_else(|error| error.to_string(), |losses| format!("{losses:?}")),
    };
    println!("says: {said}");
}

fn devices(plugin: &Path) -> Result<String, PjrtError> {
    let processes = Processes::from_environment(None, None, None)?.expect("they are set");
    let client = Client::joined(Plugin::open(plugin)?, &processes)?;
    let ids = |devices: &[kc_runtime::pjrt::Device]| devices.iter().map(|device| device.id).collect::<Vec<_>>();
    // a second one is of other keys
    let again = Client::joined(Plugin::open(plugin)?, &processes)?;
    Ok(format!("{:?} of {:?}, {}", ids(client.devices()), ids(client.all_devices()), again.all_devices().len()))
}

/// The losses of a model on four devices, in the processes that the environment names.
fn losses(plugin: PathBuf) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    kc::utils::set_random_seed(3);
    let mut model = Sequential::new().add(Input::new([4])).add(Dense::new(1));
    set_distribution(Some(DataParallel::new(4)?.into()));
    model.compile("sgd", "mean_squared_error", ["mae"])?;
    let package = stablehlo::compile(&Model::from(model).module()?, &Options::default(), &mut |_, _| {})?;
    let device = DeviceOptions { plugin: Some(plugin), ..DeviceOptions::default() };
    let mut session = Session::new(&package, &SessionOptions { device, ..SessionOptions::default() })?;
    session.init(5)?;
    let numbers = |count: usize| (0..count).map(|place| (place % 7) as f32 / 7.0).collect::<Vec<_>>();
    let inputs = [
        Array::from_slice(&numbers(32), &[8, 4])?,
        Array::from_slice(&numbers(8), &[8, 1])?,
        Array::from_slice(&[1f32; 8], &[8])?,
    ];
    let mut losses = Vec::new();
    for _ in 0..2 {
        session.reset_metrics();
        session.run("train_step", &inputs.each_ref())?;
        losses.extend(session.run("metric_results", &[])?[0].first_as_f64());
    }
    Ok(losses)
}

/// The plug-in that joins processes.
fn joining() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libjoining_plugin.so");
    let built = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()))
        .args(["--edition=2024", "--crate-type=cdylib", "-o"])
        .arg(&library)
        .arg(here.join("xla/joining_plugin.rs"))
        .env("KC_PJRT_BINDINGS", here.join("../runtime/src/pjrt/bindings.rs"))
        .output()
        .expect("rustc builds what tests need");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}

#[test]
fn a_plug_in_finds_the_devices_of_all_processes() {
    let plugin = joining();
    let address = address();
    // process 0 comes last
    let processes = [2, 1, 0].map(|id| start(&plugin, "devices", &address, 3, id));
    let all = "of [0, 1, 2, 3, 4, 5], 6";
    assert_eq!(processes.map(said), [format!("[4, 5] {all}"), format!("[2, 3] {all}"), format!("[0, 1] {all}")]);
}

#[test]
fn a_plug_in_that_joins_no_processes_is_named() {
    let Ok(plugin) = xla_plugin().inspect_err(|reason| eprintln!("skipped: {reason}")) else { return };
    let address = address();
    let processes = [0, 1].map(|id| start(&plugin, "train", &address, 2, id));
    let expected = format!(
        "the PJRT plug-in {} does not join processes: it shows the devices of 1, expected those of 2; take a plug-in that does, such as \
         that of `pip install jax-cuda13-pjrt`, or one process",
        plugin.display()
    );
    assert_eq!(processes.map(said), [expected.clone(), expected]);
}

#[test]
fn one_process_of_one_trains_as_alone() {
    let Ok(plugin) = xla_plugin().inspect_err(|reason| eprintln!("skipped: {reason}")) else { return };
    let joined = said(start(&plugin, "train", &address(), 1, 0));
    assert_eq!(joined, format!("{:?}", losses(plugin).expect("it trains")));
}

#[test]
fn what_is_said_of_processes_is_checked() {
    let error = |addresses: &str, count, id| Processes::new(addresses, count, id).expect_err("an error").to_string();
    assert_eq!(
        error("10.0.0.1", 2, 0),
        "several processes: got the job addresses `10.0.0.1`, expected HOST:PORT of process 0 first"
    );
    assert_eq!(
        error("10.0.0.1:1234,10.0.0.2:2345", 2, 2),
        "several processes: got the process 2 of 2, expected a number below that"
    );
    let partly = kc::distribution::initialize(Some("10.0.0.1:1234"), Some(2), None).expect_err("an error").to_string();
    assert!(
        partly.contains(
            "KERAS_DISTRIBUTION_PROCESS_ID is not said; expected all of KERAS_DISTRIBUTION_JOB_ADDRESSES, \
             KERAS_DISTRIBUTION_NUM_PROCESSES, KERAS_DISTRIBUTION_PROCESS_ID"
        ),
        "{partly}"
    );
}

#[test]
fn a_process_without_the_first_one_says_where_it_looked() {
    let Ok(plugin) = xla_plugin().inspect_err(|reason| eprintln!("skipped: {reason}")) else { return };
    let address = address();
    let processes = Processes::new(&address, 2, 1).expect("a process").with_patience(Duration::from_millis(100));
    let alone = Client::joined(Plugin::open(&plugin).expect("a plug-in"), &processes).expect_err("nobody serves it");
    let alone = alone.to_string();
    assert!(alone.starts_with(&format!(
        "process 1 of 2 does not meet the others by the key-value store of process 0 at {address}: "
    )));
    assert!(alone.contains("refused") && alone.ends_with("(KERAS_DISTRIBUTION_JOB_ADDRESSES)"), "{alone}");
}
