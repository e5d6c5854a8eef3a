//! What passes make of choices and loops.

mod cases;

use kc_ir::tensor::ops::*;
use kc_ir::tensor::text::print_graph;
use kc_ir::tensor::{
    Argument, AssociativeScanOptions, Builder, Function, Graph, Literal, Op, ResultSlot, ScanOptions, TypeError, Value,
    interpret, verify,
};
use kc_ir::{DType, Dim, TensorType};
use kc_passes::{SaturationOptions, Target, differentiate, hoist, plan, saturate, schedule, simplify};

type Traced = Result<Vec<Value>, TypeError>;

/// The graph of parameters `f32[T, 2]`, `f32[2]`, `f32[2]` and a scalar bool.
fn graph(build: impl FnOnce(&mut Builder, &[Value]) -> Traced) -> Graph {
    let mut b = Builder::new();
    let vector = || TensorType::new(DType::F32, [2i64]);
    let types = [
        TensorType::new(DType::F32, [Dim::symbol("T"), Dim::constant(2)]),
        vector(),
        vector(),
        TensorType::scalar(DType::Bool),
    ];
    let parameters: Vec<Value> = types.into_iter().map(|ty| b.parameter("x", ty).unwrap()).collect();
    let results = build(&mut b, &parameters).unwrap_or_else(|error| panic!("{error}"));
    b.finish(results)
}

fn arguments() -> Vec<Literal> {
    vec![
        Literal::f32(&[3, 2], &[0.5, -1.25, 2.0, 0.75, -0.5, 1.5]),
        Literal::f32(&[2], &[1.5, -0.5]),
        Literal::f32(&[2], &[-2.0, 0.25]),
        Literal::scalar(DType::Bool, 1),
    ]
}

/// The graph simplified, which must be a fixed point of the same bits.
fn simplified(graph: &Graph) -> Graph {
    let simple = simplify(graph);
    assert_eq!(verify(&simple), Ok(()), "{}", print_graph(&simple));
    assert_eq!(simplify(&simple), simple, "{}", print_graph(&simple));
    assert_eq!(interpret(&simple, &arguments()), interpret(graph, &arguments()), "{}", print_graph(&simple));
    simple
}

/// Ops with regions, as their name, the number of operands and their type.
fn outline(graph: &Graph) -> Vec<String> {
    let of = |node: &kc_ir::tensor::Node| {
        let (name, regions) = (node.op.operation().name(), node.op.operation().regions());
        (!regions.is_empty()).then(|| format!("{name} of {}: {}", node.operands.len(), node.ty))
    };
    graph.nodes.iter().filter_map(of).collect()
}

fn add(b: &mut Builder, x: Value, y: Value) -> Result<Value, TypeError> {
    b.binary(Binary::Add, x, y)
}

#[test]
fn what_a_loop_carries_reads_or_gives_without_need_is_dropped() {
    let graph = graph(|b, p| {
        let (x, y, z) = (p[0], p[1], p[2]);
        let one = b.splat_like(1.0, y)?;
        // carried: what is used, what only leads to itself, what is passed on, what only that reads
        let scanned = b.scan(&[y, z, y, z], &[x, x], &ScanOptions::default(), |b, carried, elements| {
            let used = add(b, carried[0], elements[1])?;
            let used = add(b, used, carried[2])?;
            let used = add(b, used, one)?;
            let own = add(b, carried[1], elements[0])?;
            let own = add(b, own, z)?;
            let last = add(b, carried[3], carried[3])?;
            let squashed = b.unary(Unary::Tanh, used)?;
            Ok::<_, TypeError>((vec![used, own, carried[2], last], vec![squashed, elements[0], y, one, squashed, last]))
        })?;
        Ok(vec![
            scanned.carried[0],
            scanned.carried[2],
            scanned.outputs[0],
            scanned.outputs[1],
            scanned.outputs[2],
            scanned.outputs[3],
            scanned.outputs[4],
        ])
    });
    let simple = simplified(&graph);
    // one carried value, one sequence, and `y` as what is passed on and read
    assert_eq!(outline(&simple), ["scan of 3: (f32[2], f32[T, 2])"], "{}", print_graph(&simple));
}

#[test]
fn a_while_loop_keeps_what_its_condition_needs() {
    let graph = graph(|b, p| {
        let zero = b.constant(Literal::scalar(DType::I32, 0))?;
        let results = b.while_loop::<TypeError>(
            &[p[1], zero, p[2], p[2]],
            |b, carried| {
                let three = b.splat_like(3, carried[1])?;
                b.compare(Compare::Less, carried[1], three)
            },
            |b, carried| {
                let one = b.splat_like(1, carried[1])?;
                let next = add(b, carried[0], carried[2])?;
                Ok(vec![next, add(b, carried[1], one)?, carried[2], add(b, carried[3], carried[0])?])
            },
        )?;
        Ok(vec![results[0], results[2]])
    });
    let simple = simplified(&graph);
    assert_eq!(outline(&simple), ["while of 3: (f32[2], i32[])"], "{}", print_graph(&simple));
}

