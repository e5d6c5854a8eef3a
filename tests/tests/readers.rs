//! Whoever reads a text or a file gives an error for one with faults: no panic, no overflow of the stack, no endless loop and no
//! allocation that the text does not pay for.
//!
//! `KC_FUZZ_CASES` is the number of faulty texts of each kind, `KC_FUZZ_SEED` the first seed; with `KC_FUZZ_SECONDS` there are as many
//! as are read in that time.

use kc_codegen::{Options, compile, schedule_function};
use kc_ir::kernel::{Program, parse_kernel, parse_program, print_kernel, print_program, verify_kernel, verify_program};
use kc_ir::manifest::Manifest;
use kc_ir::tensor::text::{parse_function, parse_graph, parse_module, print_function, print_graph, print_module};
use kc_ir::tensor::{Graph, Module, Value, verify, verify_module};
use kc_ir::{Dim, TensorType};
use kc_passes::{Target, differentiate};
use kc_runtime::package::safetensors;
use kc_runtime::{Array, Package, Session, SessionOptions, npy};
use kc_tests::fuzz::generate;
use kc_tests::random::{Random, seeds_in_time};
use kc_tests::{mutate, runner};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

thread_local! {
    /// The largest piece of memory that the thread asked for.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The system's, which remembers the largest request.
struct Measured;

// SAFETY: every call goes to the system's allocator as it is
unsafe impl GlobalAlloc for Measured {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // a thread that ends may still ask for memory
        let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(layout.size())));
        // SAFETY: the caller's promise
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Measured = Measured;

/// More than any of the texts needs.
const MOST_BYTES: usize = 64 << 20;

/// Reads what each seed damages; `read` fails by a panic or by saying what is wrong.
fn read_all(kind: &str, damage: impl Fn(&mut Random) -> Vec<u8>, read: impl Fn(&[u8]) -> Result<(), String>) {
    let (mut accepted, mut count) = (0, 0u64);
    let (mut slowest, mut slowest_seed) = (Duration::ZERO, 0);
    let mut minute = Instant::now();
    for seed in seeds_in_time(2_000) {
        let damaged = damage(&mut Random::new(seed));
        LARGEST.set(0);
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| read(&damaged)));
        if start.elapsed() > slowest {
            (slowest, slowest_seed) = (start.elapsed(), seed);
        }
        count += 1;
        let shown = || String::from_utf8_lossy(&damaged).chars().take(3_000).collect::<String>();
        let largest = LARGEST.get();
        assert!(largest <= MOST_BYTES, "{kind}, seed {seed}: {largest} bytes were asked for\n{}", shown());
        match result {
            Ok(Ok(())) => accepted += 1,
            Ok(Err(message)) if message.starts_with("wrong: ") => panic!("{kind}, seed {seed}: {message}\n{}", shown()),
            Ok(Err(_)) => {}
            Err(_) => panic!("{kind}, seed {seed}: a panic, printed above, for\n{}", shown()),
        }
        if minute.elapsed() > Duration::from_secs(60) {
            println!("{kind}: {count} so far");
            minute = Instant::now();
        }
    }
    println!("{kind} {accepted} of {count} texts are valid; slowest {slowest:?} of seed {slowest_seed}");
}

fn read_texts(kind: &str, valid: &[String], read: impl Fn(&str) -> Result<(), String>) {
    let text = |random: &mut Random| mutate::text(&random.pick(valid), &random.pick(valid), random).into_bytes();
    read_all(kind, text, |bytes| read(&String::from_utf8_lossy(bytes)));
}

/// What is read is printed, and read back the same. A number that is NaN does not equal itself, so that such texts are compared as
/// they are shown.
fn same<T: PartialEq + std::fmt::Debug, E: std::fmt::Display>(
    read: T,
    print: impl Fn(&T) -> String,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<(), String> {
    let printed = print(&read);
    match parse(&printed) {
        Ok(again) if again == read || format!("{again:?}") == format!("{read:?}") => Ok(()),
        Ok(_) => Err(format!("wrong: it is read back as something else\n{printed}")),
        Err(error) => Err(format!("wrong: it is not read back: {error}\n{printed}")),
    }
}

/// The blocks of the repository's texts that start with a word, up to a closing brace at the start of a line.
fn blocks(folder: &str, word: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("its entries can be listed").path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    let mut blocks = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("a text");
        let lines: Vec<&str> = text.lines().collect();
        let starts = (0..lines.len()).filter(|&line| lines[line].starts_with(word));
        for start in starts {
            let end = (start..lines.len()).find(|&line| lines[line] == "}").unwrap_or(lines.len() - 1);
            blocks.push(lines[start..=end].join("\n") + "\n");
        }
    }
    blocks
}

