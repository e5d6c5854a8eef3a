//! Where the rules of equality saturation find something: in the example models, the benchmarks' models and the golden cases. A rule that
//! does in none of them is removed.

use kc_codegen::{Options, optimise};
use kc_ir::tensor::Module;
use kc_passes::Target;
use kc_passes::saturate::rules;
use kc_tests::golden;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

/// The modules of model files: `models!(name: "path from this folder", ...)`.
macro_rules! models {
    ($($name:ident: $path:literal,)*) => {
        $(
            #[path = $path]
            #[allow(dead_code, clippy::duplicate_mod)] // a benchmark may be an example with another policy
            mod $name;
        )*

        fn models() -> Vec<(Source, String, MakeModule)> {
            vec![$((
                if $path.contains("examples") { Source::Example } else { Source::Benchmark },
                stringify!($name).to_string(),
                Box::new(|| {
                    kc::utils::clear_session();
                    $name::kc_model()?.module().map_err(|error| error.to_string())
                }),
            ),)*]
        }
    };
}

models! {
    mnist_mlp: "../../frontend/examples/mnist_mlp.rs",
    mnist_cnn: "../../frontend/examples/mnist_cnn.rs",
    imdb_lstm: "../../frontend/examples/imdb_lstm.rs",
    resnet18: "../../frontend/examples/resnet18.rs",
    resnet50: "../../frontend/examples/resnet50.rs",
    transformer: "../../frontend/examples/transformer.rs",
    transformer12: "../../frontend/examples/transformer12.rs",
    a: "../../benches/models/a.rs",
    b: "../../benches/models/b.rs",
    c: "../../benches/models/c.rs",
    d_bf16: "../../benches/models/d_bf16.rs",
    e: "../../benches/models/e.rs",
    f: "../../benches/models/f.rs",
    g: "../../benches/models/g.rs",
}

/// Where a model comes from: a column of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Example,
    Benchmark,
    Golden,
}

type MakeModule = Box<dyn Fn() -> Result<Module, String> + Sync + Send>;

/// The golden cases: models, and rows of the tables of functions.
fn golden_cases() -> Vec<(Source, String, MakeModule)> {
    let cases = golden::cases().unwrap_or_else(|error| panic!("{error}")).into_iter().map(|case| {
        let name = case.name.clone();
        (Source::Golden, name, Box::new(move || golden::module(&case)) as MakeModule)
    });
    let rows = golden::ops::rows().unwrap_or_else(|error| panic!("{error}")).into_iter().map(|row| {
        let name = row.name.clone();
        (Source::Golden, name, Box::new(move || golden::ops::module(&row)) as MakeModule)
    });
    cases.chain(rows).collect()
}

/// The rules that find something in a module's functions.
fn fired(module: &Module) -> Result<BTreeSet<String>, String> {
    let mut fired = BTreeSet::new();
    for function in &module.functions {
        let optimised = optimise(function, &Target::baseline(), &Options::default(), &mut |_, _| {});
        fired.extend(optimised.map_err(|error| error.to_string())?.report.fired.into_keys());
    }
    Ok(fired)
}

/// Names of a cell: of many the first few.
fn names(names: &BTreeSet<String>) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<&str> = names.iter().map(String::as_str).take(SHOWN).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `passes/src/saturate/rules/TABLE.md` is this table; `KC_BLESS=1` writes it.
#[test]
fn every_rule_fires_in_a_real_model_and_the_table_says_where() {
    let all: Vec<_> = models().into_iter().chain(golden_cases()).collect();
    let next = AtomicUsize::new(0);
    let found: Mutex<BTreeMap<(String, Source), BTreeSet<String>>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((source, name, make)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let rules =
                        make().and_then(|module| fired(&module)).unwrap_or_else(|error| panic!("{name}: {error}"));
                    let mut found = found.lock().expect("no thread fails while it writes");
                    for rule in rules {
                        found.entry((rule, *source)).or_default().insert(name.clone());
                    }
                }
            });
        }
    });
    let found = found.into_inner().expect("no thread fails while it writes");
    let mut table =
        String::from("| rule | algebra | class | examples | benchmarks | golden cases |\n|---|---|---|---|---|---|\n");
    let mut silent = vec![];
    for rule in rules::all() {
        let cells = [Source::Example, Source::Benchmark, Source::Golden]
            .map(|source| found.get(&(rule.name.to_string(), source)).map(names).unwrap_or_default());
        if cells.iter().all(String::is_empty) {
            silent.push(rule.name);
        }
        let [examples, benchmarks, golden] = cells.map(|cell| if cell.is_empty() { cell } else { cell + " " });
        table +=
            &format!("| {} | `{}` | {} | {examples}| {benchmarks}| {golden}|\n", rule.name, rule.algebra, rule.numeric);
    }
    assert!(silent.is_empty(), "rules that fire nowhere: {}", silent.join(", "));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../passes/src/saturate/rules/TABLE.md");
    if std::env::var_os("KC_BLESS").is_some() {
        std::fs::write(path, &table).expect("the table can be written");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(table, written, "the table is not that of the rules; KC_BLESS=1 writes it");
}