#[test]
fn known_choices_are_made() {
    let chosen = |b: &mut Builder, p: &[Value], predicate: Value| {
        b.cond::<TypeError>(
            predicate,
            |b| Ok(vec![add(b, p[1], p[2])?, p[1], p[2]]),
            |b| Ok(vec![b.unary(Unary::Exp, p[1])?, p[1], p[1]]),
        )
    };
    let known = graph(|b, p| {
        let yes = b.constant(Literal::scalar(DType::Bool, 1))?;
        chosen(b, p, yes)
    });
    assert_eq!(outline(&simplified(&known)), Vec::<String>::new());
    // what both branches pass on is not chosen, nor is what nothing uses
    let open = graph(|b, p| chosen(b, p, p[3]).map(|results| results[..2].to_vec()));
    assert_eq!(outline(&simplified(&open)), ["cond of 3: (f32[2])"]);
    let equal = graph(|b, p| {
        let branch = |b: &mut Builder| b.unary(Unary::Exp, p[1]).map(|y| vec![y]);
        b.cond::<TypeError>(p[3], branch, branch)
    });
    assert_eq!(outline(&simplified(&equal)), Vec::<String>::new());
}

#[test]
fn regions_are_simplified_and_saturated_like_graphs() {
    let graph = graph(|b, p| {
        let w = p[1];
        let scanned = b.scan(&[p[2]], &p[..1], &ScanOptions::default(), |b, carried, elements| {
            let one = b.splat_like(1.0, w)?;
            let same = b.binary(Binary::Multiply, elements[0], one)?;
            let negated = b.unary(Unary::Negate, same)?;
            let again = b.unary(Unary::Negate, negated)?;
            let zero = b.splat_like(0.0, again)?;
            // a rectified unit, which a rule of saturation knows
            let next = b.binary(Binary::Maximum, again, zero)?;
            let next = add(b, next, carried[0])?;
            Ok::<_, TypeError>((vec![next], vec![]))
        })?;
        Ok(scanned.carried)
    });
    let count = |graph: &Graph| {
        let body = graph.nodes.iter().find_map(|node| match &node.op {
            Op::Scan(scan) => Some(scan.body.graph().nodes.len()),
            _ => None,
        });
        body.expect("a scan")
    };
    let simple = simplified(&graph);
    // two parameters, a zero, the maximum and the sum
    assert!(count(&simple) <= 6, "{}", print_graph(&simple));
    let saturated = saturate(&graph, &Target::baseline(), &SaturationOptions::default()).unwrap();
    assert!(count(&saturated.graph) <= count(&simple), "{}", print_graph(&saturated.graph));
    assert_eq!(interpret(&saturated.graph, &arguments()), interpret(&graph, &arguments()));
}

#[test]
fn what_is_the_same_in_all_rounds_leaves_the_loop() {
    let graph = graph(|b, p| {
        let (w, matrix) = (p[1], p[2]);
        let matrix = b.broadcast(matrix, &[Dim::constant(2), Dim::constant(2)], &[1])?;
        let scanned = b.scan(&[p[2]], &p[..1], &ScanOptions::default(), |b, carried, elements| {
            let squashed = b.unary(Unary::Tanh, w)?;
            let scaled = b.binary(Binary::Multiply, squashed, squashed)?;
            let product = b.add(vector_by_matrix(), &[elements[0], matrix])?;
            let next = add(b, product, carried[0])?;
            let next = add(b, next, scaled)?;
            let next = b.unary(Unary::Tanh, next)?;
            let other = b.add(vector_by_matrix(), &[next, matrix])?;
            Ok::<_, TypeError>((vec![next], vec![next, other]))
        })?;
        Ok([scanned.carried, scanned.outputs].concat())
    });
    let hoisted = hoist(&simplify(&graph)).unwrap();
    let text = print_graph(&hoisted);
    assert_eq!(verify(&hoisted), Ok(()), "{text}");
    assert_eq!(interpret(&hoisted, &arguments()), interpret(&graph, &arguments()), "{text}");
    let body = hoisted.nodes.iter().find_map(|node| match &node.op {
        Op::Scan(scan) => Some(scan.body.graph()),
        _ => None,
    });
    let names: Vec<&str> = body.unwrap().nodes.iter().map(|node| node.op.operation().name()).collect();
    let computed: Vec<&str> = names.into_iter().filter(|name| *name != "parameter").collect();
    assert_eq!(computed, ["add", "add", "tanh"], "{text}");
    assert_eq!(hoist(&hoisted).map(|again| simplify(&again)), Ok(simplify(&hoisted)));
}

