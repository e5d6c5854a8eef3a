//! `kc-run` as a person uses it, with a package whose machine code is a few bytes: `y = x + 100` for one sample.

use kc_runtime::kc_abi::manifest::*;
use kc_runtime::kc_abi::{DType, Dim, Symbol, TensorType};
use kc_runtime::{Array, Package, npy};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of its own for a test, removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kc-run-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Runs `kc-run` there: exit code, standard output, standard error.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        self.run_with(arguments, &[])
    }

    /// The same with variables of the environment.
    fn run_with(&self, arguments: &[&str], variables: &[(&str, &Path)]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kc-run"));
        command.args(arguments).current_dir(&self.0).envs(variables.iter().copied());
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `*output = *input + dims[0]`
fn machine_code() -> &'static [u8] {
    match cfg!(target_arch = "x86_64") {
        // mov rax, [rdi]; mov rcx, [rdi+8]; mov rdx, [rax]; add rdx, [rsi]; mov [rcx], rdx; ret
        true => &[0x48, 0x8b, 0x07, 0x48, 0x8b, 0x4f, 0x08, 0x48, 0x8b, 0x10, 0x48, 0x03, 0x16, 0x48, 0x89, 0x11, 0xc3],
        // aarch64: ldp x8, x9, [x0]; ldr x10, [x8]; ldr x11, [x1]; add x10, x10, x11; str x10, [x9]; ret
        false => &[
            0x08, 0x24, 0x40, 0xa9, 0x0a, 0x01, 0x40, 0xf9, 0x2b, 0x00, 0x40, 0xf9, 0x4a, 0x01, 0x0b, 0x8b, 0x2a, 0x01,
            0x00, 0xf9, 0xc0, 0x03, 0x5f, 0xd6,
        ],
    }
}

/// The same for a GPU, by the first thread of a block.
const PTX: &str = "
.version 7.0
.target sm_80
.address_size 64
.visible .entry kernel_0(.param .u64 .ptr .align 16 x, .param .u64 .ptr .align 16 y, .param .u64 d0)
.reqntid 32
{
    .reg .pred %p<2>;
    .reg .b32 %r<2>;
    .reg .b64 %rd<8>;
    mov.u32 %r1, %tid.x;
    setp.ne.s32 %p1, %r1, 0;
    @%p1 bra $end;
    ld.param.b64 %rd1, [x];
    ld.param.b64 %rd2, [y];
    ld.param.b64 %rd3, [d0];
    cvta.to.global.u64 %rd4, %rd1;
    cvta.to.global.u64 %rd5, %rd2;
    ld.global.b64 %rd6, [%rd4];
    add.s64 %rd7, %rd6, %rd3;
    st.global.b64 [%rd5], %rd7;
$end:
    ret;
}
";

fn package(path: &Path, state: Option<Vec<Array>>) {
    write(path, state, kc_runtime::intrinsics::host_target(), machine_code(), None);
}

fn write(path: &Path, state: Option<Vec<Array>>, target: &str, code: &[u8], block_threads: Option<u32>) {
    let vector = || TensorType::new(DType::I64, [Dim::symbol("B")]);
    let buffer = |place| Buffer { dtype: DType::I64, elements: Dim::symbol("B"), place, offset: Dim::default() };
    let launch = Launch {
        kernel: 0,
        buffers: vec![0, 1],
        dims: vec![Dim::from(100i64)],
        tasks: Dim::from(1i64),
        parts: vec![],
        work: Dim::default(),
    };
    let manifest = Manifest {
        format: FORMAT_VERSION,
        model: ModelInfo { name: "hundred".into(), ..ModelInfo::default() },
        state: vec![],
        entries: vec![Entry {
            name: "predict".into(),
            symbols: vec![Symbol::new("B")],
            inputs: vec![Input { name: "x".into(), role: InputRole::Feature, ty: vector(), checks: vec![] }],
            outputs: vec![Output { name: "y".into(), ty: vector() }],
            plan: Plan {
                kept: 0,
                slots: vec![],
                buffers: vec![buffer(Place::Input(0)), buffer(Place::Output(0))],
                steps: vec![Step::Launches(vec![launch])],
            },
            exact: vec![],
            updates: vec![],
        }],
        code: Code {
            backend: "hand".into(),
            target: target.into(),
            features: vec![],
            intrinsics_version: 1,
            library: vec![],
            programs: vec![],
            kernels: vec![Kernel { name: "add".into(), offset: 0, scratch_bytes: 0, calls: None, block_threads }],
            parts: vec![],
        },
    };
    let code = code.to_vec().into();
    Package { manifest, code, constants: Default::default(), state, others: vec![] }.write(path).unwrap();
}