fn modules() -> Vec<Module> {
    (0..24).map(generate).filter(|module| print_module(module).len() < 20_000).collect()
}

#[test]
fn texts_of_graphs() {
    let mut valid = blocks("ir/tests/files", "graph {");
    valid.extend(blocks("passes/tests/schedule", "graph {"));
    valid.extend(modules().iter().map(|module| print_graph(&module.functions[0].graph)));
    read_texts("graph", &valid, |text| {
        let graph = parse_graph(text).map_err(|error| error.to_string())?;
        verify(&graph).map_err(|error| format!("wrong: {error}"))?;
        same(graph, print_graph, parse_graph)
    });
}

#[test]
fn texts_of_modules() {
    let texts: Vec<String> = modules().iter().map(print_module).collect();
    read_texts("module", &texts, |text| {
        let module = parse_module(text).map_err(|error| error.to_string())?;
        same(module, print_module, parse_module)
    });
}

#[test]
fn texts_of_functions() {
    let texts: Vec<String> = modules().iter().map(|module| print_function(&module.functions[0])).collect();
    read_texts("function", &texts, |text| {
        let function = parse_function(text).map_err(|error| error.to_string())?;
        same(function, print_function, parse_function)
    });
}

fn programs() -> Vec<Program> {
    let program = |module: Module| {
        let function = &module.functions[0];
        let graph = differentiate(&function.graph).ok()?;
        let function = kc_ir::tensor::Function { graph, ..function.clone() };
        schedule_function(&function, &Target::baseline()).ok()
    };
    modules().into_iter().filter_map(program).collect()
}

#[test]
fn texts_of_kernels() {
    let mut kernels = blocks("codegen/tests/kernels", "kernel ");
    kernels.extend(programs().iter().flat_map(|program| program.kernels.iter().take(3)).map(print_kernel));
    read_texts("kernel", &kernels, |text| {
        let kernel = parse_kernel(text).map_err(|error| error.to_string())?;
        verify_kernel(&kernel).map_err(|error| error.to_string())?;
        same(kernel, print_kernel, parse_kernel)
    });
}

#[test]
fn texts_of_programs() {
    let programs: Vec<String> = programs().iter().map(print_program).collect();
    read_texts("program", &programs, |text| {
        let program = parse_program(text).map_err(|error| error.to_string())?;
        verify_program(&program).map_err(|error| error.to_string())?;
        same(program, print_program, parse_program)
    });
}

/// The verifier meets graphs that no parser would give it.
#[test]
fn graphs_with_faults() {
    let graphs: Vec<Graph> = modules().into_iter().map(|module| module.functions[0].graph.clone()).collect();
    let (mut accepted, mut count) = (0, 0);
    for seed in seeds_in_time(2_000) {
        let random = &mut Random::new(seed);
        let mut graph = random.pick(&graphs);
        let other = random.pick(&graphs);
        for _ in 0..random.between(1, 3) {
            let at = random.below(graph.nodes.len());
            let any = |random: &mut Random| {
                let index = random.pick(&[0, 1, 2, u32::MAX, graph.nodes.len() as u32]);
                Value(if random.chance(60) { random.below(graph.nodes.len()) as u32 } else { index })
            };
            match random.below(8) {
                0 => graph.nodes[at].op = random.pick(&other.nodes).op,
                1 => graph.nodes[at].ty = random.pick(&other.nodes).ty,
                2 => graph.nodes[at].op = random.pick(&graph.nodes).op,
                3 => {
                    let value = any(random);
                    if let Some(operand) = graph.nodes[at].operands.last_mut() {
                        *operand = value;
                    }
                }
                4 => {
                    let value = any(random);
                    graph.nodes[at].operands.push(value);
                }
                5 => {
                    graph.nodes[at].operands.pop();
                }
                6 => {
                    let value = any(random);
                    graph.results.push(value);
                }
                _ => {
                    let value = any(random);
                    match random.below(3) {
                        0 => graph.parameters.push(value),
                        1 => drop(graph.parameters.pop()),
                        _ => graph.parameters.iter_mut().for_each(|parameter| *parameter = value),
                    }
                }
            }
        }
        let result = catch_unwind(AssertUnwindSafe(|| verify(&graph).is_ok()));
        assert!(result.is_ok(), "seed {seed}: a panic, printed above, for {graph:?}");
        accepted += usize::from(result.unwrap_or(false));
        count += 1;
    }
    println!("graph with faults {accepted} of {count} texts are valid");
}