#[test]
fn a_matrix_is_transposed_once() {
    let graph = graph(|b, p| {
        let by_rows = DotGeneral { rhs_contract: vec![1], ..vector_by_matrix() };
        let matrix = b.broadcast(p[2], &[Dim::constant(2), Dim::constant(2)], &[1])?;
        let matrix = b.unary(Unary::Tanh, matrix)?;
        let scanned = b.scan(&[p[2]], &p[..1], &ScanOptions::default(), |b, carried, elements| {
            let product = b.add(by_rows.clone(), &[carried[0], matrix])?;
            let next = add(b, product, elements[0])?;
            Ok::<_, TypeError>((vec![next], vec![]))
        })?;
        Ok(scanned.carried)
    });
    let hoisted = hoist(&simplify(&graph)).unwrap();
    let text = print_graph(&hoisted);
    assert_eq!(verify(&hoisted), Ok(()), "{text}");
    assert_eq!(interpret(&hoisted, &arguments()), interpret(&graph, &arguments()), "{text}");
    let contracted = hoisted.nodes.iter().find_map(|node| match &node.op {
        Op::Scan(scan) => scan.body.graph().nodes.iter().find_map(|node| match &node.op {
            Op::DotGeneral(dot) => Some((dot.clone(), scan.body.graph().node(node.operands[1]).op.clone())),
            _ => None,
        }),
        _ => None,
    });
    let (dot, operand) = contracted.expect("a contraction in the loop");
    assert_eq!(dot.rhs_contract, [0], "{text}");
    assert!(matches!(operand, Op::Parameter(_)), "{text}");
}

/// `f32[2] x f32[2, 2]`
fn vector_by_matrix() -> DotGeneral {
    DotGeneral { lhs_batch: vec![], rhs_batch: vec![], lhs_contract: vec![0], rhs_contract: vec![0] }
}

#[test]
fn derivatives_of_loops_stay_right_when_they_are_simplified_and_saturated() {
    for case in cases::all().into_iter().filter(|case| matches!(case.op, Op::Scan(_) | Op::Cond(_))) {
        let mut b = Builder::new();
        let operands: Vec<Value> =
            case.operands.iter().map(|operand| b.parameter("x", operand.ty()).unwrap()).collect();
        let value = b.add(case.op.clone(), &operands).unwrap();
        let mut sum = b.constant(Literal::scalar(DType::F64, 0.0)).unwrap();
        for result in b.projections(value).unwrap() {
            let axes: Vec<usize> = (0..b.tensor_type(result).rank()).collect();
            let squared = b.binary(Binary::Multiply, result, result).unwrap();
            let part = b.reduce(Reduction::Sum, &axes, squared).unwrap();
            sum = add(&mut b, sum, part).unwrap();
        }
        let by: Vec<Value> = operands.iter().copied().filter(|&x| b.tensor_type(x).dtype.is_float()).collect();
        let gradient = b.add(Gradient {}, &[vec![sum], by].concat()).unwrap();
        let derivatives = b.projections(gradient).unwrap();
        let graph = differentiate(&b.finish(derivatives)).unwrap();
        let expected = interpret(&graph, &case.operands).unwrap();
        let simple = simplify(&graph);
        assert_eq!(simplify(&simple), simple, "{}", case.name);
        assert_eq!(interpret(&simple, &case.operands).as_ref(), Ok(&expected), "{}", case.name);
        let hoisted = hoist(&simple).unwrap();
        assert_eq!(verify(&hoisted), Ok(()), "{}", case.name);
        assert_eq!(interpret(&hoisted, &case.operands).as_ref(), Ok(&expected), "{}", case.name);
        let saturated = saturate(&graph, &Target::baseline(), &SaturationOptions::default()).unwrap().graph;
        let given = interpret(&saturated, &case.operands).unwrap();
        for (given, expected) in given.iter().zip(&expected) {
            let mut pairs = given.to_f64_vec().into_iter().zip(expected.to_f64_vec());
            let is_close = |(a, b): (f64, f64)| (a - b).abs() <= 1e-12 * (1.0 + b.abs());
            assert!(pairs.all(is_close), "{}: {given:?}, expected {expected:?}", case.name);
        }
    }
}