/// With the GPU for tests in the place of NVIDIA's driver, which is found by its name.
#[test]
fn a_package_for_a_gpu_predicts_where_there_is_a_driver() {
    let folder = Folder::new("gpu");
    write(&folder.0.join("m.kcp"), Some(vec![]), "nvptx64-sm_80", PTX.as_bytes(), Some(32));
    npy::write(&folder.0.join("x.npy"), &Array::from_slice(&[1u8, 2, 3], &[3]).unwrap()).unwrap();
    let driver = std::env::current_exe().unwrap().with_file_name("libkc_test_device.so");
    std::os::unix::fs::symlink(driver, folder.0.join("libcuda.so")).unwrap();
    let log = folder.0.join("device.log");
    let variables = [("LD_LIBRARY_PATH", folder.0.as_path()), ("KC_TEST_DEVICE_LOG", log.as_path())];
    let predict = ["predict", "m.kcp", "--input", "x.npy", "--batch-size", "1"];
    assert_eq!(folder.run_with(&predict, &variables), (Some(0), "101\n102\n103\n".into(), String::new()));
    assert_eq!(std::fs::read_to_string(&log).unwrap_or_default(), "");
    let none = [variables[0], variables[1], ("KC_TEST_DEVICE", Path::new("none"))];
    let (code, _, error) = folder.run_with(&predict, &none);
    assert_eq!(code, Some(1));
    assert_eq!(
        error,
        "error: the NVIDIA driver finds no GPU (is one hidden by CUDA_VISIBLE_DEVICES?); or compile the model with `--target cpu`\n"
    );
}

