//! What saturation chooses, and that it is deterministic, limited and simplified.

use crate::examples::{self, Step};
use kc_ir::tensor::text::print_graph;
use kc_ir::tensor::{Graph, verify};
use kc_passes::saturate::{Extraction, Stop};
use kc_passes::{MathMode, Saturation, SaturationOptions, Target, saturate, simplify};
use std::collections::BTreeMap;

fn saturated(graph: &Graph, options: &SaturationOptions) -> Saturation {
    saturate(graph, &Target::baseline(), options).unwrap()
}

fn count(graph: &Graph, name: &str) -> usize {
    graph.nodes.iter().filter(|node| node.op.operation().name() == name).count()
}

fn counts<const N: usize>(graph: &Graph, names: [&str; N]) -> [usize; N] {
    names.map(|name| count(graph, name))
}

#[test]
fn results_are_valid_and_keep_their_interface() {
    for (name, graph) in examples::all() {
        let result = saturated(&graph, &SaturationOptions::default()).graph;
        verify(&result).unwrap_or_else(|error| panic!("{name}: {error}"));
        let types = |graph: &Graph, values: &[kc_ir::tensor::Value]| -> Vec<String> {
            values.iter().map(|&value| graph.tensor_type(value).to_string()).collect()
        };
        assert_eq!(types(&result, &result.parameters), types(&graph, &graph.parameters), "{name}");
        assert_eq!(types(&result, &result.results), types(&graph, &graph.results), "{name}");
    }
}

#[test]
fn two_runs_give_one_text() {
    for (name, graph) in examples::all() {
        let runs = [0, 1].map(|_| {
            let result = saturated(&graph, &SaturationOptions::default());
            format!("{}{}", print_graph(&result.graph), result.report)
        });
        assert_eq!(runs[0], runs[1], "{name}");
    }
}

#[test]
fn the_cost_never_rises() {
    for (name, graph) in examples::all() {
        let (before, after) = saturated(&graph, &SaturationOptions::default()).report.cost();
        assert!(after <= before, "{name}: {before} -> {after}");
    }
}

#[test]
fn a_training_step_of_dense_layers_takes_the_fused_forms() {
    let graph = saturated(&examples::mlp(Step::Train), &SaturationOptions::default()).graph;
    let names =
        ["dense", "dot_general", "relu", "softmax", "transpose", "categorical_cross_entropy_with_gradient", "divide"];
    // the divisions are two scalars by the batch size
    assert_eq!(counts(&graph, names), [2, 3, 0, 0, 0, 1, 2], "{}", print_graph(&graph));
}

#[test]
fn a_test_step_takes_the_loss_without_its_gradient() {
    let graph = saturated(&examples::mlp(Step::Test), &SaturationOptions::default()).graph;
    let names = ["dense", "softmax", "categorical_cross_entropy", "categorical_cross_entropy_with_gradient"];
    assert_eq!(counts(&graph, names), [2, 0, 1, 0], "{}", print_graph(&graph));
}

#[test]
fn inference_folds_batch_normalisation_into_the_convolution() {
    let graph = saturated(&examples::cnn(Step::Predict), &SaturationOptions::default()).graph;
    let names = ["convolution_bias", "convolution", "batch_norm_infer", "relu", "dense"];
    assert_eq!(counts(&graph, names), [2, 0, 0, 0, 1], "{}", print_graph(&graph));
    let large = |node: &&kc_ir::tensor::Node| {
        matches!(node.op, kc_ir::tensor::Op::Binary(_))
            && node.ty.as_tensor().is_some_and(|ty| ty.shape.contains(&kc_ir::Dim::symbol("B")))
    };
    assert_eq!(graph.nodes.iter().filter(large).count(), 0, "{}", print_graph(&graph));
}

#[test]
fn training_keeps_the_statistics_of_the_batch_and_computes_each_convolution_once() {
    let graph = saturated(&examples::cnn(Step::Train), &SaturationOptions::default()).graph;
    // two forward; one gradient by the second's input, two by the kernels
    let names = ["convolution_bias", "convolution", "batch_norm_train"];
    assert_eq!(counts(&graph, names), [2, 3, 1], "{}", print_graph(&graph));
}

#[test]
fn strict_mode_takes_exact_rules_only() {
    let rules: BTreeMap<&str, _> = kc_passes::saturate::rules::all().map(|rule| (rule.name, rule.numeric)).collect();
    let options = SaturationOptions { math: MathMode::Strict, ..SaturationOptions::default() };
    for (name, graph) in examples::all() {
        let result = saturated(&graph, &options);
        for fired in result.report.fired.keys() {
            assert_eq!(rules[fired.as_str()], kc_passes::saturate::Numeric::Exact, "{name}: {fired}");
        }
    }
    let graph = saturated(&examples::mlp(Step::Train), &options).graph;
    assert_eq!(counts(&graph, ["softmax", "softmax_gradient", "dense"]), [1, 1, 2]);
}

