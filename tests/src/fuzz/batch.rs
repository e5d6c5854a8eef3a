use super::{Oracle, Way, generate, quietly};
use kc_ir::tensor::text::print_module;
use kc_ir::tensor::{Argument, Module, ResultSlot, verify_module};
use std::ops::Range;

/// Graphs of a batch.
pub const GRAPHS: u64 = 100;

/// Random graphs that are compiled as functions of one module.
pub struct Batch(Vec<Member>);

struct Member {
    seed: u64,
    module: Module,
    oracle: Oracle,
}

/// A graph that a way computes wrongly.
pub struct Failure {
    /// The graph's seed.
    pub seed: u64,
    /// What is wrong.
    pub message: String,
}

impl Batch {
    /// The graphs of some seeds, for ways of one kind ([`Way::flushes_denormals`]); an error is a graph that cannot be interpreted.
    pub fn new(seeds: Range<u64>, ways: &[Way]) -> Result<Batch, String> {
        let flush = ways.iter().all(|way| way.flushes_denormals());
        let interpret = if flush { Oracle::without_denormals } else { Oracle::new };
        let member = |seed: u64| {
            let module = generate(seed);
            let failed = |error: String| format!("seed {seed}: {error}\n{}", print_module(&module));
            verify_module(&module).map_err(|error| failed(error.to_string()))?;
            let oracle = interpret(&module, seed).map_err(failed)?;
            Ok(Member { seed, module, oracle })
        };
        seeds.map(member).collect::<Result<_, _>>().map(Batch)
    }

    /// How many graphs have results that can be compared.
    pub fn known(&self) -> usize {
        self.0.iter().filter(|member| member.oracle.is_known()).count()
    }

    /// Compares a way with what is right for every graph.
    pub fn check(&self, way: Way) -> Vec<Failure> {
        let mut failures = Vec::new();
        check(&self.0, way, &mut failures);
        failures
    }
}

/// Members that cannot be executed together are so in two halves.
fn check(members: &[Member], way: Way, failures: &mut Vec<Failure>) {
    if let [Member { seed, module, oracle }] = members {
        failures.extend(oracle.check(module, way).err().map(|message| Failure { seed: *seed, message }));
        return;
    }
    let mut found = Vec::new();
    let (module, states) = together(members);
    let executed = quietly(|| {
        let mut execution = way.load(&module)?;
        for ((member, function), own) in members.iter().zip(&module.functions).zip(states) {
            if let Err(message) = member.oracle.compare(&mut *execution, function, own) {
                found.push(Failure { seed: member.seed, message });
            }
        }
        Ok(())
    });
    match executed {
        Ok(()) => failures.extend(found),
        Err(_) => {
            let (first, second) = members.split_at(members.len() / 2);
            check(first, way, failures);
            check(second, way, failures);
        }
    }
}

/// One module of the functions of all, and the places of each one's state.
fn together(members: &[Member]) -> (Module, Vec<Range<usize>>) {
    let mut all = Module::default();
    let mut states = Vec::new();
    for Member { seed, module, .. } in members {
        let start = all.state.len();
        for state in &module.state {
            let mut state = state.clone();
            state.name = format!("{}_of_{seed}", state.name);
            all.state.push(state);
        }
        let mut function = module.functions[0].clone();
        function.name = format!("{}_{seed}", function.name);
        for argument in &mut function.arguments {
            if let Argument::State(index) = argument {
                *index += start;
            }
        }
        for slot in &mut function.results {
            if let ResultSlot::State(index) = slot {
                *index += start;
            }
        }
        all.functions.push(function);
        states.push(start..all.state.len());
    }
    (all, states)
}
