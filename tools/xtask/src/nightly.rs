//! `cargo xtask nightly`: what is too long for every change, in stages, and their summary.

use crate::process::{Outcome, cargo, show, tee};
use crate::{browser, cross, mlir_plugin, mnist, nightly_xla, sanitize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

/// The seeds, beyond those that every change runs.
const SEEDS: Range<u64> = 2_000..102_000;
/// Cases of one run of a suite: what a crash may cost.
const CHUNK: u64 = 5_000;
/// How long texts, files and packages with faults are read, in minutes.
const MINUTES: u64 = 10;

/// How much a stage does.
#[derive(Clone, Debug, PartialEq)]
struct Extent {
    seeds: Range<u64>,
    minutes: u64,
}

struct Stage {
    name: &'static str,
    about: &'static str,
    /// Gives what the summary says of it.
    run: fn(&Extent) -> Outcome<String>,
}

const STAGES: &[Stage] = &[
    Stage { name: "mnist", about: "the training of every example to its accuracy", run: |_| mnist::check_all(None) },
    Stage {
        name: "xla",
        about: "StableHLO shown to jaxlib and IREE; all functions, random graphs and MNIST on XLA's plug-in for the CPU",
        run: |extent| nightly_xla::check(extent.seeds.start),
    },
    Stage {
        name: "tpu",
        about: "the examples compiled for TPUs, which need not be there",
        run: |_| nightly_xla::tpu(),
    },
    Stage { name: "kernels", about: "random kernels on every back end, beside the kernel interpreter", run: kernels },
    Stage { name: "gpus", about: "all golden cases on the test device, which executes PTX", run: |_| gpus() },
    Stage { name: "graphs", about: "random graphs on every back end, beside the tensor interpreter", run: graphs },
    Stage {
        name: "readers",
        about: "verifiers, text parsers and readers of files, given faults for minutes",
        run: readers,
    },
    Stage {
        name: "packages",
        about: "hostile packages with right hashes, minutes under the address sanitizer",
        run: |extent| sanitize::packages(60 * extent.minutes),
    },
    Stage {
        name: "threads",
        about: "ten threads predicting with one model, under the thread sanitizer",
        run: |_| sanitize::threads(),
    },
    Stage {
        name: "aarch64",
        about: "a package for AArch64 under qemu, beside this machine's",
        run: |_| cross::aarch64(),
    },
    Stage {
        name: "browser",
        about: "the page that recognises digits, in headless Chromium, beside this machine's package",
        run: |_| browser::digits(),
    },
];

/// The stages as lines of help.
pub fn help() -> String {
    let mut text = "stages of `nightly`:\n".to_owned();
    for stage in STAGES {
        text += &format!("  {:<18}  {}\n", stage.name, stage.about);
    }
    text
}

/// Runs the stages named, or all, each whatever the others found, and prints a table of them.
pub fn nightly(arguments: &[String]) -> Outcome {
    let (extent, names) = read(arguments)?;
    let (mut lines, mut failed) = (Vec::new(), 0);
    for stage in STAGES.iter().filter(|stage| names.is_empty() || names.contains(&stage.name)) {
        println!("==> {}: {}", stage.name, stage.about);
        let start = Instant::now();
        let outcome = (stage.run)(&extent);
        let seconds = start.elapsed().as_secs_f64();
        let says = outcome.unwrap_or_else(|message| {
            failed += 1;
            println!("error in stage {}: {message}", stage.name);
            format!("failed: {message}; alone: cargo xtask nightly {}", stage.name)
        });
        lines.push(format!("{:<10} {seconds:>7.1} s  {says}", stage.name));
    }
    let ended = lines.len();
    println!("\n{}\n{} passed, {failed} failed", lines.join("\n"), ended - failed);
    if failed == 0 { Ok(()) } else { Err(String::new()) }
}

/// How much is done, and the names of stages.
fn read(arguments: &[String]) -> Outcome<(Extent, Vec<&str>)> {
    let (mut seeds, mut minutes, mut names) = (SEEDS, MINUTES, Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--seeds" {
            let range = rest.next().map_or("", String::as_str);
            seeds = range
                .split_once("..")
                .and_then(|(start, end)| Some(start.parse().ok()?..end.parse().ok()?))
                .filter(|seeds| seeds.start < seeds.end)
                .ok_or_else(|| format!("`--seeds {range}` is no range; expected START..END"))?;
        } else if argument == "--minutes" {
            let number = rest.next().map_or("", String::as_str);
            minutes = number
                .parse()
                .ok()
                .filter(|minutes| *minutes > 0)
                .ok_or_else(|| format!("`--minutes {number}` is no number of minutes; expected 1 or more"))?;
        } else if STAGES.iter().any(|stage| stage.name == argument) {
            names.push(argument.as_str());
        } else {
            return Err(format!("unknown stage `{argument}`\n\n{}", help()));
        }
    }
    Ok((Extent { seeds, minutes }, names))
}

fn kernels(Extent { seeds, .. }: &Extent) -> Outcome<String> {
    let count = seeds.end - seeds.start;
    in_chunks("kernels", seeds.clone(), "kc-codegen", &["--tests", "random_kernels"])?;
    Ok(format!("{count} kernels on every back end"))
}

