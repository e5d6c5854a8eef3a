//! Random graphs through every way of executing them, compared with the tensor interpreter; and the graphs that once failed.
//!
//! `KC_FUZZ_CASES` is the number of random graphs, `KC_FUZZ_SEED` the first seed.

use kc_ir::tensor::Module;
use kc_ir::tensor::text::{parse_module, print_module};
use kc_tests::fuzz::{Batch, Failure, GRAPHS, Oracle, Way, generate, shrink};
use kc_tests::random::seeds;
use kc_tests::runner::Runner;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// Those that are there.
fn ways(all: &[Way]) -> Vec<Way> {
    let available = |way: &Way| match way.unavailable() {
        Some(reason) => {
            eprintln!("{} is skipped: {reason}", way.name());
            false
        }
        None => true,
    };
    all.iter().copied().filter(available).collect()
}

/// The first way that fails, and how.
fn failure(module: &Module, seed: u64, ways: &[Way]) -> Option<(Way, String)> {
    let (flushing, keeping): (Vec<Way>, Vec<Way>) = ways.iter().partition(|way| way.flushes_denormals());
    let first =
        |ways: &[Way], oracle: Oracle| ways.iter().find_map(|&way| Some((way, oracle.check(module, way).err()?)));
    let kept = if keeping.is_empty() { None } else { first(&keeping, Oracle::new(module, seed).ok()?) };
    if kept.is_some() || flushing.is_empty() {
        return kept;
    }
    first(&flushing, Oracle::without_denormals(module, seed).ok()?)
}

/// What kind of failure a message is about: its words, without numbers and names.
fn hazard(message: &str) -> String {
    if message.contains("elements are wrong") {
        return "wrong".to_string();
    }
    message
        .split_whitespace()
        .filter(|word| word.chars().all(char::is_alphabetic))
        .take(8)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Of how many batches one goes through the ways that take long.
const RARE: u64 = 20;

/// The ways of a batch: each graph is optimised and interpreted, interpreted as kernels of one kind, and executed as machine code.
fn ways_of(batch: u64) -> Vec<Way> {
    const KERNELS: [Way; 4] =
        [Way::Run(Runner::Kernels), Way::Scheduled, Way::Run(Runner::KernelsBaseline), Way::ScheduledBaseline];
    let mut ways = vec![Way::Run(Runner::Saturated), KERNELS[batch as usize % 4], Way::Run(Runner::Cranelift)];
    if batch.is_multiple_of(RARE) {
        ways.extend([Way::Run(Runner::Eager), Way::Run(Runner::Mlir)]);
    }
    ways
}

/// What the threads have found.
#[derive(Default)]
struct Found {
    known: usize,
    /// By kind: one failure of a kind is enough.
    failures: BTreeMap<(String, String), String>,
    times: BTreeMap<&'static str, (u64, Duration)>,
}

impl Found {
    fn count(&mut self, what: &'static str, graphs: u64, start: Instant) {
        let (number, time) = self.times.entry(what).or_default();
        *number += graphs;
        *time += start.elapsed();
    }
}

/// Generates a batch's graphs and sends them through ways.
fn run_batch(seeds: Range<u64>, ways: &[Way], found: &Mutex<Found>) {
    let found = || found.lock().expect("no thread fails while it writes");
    let graphs = seeds.end - seeds.start;
    let start = Instant::now();
    let batch = Batch::new(seeds.clone(), ways).unwrap_or_else(|error| panic!("{error}"));
    found().known += batch.known();
    found().count("interpreter", graphs, start);
    for &way in ways {
        if way.unavailable().is_some() {
            continue;
        }
        let start = Instant::now();
        let failures = batch.check(way);
        found().count(way.name(), graphs, start);
        for Failure { seed, message } in failures {
            let module = generate(seed);
            let first_hazard = hazard(&message);
            let same = |candidate: &Module| {
                failure(candidate, seed, &[way]).is_some_and(|(_, message)| hazard(&message) == first_hazard)
            };
            let (small, alone) = match same(&module) {
                true => (shrink(&module, &same), ""),
                false => (module, " (only beside the other graphs of its batch)"),
            };
            let message = failure(&small, seed, &[way]).map_or(message, |(_, message)| message);
            let mut ops: Vec<&str> =
                small.functions[0].graph.nodes.iter().map(|node| node.op.operation().name()).collect();
            ops.sort_unstable();
            ops.dedup();
            let text = format!("seed {seed}{alone}, {}: {message}\n{}", way.name(), print_module(&small));
            found().failures.entry((first_hazard, ops.join(" "))).or_insert(text);
        }
    }
}

/// Sends graphs, batch by batch, through the ways of their batch.
fn run(seeds: Range<u64>, ways: fn(u64) -> Vec<Way>) {
    let batches: Vec<Range<u64>> =
        seeds.clone().step_by(GRAPHS as usize).map(|first| first..(first + GRAPHS).min(seeds.end)).collect();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Found::default()));
    let threads = available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run_batch(batch.clone(), &ways(batch.start / GRAPHS), &found);
                    if found.lock().expect("no thread fails while it writes").failures.len() >= 8 {
                        break;
                    }
                }
            });
        }
    });
    let Found { known, failures, times } = found.into_inner().expect("no thread fails while it writes");
    for (way, (graphs, time)) in times {
        println!("{way}: {graphs} graphs, {:.0} a second and thread", graphs as f64 / time.as_secs_f64());
    }
    assert!(
        failures.is_empty(),
        "{} failures; put each graph into a file of tests/regressions\n\n{}",
        failures.len(),
        failures.into_values().collect::<Vec<_>>().join("\n")
    );
    let count = seeds.end - seeds.start;
    assert!(2 * known > count as usize, "only {known} of {count} graphs have results that can be compared");
}

#[test]
fn random_graphs_mean_the_same_everywhere() {
    ways(&Way::ALL);
    run(seeds(2_000), ways_of);
}

/// Apart, and fewer: XLA compiles each graph for each batch alone.
#[test]
fn xla_means_the_same_by_random_graphs() {
    if !ways(&[Way::Run(Runner::Xla)]).is_empty() {
        run(seeds(20), |_| vec![Way::Run(Runner::Xla)]);
    }
}

#[test]
fn graphs_that_once_failed_do_not_any_more() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("its entries can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no files", folder.display());
    let ways = ways(&Way::ALL);
    let mut failures = vec![];
    for path in files {
        let text = std::fs::read_to_string(&path).expect("a file that can be read");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match parse_module(&text) {
            Err(error) => failures.push(format!("{name}: {error}")),
            Ok(module) => {
                for seed in 0..3 {
                    if let Err(error) = Oracle::new(&module, seed) {
                        failures.push(format!("{name}: {error}"));
                    }
                    if let Some((way, message)) = failure(&module, seed, &ways) {
                        failures.push(format!("{name}, {}: {message}", way.name()));
                        break;
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
