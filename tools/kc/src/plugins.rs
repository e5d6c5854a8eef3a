//! PJRT plug-ins: each is opened in a process of its own first, since one that crashes takes its process with it.

use crate::failure::{Failure, Outcome};
use crate::output;
use kc_runtime::pjrt::{Client, INSTALL, Plugin, Processes, VARIABLE, candidates, find};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// What `libtpu` asks of its surroundings where there is no TPU: it would wait for a cloud's answers for minutes.
const WITHOUT_TPU: [(&str, &str); 4] = [
    ("TPU_SKIP_MDS_QUERY", "1"),
    ("TPU_ACCELERATOR_TYPE", "v5litepod-4"),
    ("TPU_WORKER_HOSTNAMES", "localhost"),
    ("ALLOW_MULTIPLE_LIBTPU_LOAD", "1"),
];

/// Whether the system shows a TPU.
fn has_tpu() -> bool {
    let vfio = || std::fs::read_dir("/dev/vfio").is_ok_and(|mut entries| entries.next().is_some());
    Path::new("/dev/accel0").exists() || vfio()
}

/// Sets what plug-ins read from the environment; called before there is any other thread.
pub fn prepare_environment() {
    if has_tpu() {
        return;
    }
    for (name, value) in WITHOUT_TPU {
        if std::env::var_os(name).is_none() {
            // SAFETY: the process has one thread yet.
            unsafe { std::env::set_var(name, value) };
        }
    }
}

/// The plug-in to run on: it opens, and has devices here.
pub fn usable(named: Option<&Path>) -> Outcome<PathBuf> {
    let plugin = chosen(named, true)?;
    if let Some(processes) = Processes::from_environment(None, None, None).map_err(Failure::new)? {
        let (id, count, coordinator) = (processes.id(), processes.count(), processes.coordinator());
        output::note(&format!("process {id} of {count}: waiting for the others, which meet at {coordinator}"));
    }
    Ok(plugin)
}

/// The plug-in to compile with for TPUs that are elsewhere.
pub fn usable_without_devices(named: Option<&Path>) -> Outcome<PathBuf> {
    chosen(named, false)
}

/// The plug-in that a person named, or the first that can be used.
fn chosen(named: Option<&Path>, devices: bool) -> Outcome<PathBuf> {
    let mut found = candidates();
    let is_named = named.is_some() || found.first().is_some_and(|plugin| plugin.name == VARIABLE);
    if is_named || found.is_empty() {
        let path = find(named).map_err(Failure::new)?;
        probe(&path, devices).map_err(|unusable| Failure::new(unusable.message))?;
        name_in_crashes(&path);
        return Ok(path);
    }
    if !devices {
        found.sort_by_key(|plugin| plugin.name != "libtpu");
    }
    let mut reasons = Vec::new();
    for plugin in found {
        match probe(&plugin.path, devices) {
            Ok(_) => {
                name_in_crashes(&plugin.path);
                return Ok(plugin.path);
            }
            Err(unusable) => reasons.push(unusable.message),
        }
    }
    Err(Failure::new(format!("{}; name another one with `--plugin FILE` or KC_PJRT_PLUGIN", reasons.join("\n"))))
}

/// What a process prints that a plug-in ends.
static LAST_WORDS: OnceLock<String> = OnceLock::new();