fn gpus() -> Outcome<String> {
    mlir_plugin::build()?;
    let mut command = cargo();
    command.env("KC_GOLDEN_CUDA", "all");
    command.args(["test", "--package", "kc-tests", "--test", "golden", "--", "--quiet", "cuda::"]);
    let (success, lines) = tee(&mut command)?;
    match lines.iter().rev().find(|line| line.starts_with("test result: ")) {
        Some(result) if success => Ok(result.trim_start_matches("test result: ").to_owned()),
        _ => Err(format!("`{}` failed", show(&command))),
    }
}

fn graphs(Extent { seeds, .. }: &Extent) -> Outcome<String> {
    let counts = in_chunks("graphs", seeds.clone(), "kc-tests", &["--test", "fuzz", "random_graphs"])?;
    Ok(counts.iter().map(|(way, graphs)| format!("{way} {graphs}")).collect::<Vec<_>>().join(", "))
}

fn readers(Extent { seeds, minutes }: &Extent) -> Outcome<String> {
    let mut command = suite("kc-tests", &["--test", "readers"], seeds.start);
    command.env("KC_FUZZ_SECONDS", (60 * minutes).to_string());
    // all at once, each for that long
    command.args(["--", "--nocapture", "--test-threads=64"]);
    let (success, lines) = tee(&mut command)?;
    if !success {
        return Err(format!("`{}` failed", show(&command)));
    }
    let read = |line: &String| line.split_once(" texts are valid").map(|(kind, _)| kind.to_owned());
    let kinds: Vec<String> = lines.iter().filter_map(read).collect();
    Ok(format!("{minutes} minutes without a panic; valid: {}", kinds.join(", ")))
}

/// Runs tests with other seeds than they have, some at a time, whatever they find; gives the sums of the graphs that they count.
fn in_chunks(stage: &str, seeds: Range<u64>, package: &str, tests: &[&str]) -> Outcome<BTreeMap<String, u64>> {
    // without the plug-in the other back ends are tested
    mlir_plugin::build().map(drop).unwrap_or_else(|reason| println!("without the MLIR plug-in: {reason}"));
    let (mut counts, mut failed) = (BTreeMap::new(), Vec::new());
    let start = Instant::now();
    for first in seeds.clone().step_by(CHUNK as usize) {
        let chunk = first..(first + CHUNK).min(seeds.end);
        let mut command = suite(package, tests, chunk.start);
        command.env("KC_FUZZ_CASES", (chunk.end - chunk.start).to_string());
        command.args(["--", "--nocapture"]);
        let (success, lines) = tee(&mut command)?;
        if !success {
            failed.push(format!("{chunk:?}"));
        }
        for (way, graphs) in lines.iter().filter_map(|line| counted(line)) {
            *counts.entry(way.to_owned()).or_insert(0) += graphs;
        }
        let (done, all) = (chunk.end - seeds.start, seeds.end - seeds.start);
        let elapsed = start.elapsed().as_secs_f64();
        let left = elapsed / done as f64 * (all - done) as f64;
        println!("{stage}: {done} of {all}, {} failed runs, {elapsed:.0} s, about {left:.0} s left", failed.len());
    }
    if failed.is_empty() { Ok(counts) } else { Err(format!("the seeds {} failed, see above", failed.join(", "))) }
}

/// A way of executing graphs and their number in `cranelift: 2000 graphs, 150 a second and thread`.
fn counted(line: &str) -> Option<(&str, u64)> {
    let (way, rest) = line.split_once(": ")?;
    let (graphs, _) = rest.split_once(" graphs, ")?;
    Some((way, graphs.parse().ok()?))
}

/// Tests with other seeds than they have, optimised, with all assertions.
fn suite(package: &str, tests: &[&str], first_seed: u64) -> std::process::Command {
    let mut command = cargo();
    command.env("KC_FUZZ_SEED", first_seed.to_string());
    command.args(["test", "--profile", "nightly", "--quiet", "--package", package]).args(tests);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_seeds_and_stages() {
        let read = |text: &str| {
            let arguments: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            read(&arguments).map(|(extent, names)| (extent.seeds, extent.minutes, names.join(" ")))
        };
        assert_eq!(read(""), Ok((SEEDS, MINUTES, String::new())));
        assert_eq!(read("graphs --seeds 5..7 readers"), Ok((5..7, MINUTES, "graphs readers".to_owned())));
        assert_eq!(read("packages --minutes 2"), Ok((SEEDS, 2, "packages".to_owned())));
        assert_eq!(read("--minutes 0"), Err("`--minutes 0` is no number of minutes; expected 1 or more".to_owned()));
        assert_eq!(read("--seeds 7..5"), Err("`--seeds 7..5` is no range; expected START..END".to_owned()));
        assert!(
            read("graph").is_err_and(|message| message.starts_with("unknown stage `graph`\n\nstages of `nightly`:\n"))
        );
    }

    #[test]
    fn graphs_are_counted() {
        assert_eq!(counted("cranelift: 2000 graphs, 150 a second and thread"), Some(("cranelift", 2000)));
        assert_eq!(counted("seed 7, cranelift: output 0: 1 of 2 elements are wrong"), None);
    }
}