/// The oldest C library that it starts with, by the versions of the symbols that it takes from it.
#[test]
#[cfg(target_os = "linux")]
fn an_old_c_library_is_enough() {
    const OLDEST: (u32, u32) = (2, 35);
    let bytes = std::fs::read(env!("CARGO_BIN_EXE_kc-run")).unwrap();
    let needed = bytes.split(|&byte| byte == 0).filter_map(|text| {
        let (major, minor) = std::str::from_utf8(text).ok()?.strip_prefix("GLIBC_")?.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    let newest: (u32, u32) = needed.max().expect("a program that is linked with the C library");
    assert!(newest <= OLDEST, "it needs version {newest:?} of the C library, {OLDEST:?} was enough");
}

/// Of the libraries that the loader looks for, all are parts of the C library.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn the_c_library_is_all_that_is_looked_for() {
    let bytes = std::fs::read(env!("CARGO_BIN_EXE_kc-run")).unwrap();
    let has = |name: &str| bytes.split(|&byte| byte == 0).any(|text| text == name.as_bytes());
    assert!(has("libc.so.6"), "a program that is linked with the C library");
    for other in ["libgcc_s.so.1", "libstdc++.so.6", "libz.so.1"] {
        assert!(!has(other), "it looks for {other}");
    }
}

#[test]
fn a_package_predicts_describes_and_measures_itself() {
    let folder = Folder::new("predict");
    package(&folder.0.join("m.kcp"), Some(vec![]));
    npy::write(&folder.0.join("x.npy"), &Array::from_slice(&[1u8, 2, 3], &[3]).unwrap()).unwrap();

    let predict = ["predict", "m.kcp", "--input", "x.npy", "--batch-size", "1"];
    assert_eq!(folder.run(&predict), (Some(0), "101\n102\n103\n".into(), String::new()));
    let (code, _, _) = folder.run(&[&predict[..], &["-o", "y.npy"]].concat());
    assert_eq!(code, Some(0));
    let written = npy::read(&folder.0.join("y.npy")).unwrap();
    assert_eq!(written, Array::from_slice(&[101i64, 102, 103], &[3]).unwrap());

    let (code, text, _) = folder.run(&["info", "m.kcp"]);
    assert_eq!(code, Some(0));
    let target = kc_runtime::intrinsics::host_target();
    assert_eq!(
        text,
        format!(
            "model      hundred\ncode       hand for {target}, {} bytes, 1 kernels\nconstants  0 bytes\nweights    present\n\
             entry      predict(x i64[B]) -> (y i64[B]), 1 launches\n",
            machine_code().len()
        )
    );

    let (code, text, _) = folder.run(&["bench", "m.kcp", "--repeats", "1", "--json"]);
    assert_eq!(code, Some(0));
    assert!(text.starts_with("{\"first_prediction_ms\":") && text.ends_with("}\n"), "{text}");
}

#[test]
fn what_goes_wrong_is_said_in_one_line() {
    let folder = Folder::new("wrong");
    let fails = |arguments: &[&str]| {
        let (code, output, error) = folder.run(arguments);
        assert_eq!((code, output.as_str()), (Some(1), ""), "{error}");
        error
    };
    assert_eq!(
        fails(&["info", "m.kcp"]),
        "error: cannot read the package `m.kcp`: No such file or directory (os error 2)\n"
    );
    let path = folder.0.join("m.kcp");
    package(&path, None);
    npy::write(&folder.0.join("x.npy"), &Array::from_slice(&[1u8, 2, 3, 4], &[2, 2]).unwrap()).unwrap();
    assert_eq!(
        fails(&["predict", "m.kcp", "--input", "x.npy"]),
        "error: m.kcp holds no weights; train it first: kc-run fit m.kcp --data ... -o m.kcp\n"
    );
    package(&path, Some(vec![]));
    assert_eq!(
        fails(&["predict", "m.kcp", "--input", "x.npy"]),
        "error: `x` must have the shape (None,), where the first axis counts the samples; \
         an array of shape (2, 2) was given\n"
    );
    assert_eq!(
        fails(&["fit", "m.kcp", "--data", "x.npy"]),
        "error: x.npy is no data; expected an .npz file, or a folder of .npy files, with arrays x_train, y_train and \
         perhaps x_test, y_test, or x and y\n"
    );
    npy::write(&folder.0.join("y.npy"), &Array::from_slice(&[1u8], &[1]).unwrap()).unwrap();
    assert_eq!(
        fails(&["evaluate", "m.kcp", "--data", "."]),
        "error: the package has no entry point `test_step`; it has `predict`\n"
    );
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(
        fails(&["info", "m.kcp"]),
        format!(
            "error: cannot read the package `m.kcp`: it is truncated: {} bytes were expected, {} were found\n",
            bytes.len(),
            bytes.len() - 1
        )
    );
}

#[test]
#[cfg(target_os = "linux")]
fn output_that_nobody_reads_ends_quietly_and_a_full_disk_is_an_error() {
    let run = |stdout: std::process::Stdio| {
        let output = Command::new(env!("CARGO_BIN_EXE_kc-run"))
            .arg("--help")
            .stdout(stdout)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .and_then(|child| child.wait_with_output())
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(run(writer.into()), (Some(141), String::new()));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let message = "error: cannot write to standard output: No space left on device (os error 28)\n";
    assert_eq!(run(full.into()), (Some(1), message.to_owned()));
}
