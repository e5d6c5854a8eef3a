//! `kc compile --emit crate`: a package as a crate of its own.

use crate::cli::Compile;
use crate::failure::{Context, Failure, Outcome};
use crate::model::{Source, toml_string};
use crate::{output, paths};
use kc_runtime::Package;
use std::path::{Path, PathBuf};

/// The first line of what is written, by which it is known again.
const MARK: &str = "Written by `kc compile --emit crate`.";

/// Writes a folder with `Cargo.toml`, `src/lib.rs` (the interface that `kc-build` gives) and the package, of which kc-runtime is the only
/// dependency. A folder that has another crate is left alone.
pub fn library(arguments: &Compile, package: &Package) -> Outcome {
    let absolute = arguments.model.canonicalize().context(|| format!("cannot read {}", arguments.model.display()))?;
    let source = Source::find(&absolute)?;
    let folder = match &arguments.output {
        Some(folder) => folder.clone(),
        None => PathBuf::from(arguments.model.file_stem().unwrap_or_default()),
    };
    let context = |path: &Path| format!("cannot write {}", path.display());
    let manifest = folder.join("Cargo.toml");
    if manifest.exists() {
        let present = std::fs::read_to_string(&manifest).context(|| format!("cannot read {}", manifest.display()))?;
        if !present.contains(MARK) {
            let folder = folder.display();
            return Err(Failure::new(format_args!("{folder} holds another crate; name a new folder with `-o`")));
        }
    }
    let name = crate_name(&folder);
    std::fs::create_dir_all(folder.join("src")).context(|| context(&folder))?;
    package.write(&folder.join(&name).with_extension("kcp")).map_err(Failure::new)?;
    let write = |path: PathBuf, text: &str| paths::write_atomically(&path, text.as_bytes()).context(|| context(&path));
    let (class, interface) = (
        kc_build::type_name(&name),
        kc_build::interface(package, &name, &format!("concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/{name}.kcp\")")),
    );
    let library = format!(
        "// {MARK}\n//! [`{class}`] predicts with the package `{name}.kcp`, which is part of this crate, and trains it.\n\n\
         pub use kc_runtime;\n\n{interface}"
    );
    write(folder.join("src/lib.rs"), &library)?;
    // without weights the program must make them
    let own = if package.state.is_some() { "std" } else { "train" };
    let features: Vec<String> =
        [own].iter().chain(&kc_build::features(package)).map(|feature| format!("{feature:?}")).collect();
    let features = features.join(", ");
    let runtime = toml_string(&source.folder().join("runtime"));
    let text = format!(
        "# {MARK}\n[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         kc-runtime = {{ path = {runtime}, default-features = false, features = [{features}] }}\n"
    );
    write(manifest, &text)?;
    let without = if package.state.is_some() { "" } else { "; it has no weights: `--weights FILE.kcp` gives it some" };
    output::print(&format!("wrote {} (`use {name}::{class};`){without}\n", folder.display()))
}

/// The folder's name as the name of a crate.
fn crate_name(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|first: char| first.is_ascii_lowercase()) { name } else { format!("model_{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_name_crates() {
        let name = |folder: &str| crate_name(Path::new(folder));
        assert_eq!((name("a/Mnist-MLP"), name("2")), ("mnist_mlp".into(), "model_2".into()));
    }
}