#[test]
fn a_limit_makes_a_note_and_a_graph_that_is_still_right() {
    let graph = examples::mlp(Step::Train);
    let few_nodes = SaturationOptions { node_limit: 10, ..SaturationOptions::default() };
    let one_round = SaturationOptions { iteration_limit: 1, ..SaturationOptions::default() };
    for (options, stop, note) in [
        (
            few_nodes,
            Stop::NodeLimit,
            "note: the limit of e-nodes ended the search; the graph is correct, a better one may exist",
        ),
        (
            one_round,
            Stop::IterationLimit,
            "note: the limit of rounds ended the search; the graph is correct, a better one may exist",
        ),
    ] {
        let result = saturated(&graph, &options);
        assert_eq!(result.report.stop, stop);
        assert!(result.report.to_string().contains(note), "{}", result.report);
        verify(&result.graph).unwrap();
    }
    let unchanged = saturated(&graph, &few_nodes).graph;
    assert_eq!(print_graph(&simplify(&unchanged)), print_graph(&unchanged));
}

#[test]
fn the_report_names_the_rules_that_made_the_graph() {
    let options = SaturationOptions { explain: true, ..SaturationOptions::default() };
    let result = saturated(&examples::mlp(Step::Predict), &options);
    let led = result.report.led.clone().unwrap();
    assert_eq!(led.iter().map(String::as_str).collect::<Vec<_>>(), ["dense", "dense-relu"], "{}", result.report);
    // proofs do not change what is chosen
    let plain = saturated(&examples::mlp(Step::Predict), &SaturationOptions::default());
    assert_eq!(print_graph(&plain.graph), print_graph(&result.graph));
    assert_eq!(plain.report.led, None);
}

#[test]
fn new_ops_carry_a_location_of_what_they_stand_for() {
    use kc_ir::tensor::ops::DotGeneral;
    use kc_ir::tensor::{Builder, Location};
    let mut b = Builder::new();
    let ty = |shape: &[i64]| {
        kc_ir::TensorType::new(kc_ir::DType::F32, shape.iter().map(|&extent| kc_ir::Dim::constant(extent)))
    };
    let x = b.parameter("x", ty(&[64, 32])).unwrap();
    let w = b.parameter("w", ty(&[32, 16])).unwrap();
    let bias = b.parameter("b", ty(&[16])).unwrap();
    let at = |line: u32| Some(std::sync::Arc::new(Location { file: "model.rs".into(), line, layer: "hidden".into() }));
    b.set_location(at(7));
    let op = DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![1], rhs_contract: vec![0] };
    let product = b.add(op, &[x, w]).unwrap();
    b.set_location(at(8));
    let sum = b.binary(kc_ir::tensor::ops::Binary::Add, product, bias).unwrap();
    let result = saturated(&b.finish(vec![sum]), &SaturationOptions::default()).graph;
    let node = result.node(result.results[0]);
    assert_eq!((node.op.operation().name(), node.location.as_ref().map(|location| location.line)), ("dense", Some(8)));
}

#[test]
fn a_deep_network_is_fused_in_every_layer() {
    let graph = saturated(&examples::deep(40), &SaturationOptions::default()).graph;
    assert_eq!(counts(&graph, ["dense", "relu", "dot_general", "transpose"]), [40, 0, 79, 0]);
}

#[test]
fn the_exact_choice_never_costs_more_than_the_greedy_one() {
    let exact = SaturationOptions { extraction: Extraction::Exact, ..SaturationOptions::default() };
    let mut proven = 0;
    for (name, graph) in examples::all() {
        let (greedy, exact) = (saturated(&graph, &SaturationOptions::default()), saturated(&graph, &exact));
        verify(&exact.graph).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(exact.report.cost().1 <= greedy.report.cost().1 + 1e-3, "{name}: {}", exact.report);
        assert_eq!(greedy.report.proven, 0);
        proven += usize::from(exact.report.proven == exact.report.regions);
    }
    assert!(proven > 0);
}

#[test]
fn the_gradient_of_relu_goes_before_that_of_the_pooling_behind_it() {
    let graph = saturated(&examples::cnn(Step::Train), &SaturationOptions::default()).graph;
    let masked = |node: &kc_ir::tensor::Node| {
        node.op.operation().name() == "select"
            && node.operands.iter().any(|&operand| graph.node(operand).op.operation().name() == "select_and_scatter")
    };
    assert_eq!(count(&graph, "select_and_scatter"), 2);
    assert!(!graph.nodes.iter().any(masked), "{}", print_graph(&graph));
}

#[test]
fn descent_touches_only_the_rows_that_have_a_gradient_and_tables_are_multiplied_before_they_are_read() {
    let graph = saturated(&examples::characters(), &SaturationOptions::default()).graph;
    // 20 characters are fewer than 12 positions of a batch, 5000 words are more
    let products = graph.nodes.iter().filter(|node| {
        matches!(node.op, kc_ir::tensor::Op::DotGeneral(_))
            && node.ty.as_tensor().is_some_and(|ty| ty.shape == [kc_ir::Dim::constant(20), kc_ir::Dim::constant(64)])
    });
    assert_eq!(products.count(), 1, "{}", print_graph(&graph));
    let updated = graph.nodes.iter().filter(|node| {
        node.op.operation().name() == "scatter"
            && matches!(graph.node(node.operands[0]).op, kc_ir::tensor::Op::Parameter(_))
            && node.ty.as_tensor().is_some_and(|ty| ty.shape[0] == kc_ir::Dim::constant(5000))
    });
    assert_eq!(updated.count(), 2, "{}", print_graph(&graph));
}
