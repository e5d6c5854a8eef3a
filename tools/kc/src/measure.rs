//! Timing of programs, ours and others.

use crate::failure::{Context, Failure, Outcome};
use kc_codegen::eager::Eager;
use kc_runtime::{Array, LaunchTime, Session};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Something that can be executed a number of times.
pub trait Program {
    /// The time that so many executions took.
    fn run(&mut self, calls: u32) -> Outcome<Duration>;
}

/// An entry point of a session with its inputs. Where it changes the state, each sample starts from the initial weights, so that all
/// samples compute the same numbers.
pub struct Entry<'a> {
    /// The program.
    pub session: &'a mut Session,
    /// The entry point.
    pub entry: &'static str,
    /// Its inputs.
    pub inputs: Vec<Array>,
    /// Its outputs, kept between calls.
    pub outputs: Vec<Array>,
}

impl Program for Entry<'_> {
    fn run(&mut self, calls: u32) -> Outcome<Duration> {
        let failed = || format!("cannot run `{}`", self.entry);
        let inputs: Vec<&Array> = self.inputs.iter().collect();
        let entry = self.session.entry(self.entry).context(failed)?;
        if self.session.manifest().entry(self.entry).is_some_and(|entry| !entry.updates.is_empty()) {
            self.session.init(0).and_then(|()| self.session.wait()).context(failed)?;
        }
        let start = Instant::now();
        for _ in 0..calls {
            self.session.run_into(entry, &inputs, &mut self.outputs).context(failed)?;
        }
        self.session.wait().context(failed)?;
        Ok(start.elapsed())
    }
}

/// An entry point in eager execution, with its inputs.
pub struct EagerEntry<'a, 'b> {
    /// The program.
    pub eager: &'a mut Eager<'b>,
    /// The entry point.
    pub entry: &'static str,
    /// Its inputs.
    pub inputs: Vec<Array>,
    /// Those of `init`.
    pub seeds: Vec<Array>,
}

impl Program for EagerEntry<'_, '_> {
    fn run(&mut self, calls: u32) -> Outcome<Duration> {
        let failed = || format!("cannot run `{}`", self.entry);
        let inputs: Vec<&Array> = self.inputs.iter().collect();
        self.eager.run("init", &self.seeds.iter().collect::<Vec<_>>()).context(failed)?;
        let start = Instant::now();
        for _ in 0..calls {
            self.eager.run(self.entry, &inputs).context(failed)?;
        }
        Ok(start.elapsed())
    }
}

/// A launch of an entry point's plan.
pub struct Launch {
    /// The kernel's name.
    pub kernel: String,
    /// How often one execution of the entry point launches it: once for each round of the loops around.
    pub calls: f64,
    /// Mean milliseconds that one execution spends in it, in all rounds.
    pub milliseconds: f64,
}

/// The times of launches, and the part of the whole time that they make up.
#[derive(Default)]
pub struct Kernels {
    /// In the order of the plan.
    pub launches: Vec<Launch>,
    /// From 0 to 1.
    pub share: Option<f64>,
}

/// The times of an entry point's launches, in a session that takes them.
pub fn kernel_times(session: &mut Session, entry: &str, inputs: &[Array], repeats: usize) -> Outcome<Kernels> {
    let inputs: Vec<_> = inputs.iter().collect();
    let failed = || format!("cannot run `{entry}`");
    session.run(entry, &inputs).context(failed)?;
    session.take_profile();
    let repeats = repeats.max(1);
    for _ in 0..repeats {
        session.run(entry, &inputs).context(failed)?;
    }
    let profile = session.take_profile().unwrap_or_default();
    let mean = |launch: &LaunchTime| Launch {
        kernel: launch.kernel.clone(),
        calls: launch.calls as f64 / repeats as f64,
        milliseconds: launch.time.as_secs_f64() * 1e3 / repeats as f64,
    };
    Ok(Kernels { launches: profile.launches(entry).iter().map(mean).collect(), share: profile.kernel_share(entry) })
}

/// A peer: a program of another house that is told `ENTRY BATCH_SIZE CALLS` a line and answers with the seconds it took
/// or with `unknown`. On Unix it is stopped between question and question, since the idle threads of some frameworks go on spinning for
/// hundreds of milliseconds, on the processors that the others are measured on.
pub struct Peer {
    name: String,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts a peer, given as a program and its arguments separated by blanks. Its first line is its name.
    pub fn start(command: &str, threads: usize) -> Outcome<Peer> {
        let failed = || format!("cannot start the peer `{command}`");
        let mut words = command.split_whitespace();
        let program = words.next().ok_or_else(|| Failure::new("`--peer` needs a program"))?;
        let mut child = Command::new(program)
            .args(words)
            .args(["--threads", &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context(failed)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::new(failed()));
        };
        let mut peer = Peer { name: String::new(), child, stdin, stdout: BufReader::new(stdout) };
        peer.name = peer.line()?;
        peer.pause(true);
        Ok(peer)
    }

