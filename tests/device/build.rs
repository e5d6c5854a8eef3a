//! The library has the name by which NVIDIA's driver is opened: where it is loaded, it is found instead.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libcuda.so");
}
