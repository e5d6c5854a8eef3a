//! Random graphs through every way of executing them, compared with the tensor interpreter; and the graphs that once failed.
//!
//! `KC_FUZZ_CASES` is the number of random graphs, `KC_FUZZ_SEED` the first seed.

use kc_ir::tensor::text::{parse_module, print_module};
use kc_ir::tensor::{Module, verify_module};
use kc_tests::fuzz::{Oracle, Way, generate, shrink};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

fn ways() -> Vec<Way> {
    let available = |way: &Way| match way.unavailable() {
        Some(reason) => {
            eprintln!("{} is skipped: {reason}", way.name());
            false
        }
        None => true,
    };
    Way::ALL.into_iter().filter(available).collect()
}

fn seeds() -> Range<u64> {
    let number = |variable: &str, default: u64| match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is `{text}`, expected a number")),
        Err(_) => default,
    };
    let first = number("KC_FUZZ_SEED", 0);
    first..first + number("KC_FUZZ_CASES", 120)
}

/// The first way that fails, and how.
fn failure(module: &Module, seed: u64, ways: &[Way]) -> Option<(Way, String)> {
    let oracle = Oracle::new(module, seed).ok()?;
    ways.iter().find_map(|&way| Some((way, oracle.check(module, way).err()?)))
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

#[test]
fn random_graphs_mean_the_same_everywhere() {
    let seeds = seeds();
    let count = seeds.end.saturating_sub(seeds.start);
    let ways = ways();
    let mut known = 0;
    let (mut failures, mut kinds) = (vec![], BTreeSet::new());
    for seed in seeds {
        let module = generate(seed);
        verify_module(&module).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{}", print_module(&module)));
        let oracle = Oracle::new(&module, seed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        known += usize::from(oracle.is_known());
        let Some((way, message)) = failure(&module, seed, &ways) else { continue };
        let first_hazard = hazard(&message);
        let same = |candidate: &Module| {
            failure(candidate, seed, &[way]).is_some_and(|(_, message)| hazard(&message) == first_hazard)
        };
        let small = shrink(&module, &same);
        let message = failure(&small, seed, &[way]).map_or(message, |(_, message)| message);
        let mut ops: Vec<&str> = small.functions[0].graph.nodes.iter().map(|node| node.op.operation().name()).collect();
        ops.sort_unstable();
        ops.dedup();
        // one failure of a kind is enough
        if kinds.insert((first_hazard, ops.join(" "))) {
            failures.push(format!("seed {seed}, {}: {message}\n{}", way.name(), print_module(&small)));
        }
        if failures.len() == 8 {
            break;
        }
    }
    assert!(
        failures.is_empty(),
        "{} failures; put each graph into a file of tests/regressions\n\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(2 * known > count as usize, "only {known} of {count} graphs have results that can be compared");
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
    let ways = ways();
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
