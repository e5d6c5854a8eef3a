//! The MLIR back end passes the suite of all back ends, where its plug-in is built.

use kc_codegen::conformance::{files, functions, random};
use kc_codegen::mlir::{Mlir, NotAvailable};
use kc_codegen::{Backend, Form};
use kc_ir::DType;
use kc_ir::kernel::{Kernel, parse_kernel};
use std::path::Path;

/// The back end; without a plug-in there is nothing to test. A plug-in that is there but cannot be used is a failure.
fn backend() -> Option<Mlir> {
    match Mlir::find() {
        Ok(backend) => Some(backend),
        Err(error @ NotAvailable::Missing(_)) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn passes(result: Result<(), String>) {
    if let Err(failures) = result {
        panic!("{failures}");
    }
}

#[test]
fn kernels_in_files() {
    if let Some(backend) = backend() {
        passes(files::run(&backend));
    }
}

#[test]
fn every_basic_function() {
    if let Some(backend) = backend() {
        passes(functions::run(&backend, DType::ALL));
    }
}

#[test]
fn random_kernels() {
    if let Some(backend) = backend() {
        passes(random::run(&backend, random::seeds()));
    }
}

fn kernel(body: &str) -> Kernel {
    let text = format!("kernel k(x: f32 readwrite; dims 0) task t0 {{\n%0: f32x8 = load x[0]\n{body}\n}}");
    parse_kernel(&text).unwrap()
}

#[test]
fn forms() {
    let Some(backend) = backend() else { return };
    let kernels = [kernel("%1: f32x8 = add %0, %0\nstore x[0], %1"), kernel("store x[1], %0")];
    let mlir = backend.emit(&kernels, Form::Mlir).unwrap();
    assert!(mlir.contains("// k\n") && mlir.contains("arith.addf") && mlir.contains("@kernel_1("), "{mlir}");
    let llvm = backend.emit(&kernels, Form::Llvm).unwrap();
    assert!(llvm.contains("fadd <8 x float>") && llvm.contains("@kernel_1("), "{llvm}");
    let assembly = backend.emit(&kernels, Form::Asm).unwrap();
    assert!(assembly.contains("kernel_1:") && assembly.contains("ret"), "{assembly}");
    let error = backend.emit(&kernels, Form::Clif).unwrap_err().to_string();
    assert_eq!(error, "the back end mlir has no form `clif`; expected one of: mlir, llvm, asm");
}

#[test]
fn what_cannot_be_translated_is_an_error() {
    let Some(backend) = backend() else { return };
    let refusal = |body: &str| backend.compile(&[kernel("store x[0], %0"), kernel(body)]).unwrap_err().to_string();
    assert_eq!(
        refusal("%1: f32x8 = exp %0"),
        "the back end mlir cannot translate kernel `k`: `exp` of f32 is not lowered to basic functions"
    );
    assert_eq!(
        refusal("%1: f32x8 = power %0, %0"),
        "the back end mlir cannot translate kernel `k`: `power` of f32 is not lowered to basic functions"
    );
    assert_eq!(
        refusal("%1: f32x8 = negate %2"),
        "the back end mlir cannot translate kernel `k`: kernel `k`, %1: there is no register %2"
    );
}

#[test]
fn a_file_that_is_no_plug_in_is_named() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let error = Mlir::open(&path).unwrap_err().to_string();
    let start = format!("the MLIR plug-in {} cannot be opened: ", path.display());
    assert!(error.starts_with(&start) && error.ends_with("\nbuild it again with `cargo xtask mlir`"), "{error}");
    let missing = NotAvailable::Missing(vec!["a/libkc_mlir.so".into(), "b/libkc_mlir.so".into()]).to_string();
    assert_eq!(
        missing,
        "the MLIR plug-in is not built; looked for\n  a/libkc_mlir.so\n  b/libkc_mlir.so\nbuild it with `cargo xtask mlir`"
    );
}