#[test]
fn texts_of_dimensions() {
    let dims = ["B*4 + 1", "(B + 3)//4*2", "B*T", "(B*2 - 3)//2 + 1", "17", "-B + 9"].map(str::to_string);
    read_texts("dimension", &dims, |text| {
        let dim: Dim = text.parse().map_err(|error| format!("{error}"))?;
        let _ = dim.evaluate(&|_| Some(i64::MAX));
        let _ = dim.evaluate(&|_| Some(3));
        same(dim, Dim::to_string, |text| text.parse::<Dim>())
    });
}

#[test]
fn texts_of_types() {
    let types =
        [r#"{"dtype":"f32","shape":["B",3]}"#, r#"{"dtype":"u4","shape":["B*2 + 1",1000000]}"#].map(str::to_string);
    read_texts("type", &types, |text| {
        let ty: TensorType = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let _ = ty.elements().evaluate(&|_| Some(1 << 40));
        same(ty, |ty| serde_json::to_string(ty).expect("a type"), |text| serde_json::from_str::<TensorType>(text))
    });
}

fn some_packages() -> Vec<Package> {
    let backend = runner::cranelift().expect("the host has code");
    let with_state = |module: &Module| !module.state.is_empty() && verify_module(module).is_ok();
    let modules = (0..60).map(generate).filter(with_state).take(6);
    modules.map(|module| compile(&module, backend, &Options::default()).expect("it compiles")).collect()
}

#[test]
fn packages() {
    let files: Vec<Vec<u8>> = some_packages().iter().map(|package| package.to_bytes().expect("bytes")).collect();
    read_all(
        "package",
        |random| mutate::bytes(&random.pick(&files), random),
        |bytes| Package::from_bytes(bytes).map(drop).map_err(|error| error.to_string()),
    );
}

/// With hashes that fit.
#[test]
fn manifests() {
    let packages = some_packages();
    let manifests: Vec<String> =
        packages.iter().map(|package| serde_json::to_string(&package.manifest).expect("JSON")).collect();
    read_texts("manifest", &manifests, |text| {
        let manifest: Manifest = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let package = Package { manifest, ..packages[0].clone() };
        let bytes = package.to_bytes().map_err(|error| error.to_string())?;
        let package = Package::from_bytes(&bytes).map_err(|error| error.to_string())?;
        // a package may have as much state as it says
        let elements = |ty: &TensorType| ty.elements().as_constant().unwrap_or(i64::MAX);
        if package.manifest.state.iter().any(|state| elements(&state.ty) > 1 << 20) {
            return Err("much state".to_string());
        }
        let options = SessionOptions { threads: 1, ..SessionOptions::default() };
        Session::new(&package, &options).map(drop).map_err(|error| error.to_string())
    });
}

fn arrays() -> [Array; 2] {
    [Array::from_slice(&[1.0f32, 2.0, 3.0], &[3]), Array::from_slice(&[7i64, -1], &[1, 2])]
        .map(|array| array.expect("it fits"))
}

#[test]
fn files_of_safetensors() {
    let tensors = safetensors::write(["dense/kernel", "step"].into_iter().zip(&arrays()));
    read_all(
        "safetensors",
        |random| mutate::bytes(&tensors, random),
        |bytes| safetensors::read(bytes).map(drop).map_err(|error| error.to_string()),
    );
}

#[test]
fn files_of_npy() {
    let files: Vec<Vec<u8>> = arrays().iter().map(|array| npy::to_bytes(array).expect("bytes")).collect();
    read_all(
        "npy",
        |random| mutate::bytes(&random.pick(&files), random),
        |bytes| npy::parse(bytes).map(drop).map_err(|error| error.to_string()),
    );
}
