use crate::failure::{Context, Outcome};
use crate::paths;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_128;

/// Where the crate `kc` that a model is built against comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A checkout of kc: its root folder.
    Workspace(PathBuf),
    /// The registry: the version of this command.
    Registry,
}

impl Source {
    /// The checkout that the model file lies in, else the one that the command is run in, else the one that this
    /// command was built in, else the registry. `$KC_SOURCE` names one explicitly.
    pub fn find(model: &Path) -> Source {
        let named = std::env::var_os("KC_SOURCE").map(PathBuf::from);
        let here = std::env::current_dir().ok();
        let command = std::env::current_exe().ok();
        [named.as_deref(), Some(model), here.as_deref(), command.as_deref()]
            .into_iter()
            .flatten()
            .find_map(checkout_around)
            .map_or(Source::Registry, Source::Workspace)
    }

    fn dependency(&self) -> String {
        match self {
            Source::Workspace(root) => {
                format!("{{ path = {}, default-features = false }}", toml_string(&root.join("frontend")))
            }
            Source::Registry => format!("{{ version = \"={}\", default-features = false }}", env!("CARGO_PKG_VERSION")),
        }
    }
}

/// The nearest folder at or above `path` that is the root of a checkout of kc.
fn checkout_around(path: &Path) -> Option<PathBuf> {
    let is_root = |folder: &&Path| {
        std::fs::read_to_string(folder.join("frontend/Cargo.toml")).is_ok_and(|manifest| {
            manifest.lines().take_while(|line| !line.starts_with("[dependencies]")).any(|line| line == "name = \"kc\"")
        }) && folder.join("ir").is_dir()
    };
    path.ancestors().find(is_root).map(Path::to_owned)
}

/// The cargo project that a model file is built in.
#[derive(Debug)]
pub struct Project {
    /// The model file, absolute.
    pub model: PathBuf,
    /// The model file as the user wrote it.
    pub shown: PathBuf,
    /// Where `kc` comes from.
    pub source: Source,
    /// The project's folder.
    pub folder: PathBuf,
    /// Name of its package and its program.
    pub name: String,
    /// Where cargo builds, shared by all projects.
    pub target: PathBuf,
}

impl Project {
    /// The project of a model file; nothing is written yet.
    pub fn of(model: &Path) -> Outcome<Project> {
        let absolute = model.canonicalize().context(|| format!("cannot read {}", model.display()))?;
        if !absolute.is_file() || absolute.extension().is_none_or(|extension| extension != "rs") {
            return Err(crate::failure::Failure::new(format_args!(
                "{} is not a model file; expected a Rust file with a `#[kc::model] fn`",
                model.display()
            )));
        }
        let source = Source::find(&absolute);
        let identity = format!("{}\n{}\n{source:?}", absolute.display(), env!("CARGO_PKG_VERSION"));
        let stem: String = absolute.file_stem().map_or_else(String::new, |stem| {
            stem.to_string_lossy().chars().filter(char::is_ascii_alphanumeric).take(24).collect()
        });
        let name = format!("model-{stem}-{:016x}", xxh3_128(identity.as_bytes()) as u64);
        let cache = kc::datasets::cache_dir();
        Ok(Project {
            model: absolute,
            shown: model.to_owned(),
            source,
            folder: cache.join("models").join(&name),
            name,
            target: cache.join("target"),
        })
    }

    /// Writes the project's files where they are not there yet. A new `stamp` has the program built anew.
    pub fn write(&self, stamp: &str) -> Outcome {
        let context = |path: &Path| format!("cannot write {}", path.display());
        let write = |name: &str, content: &[u8]| {
            let path = self.folder.join(name);
            paths::write_atomically(&path, content).context(|| context(&path))
        };
        std::fs::create_dir_all(&self.folder).context(|| context(&self.folder))?;
        write("Cargo.toml", self.manifest().as_bytes())?;
        write("main.rs", self.program(stamp).as_bytes())?;
        // The versions that the checkout was tested with, so that nothing has to be resolved or downloaded anew. Cargo
        // changes the copy, so what it was made from is remembered beside it.
        if let Source::Workspace(root) = &self.source
            && let Ok(lock) = std::fs::read(root.join("Cargo.lock"))
        {
            let origin = format!("{:032x}", xxh3_128(&lock));
            let known = std::fs::read_to_string(self.folder.join("Cargo.lock.origin"));
            if known.is_ok_and(|known| known == origin) {
                return Ok(());
            }
            write("Cargo.lock", &lock)?;
            write("Cargo.lock.origin", origin.as_bytes())?;
        }
        Ok(())
    }

    /// The dependencies are built once, without debug information; the model itself is not optimised, since it only
    /// describes the computation, and keeps line tables for messages.
    fn manifest(&self) -> String {
        format!(
            "[package]\nname = \"{}\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n\
             [[bin]]\nname = \"{}\"\npath = \"main.rs\"\n\n\
             [workspace]\n\n\
             [dependencies]\nkc = {}\n\n\
             [profile.dev]\nopt-level = 0\ndebug = \"line-tables-only\"\nincremental = true\n\n\
             [profile.dev.package.\"*\"]\ndebug = false\nincremental = false\n",
            self.name,
            self.name,
            self.source.dependency()
        )
    }

    /// The program of `kc::trace_main`'s protocol around the model file.
    fn program(&self, stamp: &str) -> String {
        format!(
            "// {stamp}\n\
             #[allow(dead_code)]\n\
             #[path = {:?}]\n\
             mod model;\n\n\
             #[allow(unused_imports)]\n\
             use kc::missing::*;\n\n\
             fn main() -> std::process::ExitCode {{\n    \
             #[allow(unused_imports)]\n    \
             use model::*;\n    \
             kc::trace_main(kc_model, kc_data)\n\
             }}\n",
            self.model
        )
    }
}

/// A path as a TOML basic string.
fn toml_string(path: &Path) -> String {
    let mut text = String::from('"');
    for character in path.to_string_lossy().chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            control if control.is_control() => text += &format!("\\u{:04x}", control as u32),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}
