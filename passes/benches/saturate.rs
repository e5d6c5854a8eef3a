//! How long simplification and saturation take: `cargo bench -p kc-passes`.

#[path = "../tests/saturate/examples.rs"]
mod examples;

use kc_passes::{SaturationOptions, Target, saturate, simplify};
use std::time::{Duration, Instant};

/// The median of repeated runs.
fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..21)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() {
    println!("{:<20} {:>6} {:>6} {:>14} {:>14}", "graph", "nodes", "after", "simplify", "saturate");
    let mut graphs = examples::all();
    graphs.push(("dense_x100", examples::deep(100)));
    for (name, graph) in graphs {
        let options = SaturationOptions::default();
        let target = Target::baseline();
        let after = saturate(&graph, &target, &options).expect("examples are valid").graph.nodes.len();
        let simplified = median(|| drop(simplify(&graph)));
        let saturated = median(|| drop(saturate(&graph, &target, &options)));
        println!("{name:<20} {:>6} {after:>6} {simplified:>14.2?} {saturated:>14.2?}", graph.nodes.len());
    }
}