    /// Stops the peer, or lets it go on.
    fn pause(&self, stop: bool) {
        #[cfg(unix)]
        if let Ok(child) = libc::pid_t::try_from(self.child.id()) {
            // SAFETY: the child is not waited for before it is dropped, so that its number is its own.
            unsafe { libc::kill(child, if stop { libc::SIGSTOP } else { libc::SIGCONT }) };
        }
        #[cfg(not(unix))]
        let _ = stop;
    }

    /// The peer's name and version.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The time of so many calls; `None` where the peer has no such entry point.
    pub fn time(&mut self, entry: &str, batch_size: usize, calls: u32) -> Outcome<Option<Duration>> {
        self.pause(false);
        writeln!(self.stdin, "{entry} {batch_size} {calls}")
            .and_then(|()| self.stdin.flush())
            .context(|| self.ended())?;
        let line = self.line()?;
        self.pause(true);
        if line == "unknown" {
            return Ok(None);
        }
        let seconds = line.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        seconds.map(Some).ok_or_else(|| Failure::new(format_args!("the peer answered `{line}`, expected seconds")))
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        let length = self.stdout.read_line(&mut line).context(|| self.ended())?;
        if length == 0 {
            return Err(Failure::new(self.ended()));
        }
        Ok(line.trim().to_owned())
    }

    fn ended(&self) -> String {
        format!("the peer {} ended", self.name)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It ends by itself when its input ends; this is for one that does not.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A peer's entry point.
pub struct PeerEntry<'a> {
    /// The program.
    pub peer: &'a mut Peer,
    /// The entry point, which it has.
    pub entry: &'static str,
    /// Samples a call.
    pub batch_size: usize,
}

impl Program for PeerEntry<'_> {
    fn run(&mut self, calls: u32) -> Outcome<Duration> {
        let time = self.peer.time(self.entry, self.batch_size, calls)?;
        time.ok_or_else(|| Failure::new(format_args!("the peer lost its entry point {}", self.entry)))
    }
}

/// How long a sample lasts at least: many slices of the scheduler's, so that no single interruption is a sample.
const SAMPLE: Duration = Duration::from_millis(10);

/// Milliseconds of one call of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Time {
    /// The median of the samples.
    pub median: f64,
    /// The smallest sample.
    pub least: f64,
    /// The largest.
    pub greatest: f64,
}

/// The time of one call of each program, from `repeats` samples, taken in turns, so that a slow moment of the machine
/// meets all of them. Before each sample the program runs unmeasured: the one before it has left caches and threads cold.
pub fn times(programs: &mut [Box<dyn Program + '_>], repeats: usize) -> Outcome<Vec<Time>> {
    let mut calls = Vec::new();
    for program in &mut *programs {
        let mut count = 1;
        while program.run(count)? < SAMPLE && count < 1 << 16 {
            count *= 2;
        }
        calls.push(count);
    }
    let mut samples = vec![Vec::new(); programs.len()];
    for _ in 0..repeats.max(1) {
        for ((program, calls), samples) in programs.iter_mut().zip(&calls).zip(&mut samples) {
            program.run(calls.div_ceil(4))?;
            samples.push(program.run(*calls)?.as_secs_f64() * 1e3 / f64::from(*calls));
        }
    }
    Ok(samples.iter_mut().map(|samples| time(samples)).collect())
}

/// The middle value (of an even number the upper one), the smallest and the largest.
fn time(samples: &mut [f64]) -> Time {
    samples.sort_by(f64::total_cmp);
    let at = |index: usize| samples.get(index).copied().unwrap_or_default();
    Time { median: at(samples.len() / 2), least: at(0), greatest: at(samples.len().saturating_sub(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Clock(Vec<u64>);

    impl Program for Clock {
        fn run(&mut self, calls: u32) -> Outcome<Duration> {
            Ok(Duration::from_micros(self.0.pop().unwrap_or(1000) * u64::from(calls)))
        }
    }

    #[test]
    fn times_are_those_of_one_call() {
        // Times are taken from the end: 5000 us a call twice to find the number of calls, then three samples after a warm-up each.
        let mut programs: Vec<Box<dyn Program>> = vec![Box::new(Clock(vec![700, 1, 900, 1, 500, 1, 5000, 5000]))];
        assert_eq!(
            times(&mut programs, 3).expect("a clock does not fail"),
            [Time { median: 0.7, least: 0.5, greatest: 0.9 }]
        );
    }

    #[test]
    #[cfg(unix)]
    fn a_peer_is_asked_line_by_line() {
        let folder = std::env::temp_dir().join(format!("kc-peer-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("temporary files can be written");
        let script = folder.join("peer.sh");
        let text = "echo peer $*\nwhile read entry batch calls; do case $entry in predict) echo 0.$batch$calls;; *) echo unknown;; esac; done";
        std::fs::write(&script, text).expect("temporary files can be written");
        let mut peer = Peer::start(&format!("sh {}", script.display()), 2).expect("the script runs");
        assert_eq!(peer.name(), "peer --threads 2");
        assert_eq!(peer.time("predict", 2, 5).expect("it answers"), Some(Duration::from_millis(250)));
        assert_eq!(peer.time("train_step", 2, 5).expect("it answers"), None);
        drop(peer);
        std::fs::remove_dir_all(&folder).expect("made above");
    }
}