/// Names the plug-in if a fault ends this process from now on: it has taken XLA's work into it.
fn name_in_crashes(path: &Path) {
    extern "C" fn say(_: libc::c_int) {
        if let Some(words) = LAST_WORDS.get() {
            // SAFETY: the text lives as long as the process; writing is allowed in a signal handler.
            unsafe { libc::write(libc::STDERR_FILENO, words.as_ptr().cast(), words.len()) };
        }
    }
    let words = format!(
        "\nerror: the process crashed while the PJRT plug-in {} was at work; take another one by `--plugin` or KC_PJRT_PLUGIN\n",
        path.display()
    );
    if LAST_WORDS.set(words).is_err() {
        return;
    }
    for signal in [libc::SIGABRT, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
        // SAFETY: zeros are an action without flags; the handler does what handlers may. It serves once: the fault that comes again
        // when it returns ends the process as it would have.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = say as extern "C" fn(libc::c_int) as libc::sighandler_t;
            action.sa_flags = libc::SA_RESETHAND | libc::SA_ONSTACK;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

/// Why a plug-in cannot be used.
struct Unusable {
    message: String,
    /// It took its process with it.
    crashed: bool,
}

/// How long a plug-in may take to open: one of TPUs looks for them.
const PATIENCE: Duration = Duration::from_secs(120);

/// Opens a plug-in in a process of its own: what it says of itself, or what is wrong.
fn probe(path: &Path, devices: bool) -> Result<String, Unusable> {
    let failed = |message: String| Unusable { message, crashed: false };
    let crashed = |message: String| Unusable { message, crashed: true };
    let advice = "take another one by `--plugin` or KC_PJRT_PLUGIN";
    let shown = path.display();
    let own = std::env::current_exe().map_err(|error| failed(format!("cannot find the running program: {error}")))?;
    let mut command = Command::new(own);
    command.arg("probe-plugin").arg(path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if devices {
        command.arg("--devices");
    }
    let no_process = |error| failed(format!("cannot start a process to try the plug-in in: {error}"));
    let child = command.spawn().map_err(no_process)?;
    let id = child.id();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(ended) = receiver.recv_timeout(PATIENCE) else {
        // SAFETY: the process is our own child, which the thread has not waited for.
        unsafe { libc::kill(id as libc::pid_t, libc::SIGKILL) };
        let seconds = PATIENCE.as_secs();
        return Err(crashed(format!("the PJRT plug-in {shown} did not open within {seconds} seconds; {advice}")));
    };
    let ended = ended.map_err(no_process)?;
    let about = String::from_utf8_lossy(&ended.stdout).trim_end().to_owned();
    let said = String::from_utf8_lossy(&ended.stderr);
    let said = said.trim_end();
    match ended.status.code() {
        Some(0) if !about.is_empty() => Ok(about),
        Some(0) => Err(crashed(format!("the PJRT plug-in {shown} ended the process when it was opened; {advice}"))),
        // our own messages end with exit code 1; what a plug-in logs comes before them
        Some(1) => {
            let own = said.rfind("error: ").map_or(said, |start| &said[start + "error: ".len()..]);
            Err(failed(own.to_owned()))
        }
        _ => {
            let last = said.lines().last().map_or(String::new(), |line| format!("; its last line: {line}"));
            let status = ended.status;
            Err(crashed(format!("the PJRT plug-in {shown} crashed when it was opened ({status}){last}; {advice}")))
        }
    }
}

/// `kc probe-plugin`: the process that a plug-in is tried in.
pub fn probe_here(path: &Path, devices: bool) -> Outcome {
    let plugin = Plugin::open(path).map_err(Failure::new)?;
    let (major, minor) = plugin.version();
    let mut text = format!("API {major}.{minor}");
    for name in ["stablehlo_current_version", "xla_version"] {
        if let Some(value) = plugin.attributes().get(name) {
            text += &format!(", {} {value}", name.trim_end_matches("_current_version"));
        }
    }
    if devices {
        let client = Client::new(plugin).map_err(Failure::new)?;
        let kind = client.devices().first().map(|device| device.kind.clone()).unwrap_or_default();
        text += &format!(", {} {} ({kind})", client.devices().len(), client.platform());
    }
    output::print(&format!("{text}\n"))
}

/// The plug-ins that are found, for `kc doctor`.
pub fn report() -> Vec<(String, String)> {
    let found = candidates();
    let about = match found.is_empty() {
        true => format!("no PJRT plug-in found, for `--target xla` and `tpu`; name one by {VARIABLE}, or {INSTALL}"),
        false => "PJRT plug-ins".to_owned(),
    };
    let mut lines = vec![("xla".to_owned(), about)];
    for plugin in found {
        let about = match probe(&plugin.path, true) {
            Ok(about) => about,
            Err(unusable) => match probe(&plugin.path, false) {
                Ok(about) if !unusable.crashed => {
                    let reason = unusable.message.lines().next().unwrap_or_default();
                    format!("{about}, compiles ahead of time only: {reason}")
                }
                _ => format!("not available: {}", unusable.message),
            },
        };
        lines.push((format!("  {}", plugin.name), format!("{about}\n{}", plugin.path.display())));
    }
    let tpu =
        if has_tpu() { "present" } else { "none here: programs can be compiled for TPUs, executing them needs one" };
    lines.push(("  tpu".to_owned(), tpu.to_owned()));
    lines
}
