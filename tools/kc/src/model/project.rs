use crate::failure::{Context, Failure, Outcome};
use crate::paths;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_128;

/// The checkout of kc whose frontend a model is built against: its root folder. It never comes from a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source(PathBuf);

impl Source {
    /// The checkout that `$KC_SOURCE` names; else the one that the model file lies in, the one that the command is run
    /// in, the one that the command lies in, the one that the command was built in, if it still has the same version.
    pub fn find(model: &Path) -> Outcome<Source> {
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(""));
        Self::find_among(
            std::env::var_os("KC_SOURCE").map(PathBuf::from).as_deref(),
            &[Some(model), std::env::current_dir().ok().as_deref(), std::env::current_exe().ok().as_deref()],
            built_in,
        )
    }

    fn find_among(named: Option<&Path>, around: &[Option<&Path>], built_in: &Path) -> Outcome<Source> {
        let version = env!("CARGO_PKG_VERSION");
        if let Some(named) = named {
            // Written into a manifest elsewhere, so it is made absolute.
            let folder = named.canonicalize().context(|| format!("`KC_SOURCE={}`", named.display()))?;
            return checkout_around(&folder).map(Source).ok_or_else(|| {
                Failure::new(format_args!("`KC_SOURCE={}` is no checkout of kc, nor in one", named.display()))
            });
        }
        let is_same = || is_checkout(built_in) && version_of(built_in).as_deref() == Some(version);
        let found = around.iter().copied().flatten().find_map(checkout_around);
        found.or_else(|| is_same().then(|| built_in.to_owned())).map(Source).ok_or_else(|| {
            Failure::new(format_args!(
                "a model file is built against kc's sources, which were not found: neither the model file, the current \
                 folder nor this command lies in a checkout of kc, and {} holds no kc {version} any more\n\
                 run kc inside a checkout, or name one: KC_SOURCE=path",
                built_in.display()
            ))
        })
    }

    /// Its root folder.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    fn dependency(&self) -> String {
        format!("{{ path = {}, default-features = false }}", toml_string(&self.0.join("frontend")))
    }
}

/// The nearest folder at or above `path` that is the root of a checkout of kc.
fn checkout_around(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|folder| is_checkout(folder)).map(Path::to_owned)
}

/// Whether a folder is the root of a checkout of kc.
fn is_checkout(folder: &Path) -> bool {
    std::fs::read_to_string(folder.join("frontend/Cargo.toml")).is_ok_and(|manifest| {
        manifest.lines().take_while(|line| !line.starts_with("[dependencies]")).any(|line| line == "name = \"kc\"")
    }) && folder.join("ir").is_dir()
}

/// The version of the checkout with that root.
fn version_of(checkout: &Path) -> Option<String> {
    let manifest = std::fs::read_to_string(checkout.join("Cargo.toml")).ok()?;
    let line = manifest.lines().find_map(|line| line.strip_prefix("version = \""))?;
    line.split('"').next().map(str::to_owned)
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
            return Err(Failure::new(format_args!(
                "{} is not a model file; expected a Rust file with a `#[kc::model] fn`",
                model.display()
            )));
        }
        if let Some(place) = not_utf8(&std::fs::read(&absolute).context(|| format!("cannot read {}", model.display()))?)
        {
            return Err(Failure::new(format_args!("{} is not text in UTF-8: {place}", model.display())));
        }
        let source = Source::find(&absolute)?;
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
        if let Ok(lock) = std::fs::read(self.source.0.join("Cargo.lock")) {
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
pub fn toml_string(path: &Path) -> String {
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

/// Where bytes stop to be UTF-8, if they do.
fn not_utf8(bytes: &[u8]) -> Option<String> {
    let start = std::str::from_utf8(bytes).err()?.valid_up_to();
    let line = 1 + bytes[..start].iter().filter(|byte| **byte == b'\n').count();
    Some(format!("line {line} has the byte 0x{:02x}", bytes[start]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_those_named_those_around_or_those_built_from() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this crate lies in the checkout");
        let inside = root.join("frontend/src");
        let outside = std::env::temp_dir();
        let find = |named, around: &Path, built_in| Source::find_among(named, &[None, Some(around)], built_in);
        let found = [
            find(Some(root), &outside, &outside),
            find(None, &inside, &outside),
            // An installed command, outside of any checkout.
            find(None, &outside, root),
        ];
        for source in found {
            let source = source.expect("a checkout");
            assert!(source.dependency().starts_with("{ path = \""), "{source:?}");
            assert_eq!(source.0.canonicalize().ok(), root.canonicalize().ok());
        }
        let message = |outcome: Outcome<Source>| outcome.expect_err("no checkout").to_string();
        let none = message(find(None, &outside, &outside));
        assert!(
            none.starts_with("error: a model file is built against kc's sources, which were not found: "),
            "{none}"
        );
        assert!(none.ends_with("run kc inside a checkout, or name one: KC_SOURCE=path"), "{none}");
        let wrong = message(find(Some(&outside), root, root));
        assert!(wrong.ends_with("is no checkout of kc, nor in one"), "{wrong}");
    }

    #[test]
    fn the_first_byte_that_is_no_text_is_named() {
        assert_eq!(not_utf8("fn \u{e9}".as_bytes()), None);
        assert_eq!(not_utf8(b"a\nb\xff").as_deref(), Some("line 2 has the byte 0xff"));
    }
}