/// Six layers of three contractions each, and the derivative by the weights.
fn deep(scopes: bool) -> Graph {
    let mut b = Builder::new();
    let ty = TensorType::new(DType::F32, [Dim::symbol("B"), Dim::constant(32)]);
    let mut x = b.parameter("x", ty).unwrap();
    let weights: Vec<Value> =
        (0..6).map(|_| b.parameter("w", TensorType::new(DType::F32, [32i64, 32])).unwrap()).collect();
    for &w in &weights {
        let layer = |b: &mut Builder| -> Traced {
            let mut y = x;
            for _ in 0..3 {
                let product = b.matmul(y, w)?;
                y = b.unary(Unary::Tanh, product)?;
            }
            Ok(vec![y])
        };
        x = if scopes { b.remat(layer).unwrap()[0] } else { layer(&mut b).unwrap()[0] };
    }
    let sum = b.reduce(Reduction::Sum, &[0, 1], x).unwrap();
    let gradient = b.add(Gradient {}, &[vec![sum], weights].concat()).unwrap();
    let derivatives = b.projections(gradient).unwrap();
    b.finish(derivatives)
}

#[test]
fn what_is_computed_again_takes_less_memory() {
    let batch = 1024;
    let mut graphs = vec![];
    let arena = [false, true].map(|scopes| {
        let graph = simplify(&differentiate(&deep(scopes)).unwrap());
        let graph = saturate(&graph, &Target::baseline(), &SaturationOptions::default()).unwrap().graph;
        let program = schedule(&function(graph.clone()), &Target::baseline()).unwrap();
        graphs.push(graph);
        let plan = plan(&program, &mut vec![]);
        let size = |dim: &Dim| dim.evaluate(&|_| Some(batch)).unwrap();
        plan.slots.iter().map(|slot| slot.iter().map(size).max().unwrap_or(0)).sum::<i64>()
    });
    let contractions = |graph: &Graph| graph.nodes.iter().filter(|node| matches!(node.op, Op::DotGeneral(_))).count();
    // two of three are computed again, the third only for what comes after it
    assert!(contractions(&graphs[1]) >= contractions(&graphs[0]) + 12, "{}", print_graph(&graphs[1]));
    assert!(arena[1] * 10 < arena[0] * 7, "{} bytes with scopes, {} without", arena[1], arena[0]);
    let shapes = [vec![3usize, 32]].into_iter().chain(std::iter::repeat_n(vec![32, 32], 6));
    let sample = |(salt, shape): (usize, Vec<usize>)| {
        let values: Vec<f32> = (0..shape.iter().product()).map(|i| ((i * 7 + salt * 31) as f32).sin() * 0.3).collect();
        Literal::f32(&shape, &values)
    };
    let arguments: Vec<Literal> = shapes.enumerate().map(sample).collect();
    assert_eq!(interpret(&graphs[0], &arguments), interpret(&graphs[1], &arguments));
}

/// A graph as an entry point whose parameters are inputs and whose results are outputs.
fn function(graph: Graph) -> Function {
    Function {
        name: "f".into(),
        inputs: vec![],
        outputs: vec![],
        arguments: (0..graph.parameters.len()).map(Argument::Input).collect(),
        results: (0..graph.results.len()).map(ResultSlot::Output).collect(),
        graph,
    }
}

#[test]
fn running_combinations_by_halves_and_one_by_one_agree() {
    // matrices do not commute, and the middle axis of three is combined
    let scanned = |extent: Dim, reverse: bool| {
        let mut b = Builder::new();
        let two = || Dim::constant(2);
        let x = b.parameter("x", TensorType { dtype: DType::F64, shape: vec![Dim::constant(3), extent, two(), two()] });
        let x = x.unwrap();
        let options = AssociativeScanOptions { axis: 1, reverse };
        let multiply =
            DotGeneral { lhs_batch: vec![0, 1], rhs_batch: vec![0, 1], lhs_contract: vec![3], rhs_contract: vec![2] };
        let mut combine =
            |b: &mut Builder, x: &[Value], y: &[Value]| -> Traced { Ok(vec![b.add(multiply.clone(), &[x[0], y[0]])?]) };
        let results = b.associative_scan(&[x], &options, &mut combine).unwrap();
        b.finish(results)
    };
    for extent in [1usize, 2, 3, 4, 5, 7, 8, 13] {
        let elements = 3 * extent * 4;
        let values = (0..elements).map(|i| kc_ir::tensor::Scalar::Float(((i * 5 + 3) as f64).sin()));
        let argument = Literal::from_scalars(DType::F64, vec![3, extent, 2, 2], values);
        for reverse in [false, true] {
            let known = interpret(&scanned(Dim::from(extent), reverse), std::slice::from_ref(&argument)).unwrap();
            let unknown = interpret(&scanned(Dim::symbol("T"), reverse), std::slice::from_ref(&argument)).unwrap();
            assert_eq!(known[0].ty(), unknown[0].ty());
            let mut pairs = known[0].to_f64_vec().into_iter().zip(unknown[0].to_f64_vec());
            let is_close = |(a, b): (f64, f64)| (a - b).abs() <= 1e-12;
            assert!(pairs.all(is_close), "extent {extent}, reverse {reverse}");
        }
    }
}
