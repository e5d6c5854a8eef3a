//! Compiles the scalar functions for GPUs (`device/`) to LLVM's bitcode, which the plug-in links with kernels that call them.

use std::env::var_os;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    for path in
        ["build.rs", "device/Cargo.toml", "device/src", "../../runtime/src/intrinsics/math.rs", "../../runtime/abi/src"]
    {
        println!("cargo::rerun-if-changed={path}");
    }
    let (Some(cargo), Some(out)) = (var_os("CARGO"), var_os("OUT_DIR").map(PathBuf::from)) else {
        return println!("cargo::error=this is cargo's to run");
    };
    let mut command = Command::new(cargo);
    command.args(["rustc", "--release", "--quiet", "--locked", "--manifest-path", "device/Cargo.toml", "--target-dir"]);
    command.arg(out.join("device")).args(["--", "-C", "force-unwind-tables=no"]);
    command.arg(format!("--emit=llvm-bc={}", out.join("device_math.bc").display()));
    // the flags of the plug-in's own build are for this machine
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("RUSTFLAGS");
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => println!("cargo::error=the functions for GPUs could not be compiled ({status})"),
        Err(error) => println!("cargo::error=cargo could not be started: {error}"),
    }
}
