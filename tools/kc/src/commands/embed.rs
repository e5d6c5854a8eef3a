use crate::cli::{self, Compile, Form};
use crate::compile;
use crate::failure::{Context, Failure, Outcome};
use crate::{output, paths};
use kc_codegen::mlir::{Machine, Mlir};
use kc_codegen::{Object, ObjectOptions, compile_object};
use kc_ir::tensor::Module;
use kc_runtime::Package;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `kc compile --emit object|staticlib|cdylib|wasm`: entry points as C functions, with a header beside.
pub fn embed(arguments: &Compile, module: &Module, machines: &[Machine], form: Form) -> Outcome {
    let [machine] = machines else {
        return Err(Failure::new("an object is for one machine; give one `--target`"));
    };
    if (form == Form::Wasm) != (*machine == Machine::Wasm32) && form != Form::Object {
        return Err(Failure::new("`--emit wasm` and `--target wasm32` belong together"));
    }
    if arguments.code.backend == cli::Backend::Cranelift {
        return Err(Failure::new("an object or library needs the back end mlir"));
    }
    let Some(weights) = &arguments.weights else {
        return Err(Failure::new(
            "an object holds its weights; give a trained package of this model: `--weights FILE.kcp`",
        ));
    };
    let weights = Package::verify(weights).map_err(Failure::new)?;
    let path = arguments.output.clone().unwrap_or_else(|| default_path(&arguments.model, form, *machine));
    let prefix = prefix(&path);
    let backend = Mlir::find().map_err(Failure::new)?.for_machine(*machine);
    let entries = if arguments.entry.is_empty() { vec!["predict".to_owned()] } else { arguments.entry.clone() };
    let options = ObjectOptions { prefix: prefix.clone(), entries };
    let object = compile_object(module, &weights, &backend, &compile::options(arguments.code.extract), &options);
    let object = object.map_err(Failure::new)?;
    let header = path.with_file_name(format!("{prefix}.h"));
    let write = |path: &Path, bytes: &[u8]| {
        paths::write_atomically(path, bytes).context(|| format!("cannot write {}", path.display()))
    };
    if form == Form::Object {
        write(&path, &object.bytes)?;
    } else {
        let part = path.with_extension(format!("{}.o", std::process::id()));
        write(&part, &object.bytes)?;
        let linked = link(form, &object, &part, &path);
        let _ = std::fs::remove_file(&part);
        linked?;
    }
    write(&header, object.header.as_bytes())?;
    output::print(&format!("wrote {} and {}\n", path.display(), header.display()))
}

fn default_path(model: &Path, form: Form, machine: Machine) -> PathBuf {
    let stem = model.file_stem().unwrap_or_default().to_string_lossy();
    PathBuf::from(match form {
        Form::Staticlib => format!("lib{stem}.a"),
        Form::Cdylib => format!("lib{stem}.so"),
        Form::Wasm => format!("{stem}.wasm"),
        _ if machine == Machine::Wasm32 => format!("{stem}.wasm.o"),
        _ => format!("{stem}.o"),
    })
}

/// What the functions' names start with: the file's name as an identifier of C.
fn prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.split('.').next().unwrap_or_default();
    let name = name.strip_prefix("lib").filter(|rest| !rest.is_empty()).unwrap_or(name);
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("model_{name}") } else { name }
}

fn link(form: Form, object: &Object, part: &Path, path: &Path) -> Outcome {
    let tool = |variable: &str, default: &str| std::env::var_os(variable).unwrap_or_else(|| default.into());
    let mut command = match form {
        Form::Staticlib => {
            // an archive that is there would be added to
            let _ = std::fs::remove_file(path);
            let mut command = Command::new(tool("AR", "ar"));
            command.arg("crs").arg(path).arg(part);
            command
        }
        Form::Cdylib => {
            let mut command = Command::new(tool("CC", "cc"));
            command.args(["-shared", "-o"]).arg(path).arg(part);
            command
        }
        _ => {
            let mut command = Command::new(wasm_linker());
            command.args(["-flavor", "wasm", "--no-entry", "--stack-first", "--export=__heap_base"]);
            command.args(object.functions.iter().map(|name| format!("--export={name}")));
            command.arg("-o").arg(path).arg(part);
            command
        }
    };
    let program = command.get_program().to_owned();
    let output = command.output().context(|| format!("cannot run {}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format_args!("{} cannot link {}:\n{}", program.display(), path.display(), said.trim())))
}

/// Rust's own linker, which knows WebAssembly.
fn wasm_linker() -> OsString {
    let ask = |arguments: &[&str]| -> Option<String> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(rustc).args(arguments).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let found = || {
        let (root, version) = (ask(&["--print", "sysroot"])?, ask(&["-vV"])?);
        let host = version.lines().find_map(|line| line.strip_prefix("host: "))?;
        let path = Path::new(root.trim()).join("lib/rustlib").join(host).join("bin/rust-lld");
        path.is_file().then(|| path.into_os_string())
    };
    found().unwrap_or_else(|| "rust-lld".into())
}
