//! PTX of the MLP's and the CNN's entry points and of matrix products, for every architecture: `ptxas` assembles it, and the registers, bytes of shared
//! memory and bytes spilled (stored and loaded) of each kernel are those of the tables in `ptx/`, which `KC_BLESS=1` rewrites.
//! `cargo xtask test ptxas` installs the assembler; `KC_PTXAS` names another one.

use kc_codegen::cuda::{Architecture, Cuda};
use kc_codegen::mlir::NotAvailable;
use kc_codegen::{Backend, Options, compile};
use kc_ir::DType;
use kc_ir::tensor::Module;
use kc_passes::Factors;
use kc_tests::products;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

fn assembler() -> Result<PathBuf, String> {
    if let Some(given) = std::env::var_os("KC_PTXAS") {
        return Ok(given.into());
    }
    // the tests' executables lie in `target/debug/deps`
    let executable = std::env::current_exe().map_err(|error| error.to_string())?;
    let places: Vec<PathBuf> = executable.ancestors().map(|folder| folder.join("cuda/nvidia/cu13/bin/ptxas")).collect();
    let found = places.into_iter().find(|place| place.is_file());
    found.ok_or_else(|| "there is no ptxas; `cargo xtask test ptxas` installs it".to_string())
}

/// The examples that the project is measured by.
#[path = "../../frontend/examples/mnist_mlp.rs"]
#[allow(dead_code)]
mod mnist_mlp;

#[path = "../../frontend/examples/mnist_cnn.rs"]
#[allow(dead_code)]
mod mnist_cnn;

/// Registers, bytes of shared memory and spilled bytes that `ptxas -v` says, by the kernels' numbers.
fn figures(report: &str) -> Vec<[u64; 3]> {
    let before = |line: &str, word: &str| -> u64 {
        let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        let place = words.windows(2).position(|pair| pair[1] == word || word == "spill" && pair[1] == "bytes");
        place.and_then(|place| words[place].parse().ok()).unwrap_or(0)
    };
    let mut figures: Vec<(usize, [u64; 3])> = vec![];
    for line in report.lines() {
        if let Some((_, rest)) = line.split_once("entry function 'kernel_") {
            let number = rest.split('\'').next().and_then(|number| number.parse().ok()).expect("a kernel's number");
            figures.push((number, [0; 3]));
        } else if let Some((_, current)) = figures.last_mut() {
            if let Some((_, spills)) = line.split_once("stack frame,") {
                current[2] = spills.split(',').map(|part| before(part, "spill")).sum();
            } else if let Some((_, used)) = line.split_once("Used ") {
                current[0] = before(used, "registers");
                let shared = used.split(',').find(|part| part.contains("smem"));
                current[1] = shared.map_or(0, |part| before(part, "bytes"));
            }
        }
    }
    figures.sort_unstable();
    figures.into_iter().map(|(_, figures)| figures).collect()
}

#[test]
fn kernels_of_the_mlp() {
    let module = mnist_mlp::kc_model().expect("the model is built").module().expect("the model is traced");
    kernels_of("mnist_mlp", &module, Factors::F32);
}

/// Convolutions and their gradients among them.
#[test]
fn kernels_of_the_cnn() {
    let module = mnist_cnn::kc_model().expect("the model is built").module().expect("the model is traced");
    kernels_of("mnist_cnn", &module, Factors::F32);
}

/// Products on tensor cores and, in f32, by threads: large ones and such that fill no tile.
#[test]
fn kernels_of_products() {
    for (name, dtype, extents) in [
        ("products_bf16", DType::Bf16, [8192, 8192, 8192]),
        ("products_f16", DType::F16, [1024, 1024, 1024]),
        ("products_ragged", DType::Bf16, [1000, 147, 75]),
        ("products_f32", DType::F32, [8192, 8192, 8192]),
        ("products_f32_ragged", DType::F32, [1000, 147, 75]),
    ] {
        kernels_of(name, &products::module(dtype, extents), Factors::F32);
    }
    kernels_of("products_tf32", &products::module(DType::F32, [8192, 8192, 8192]), Factors::Tf32);
}

/// Attention without the matrix of scores.
#[test]
fn kernels_of_attention() {
    use kc::prelude::*;
    let build = || {
        let x = Input::new([512, 128]);
        let y = MultiHeadAttention::new(2, 64).use_causal_mask(true).call([&x, &x])?;
        let mut model = Model::new(&x, &y)?;
        model.compile("sgd", "mse", ["mae"])?;
        model.module()
    };
    kernels_of("attention", &build().expect("the model is traced"), Factors::F32);
}

/// Compiles and assembles a module; no register may be spilled.
fn kernels_of(name: &str, module: &Module, factors: Factors) {
    let assembler = match assembler() {
        Ok(assembler) => assembler,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let mut table = String::from("architecture kernel registers shared spilled\n");
    for architecture in Architecture::ALL {
        let mut backend = match Cuda::new(architecture) {
            Ok(backend) => backend,
            Err(error @ NotAvailable::Missing(_)) => return println!("skipped: {error}"),
            Err(error) => panic!("{error}"),
        };
        backend.target_mut().factors = factors;
        let package = compile(module, &backend, &Options::default()).unwrap_or_else(|error| panic!("{error}"));
        let code = &package.manifest.code;
        assert_eq!(code.target, format!("nvptx64-{architecture}"));
        let place = std::env::temp_dir().join(format!("kc-ptx-{}-{name}-{architecture}.ptx", std::process::id()));
        std::fs::write(&place, &package.code[..]).expect("the PTX is written");
        let mut command = Command::new(&assembler);
        command.args(["-v", &format!("-arch={architecture}"), "-o"]).arg(place.with_extension("cubin")).arg(&place);
        let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", assembler.display()));
        for file in [place.clone(), place.with_extension("cubin")] {
            _ = std::fs::remove_file(file);
        }
        let report = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ptxas refuses the PTX for {architecture}:\n{report}");
        let figures = figures(&report);
        assert_eq!(figures.len(), code.kernels.len(), "one report a kernel is expected:\n{report}");
        for (kernel, [registers, shared, spilled]) in code.kernels.iter().zip(figures) {
            assert!(registers > 0, "no registers are reported:\n{report}");
            assert!(spilled == 0, "{} spills {spilled} bytes for {architecture}", kernel.name);
            table += &format!("{architecture} {} {registers} {shared} {spilled}\n", kernel.name);
        }
    }
    let path = root().join(format!("tests/ptx/{name}.txt"));
    if std::env::var_os("KC_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
        std::fs::write(&path, &table).expect("the table is written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(table == expected, "{} differs; KC_BLESS=1 rewrites it. Now it is\n{table}", path.display());
}
