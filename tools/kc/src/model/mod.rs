//! From a user's `model.rs` to its traced module: the file is built in a cached project and run; what it prints is the
//! module's text, kept until the file, or a file it depends on, changes.

mod build;
mod diagnostics;
mod project;
mod store;

use crate::failure::{Context, Failure, Outcome};
use kc_ir::tensor::Module;
use project::Project;
pub use project::{Source, toml_string};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use store::Store;

/// A model file's module, and what it took to get it.
#[derive(Debug)]
pub struct Traced {
    /// The module as text.
    pub text: String,
    /// The module.
    pub module: Module,
    /// Time spent in building and running the file; `None` where the stored text was good.
    pub built: Option<Duration>,
}

/// The module of a model file.
pub fn trace(model: &Path) -> Outcome<Traced> {
    let start = Instant::now();
    let project = Project::of(model)?;
    let (text, stored) = text_of(&project, "module", &["module"])?;
    let module = kc_ir::tensor::text::parse_module(&text).context(|| {
        let file = model.display();
        format!("cannot read the module traced from {file} (which may print to standard error only)")
    })?;
    Ok(Traced { text, module, built: (!stored).then(|| start.elapsed()) })
}

/// The folder with the arrays that the file's `#[kc::data] fn` returns, in files as `kc::Data::write` names them.
pub fn data(model: &Path) -> Outcome<PathBuf> {
    let project = Project::of(model)?;
    let folder = project.folder.join("data");
    let _lock = lock(&project.folder)?;
    let executable = build::build(&project, &Store::in_folder(&project.folder).stamp("module", &project.model))?;
    // What an earlier run wrote may not be what this one writes.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context(|| format!("cannot empty {}", folder.display()))?;
    }
    run(&project, &executable, &["data", &folder.to_string_lossy()])?;
    Ok(folder)
}

/// What the model's program prints for these arguments, and whether it was stored from an earlier run.
fn text_of(project: &Project, name: &str, arguments: &[&str]) -> Outcome<(String, bool)> {
    let store = Store::in_folder(&project.folder);
    if let Some(text) = store.get(name) {
        return Ok((text, true));
    }
    let _lock = lock(&project.folder)?;
    let executable = build::build(project, &store.stamp(name, &project.model))?;
    // Listed before the run, hashed after it: a file changed in between makes the text stale, never wrong.
    let inputs = build::inputs(project, &executable)?;
    let text = run(project, &executable, arguments)?;
    store.put(name, &text, &inputs).context(|| format!("cannot write to {}", project.folder.display()))?;
    Ok((text, false))
}

fn run(project: &Project, executable: &Path, arguments: &[&str]) -> Outcome<String> {
    let output = Command::new(executable)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context(|| format!("cannot run the program of {}", project.shown.display()))?;
    let said = String::from_utf8_lossy(&output.stderr)
        .replace(&*project.model.to_string_lossy(), &project.shown.to_string_lossy());
    if !output.status.success() {
        let text = if said.trim().is_empty() {
            format!("error: the program of {} ended with {}", project.shown.display(), output.status)
        } else {
            said
        };
        return Err(Failure::Rendered(text));
    }
    if !said.trim().is_empty() {
        crate::output::note(said.trim_end());
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Failure::new(format_args!("the program of {} printed no module", project.shown.display())))
}

/// One build of a project at a time; released when the file is dropped.
fn lock(folder: &Path) -> Outcome<File> {
    let path: PathBuf = folder.join("lock");
    let opened = std::fs::create_dir_all(folder).and_then(|()| File::create(&path));
    opened.and_then(|file| file.lock().map(|()| file)).context(|| format!("cannot lock {}", path.display()))
}
