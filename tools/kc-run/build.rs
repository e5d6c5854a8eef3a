//! Has the program carry what it needs of GCC's library: else it starts only where that is installed beside the C library.

use std::env::var;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_native = var("HOST") == var("TARGET") && var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu");
    let (true, Ok(out)) = (is_native && has_archive(), var("OUT_DIR").map(PathBuf::from)) else { return };
    // found before the shared library of that name; the standard library asks for it
    match std::fs::write(out.join("libgcc_s.so"), "GROUP ( -lgcc_eh -lgcc )\n") {
        Ok(()) => println!("cargo::rustc-link-search=native={}", out.display()),
        Err(error) => println!("cargo::error={}: {error}", out.display()),
    }
}

/// Whether the C compiler comes with the library as an archive.
fn has_archive() -> bool {
    let found = Command::new("cc").arg("-print-file-name=libgcc_eh.a").output();
    found.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_file())
}
