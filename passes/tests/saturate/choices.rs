use crate::examples;
use kc_passes::{SaturationOptions, Target, saturate, simplify};

#[test]
fn show() {
    for (name, graph) in examples::all() {
        let start = std::time::Instant::now();
        let simple = simplify(&graph);
        let mid = std::time::Instant::now();
        let result = saturate(&graph, &Target::baseline(), &SaturationOptions::default()).unwrap();
        println!(
            "=== {name}: {} -> {} -> {} nodes; simplify {:?} saturate {:?}",
            graph.nodes.len(),
            simple.nodes.len(),
            result.graph.nodes.len(),
            mid - start,
            mid.elapsed()
        );
        println!("{}", result.report);
        println!("{}", kc_ir::tensor::text::print_graph(&result.graph));
    }
}
