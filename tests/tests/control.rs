//! Loops and choices on every way of executing a graph, for several lengths and batch sizes.

use kc_codegen::eager::Eager;
use kc_ir::manifest::{Input, InputRole, Output};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::text::print_module;
use kc_ir::tensor::{
    Argument, Builder, Function, Literal, Module, ResultSlot, Scalar, ScanOptions, TypeError, Value, interpret,
};
use kc_ir::{DType, Dim, Symbol, TensorType};
use kc_passes::differentiate;
use kc_runtime::{Array, SessionOptions};
use kc_tests::arrays::{array, literal};
use kc_tests::runner::{self, Runner};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A network: its parameters' types, and its results.
struct Network {
    name: &'static str,
    parameters: Vec<TensorType>,
    build: fn(&mut Builder, &[Value]) -> Result<Vec<Value>, TypeError>,
}

fn f32s(shape: &[&str]) -> TensorType {
    TensorType { dtype: DType::F32, shape: shape.iter().map(|dim| dim.parse().expect("a dimension")).collect() }
}

/// `i, f, g, o = x W + h U + b` as Keras orders them: `c' = f*c + i*g`, `h' = o * tanh(c')`.
fn lstm_cell(b: &mut Builder, [x, h, c]: [Value; 3], [w, u, bias]: [Value; 3]) -> Result<[Value; 2], TypeError> {
    let (input, own) = (b.matmul(x, w)?, b.matmul(h, u)?);
    let gates = b.binary(Binary::Add, input, own)?;
    let gates = b.binary(Binary::Add, gates, bias)?;
    let shape = b.tensor_type(c).shape.clone();
    let units = shape[1].clone();
    let mut gate = |number: i64, function: Unary| {
        let start = units.clone() * Dim::constant(number);
        let slice = Slice {
            start: vec![Dim::default(), start.clone()],
            limit: vec![shape[0].clone(), start + units.clone()],
            stride: vec![1, 1],
        };
        let part = b.add(slice, &[gates])?;
        b.unary(function, part)
    };
    let [i, f, o] = [gate(0, Unary::Logistic)?, gate(1, Unary::Logistic)?, gate(3, Unary::Logistic)?];
    let g = gate(2, Unary::Tanh)?;
    let kept = b.binary(Binary::Multiply, f, c)?;
    let new = b.binary(Binary::Multiply, i, g)?;
    let c = b.binary(Binary::Add, kept, new)?;
    let squashed = b.unary(Unary::Tanh, c)?;
    Ok([b.binary(Binary::Multiply, o, squashed)?, c])
}

/// The sequence of an LSTM's outputs, and its last states.
fn lstm(b: &mut Builder, p: &[Value]) -> Result<Vec<Value>, TypeError> {
    let (sequence, weights) = (p[0], [p[1], p[2], p[3]]);
    // time first
    let sequence = b.transpose(sequence, &[1, 0, 2])?;
    let shape = b.tensor_type(sequence).shape.clone();
    let units = b.tensor_type(weights[1]).shape[0].clone();
    let zero = b.splat(DType::F32, 0.0, &[shape[1].clone(), units])?;
    let scanned = b.scan(&[zero, zero], &[sequence], &ScanOptions::default(), |b, carried, elements| {
        let [h, c] = lstm_cell(b, [elements[0], carried[0], carried[1]], weights)?;
        Ok::<_, TypeError>((vec![h, c], vec![h]))
    })?;
    let outputs = b.transpose(scanned.outputs[0], &[1, 0, 2])?;
    Ok(vec![outputs, scanned.carried[0], scanned.carried[1]])
}

fn networks() -> Vec<Network> {
    vec![
        Network {
            name: "lstm",
            parameters: vec![f32s(&["B", "T", "5"]), f32s(&["5", "12"]), f32s(&["3", "12"]), f32s(&["12"])],
            build: lstm,
        },
        Network {
            name: "the derivatives of an lstm by its sequence and its weights",
            parameters: vec![f32s(&["B", "T", "5"]), f32s(&["5", "12"]), f32s(&["3", "12"]), f32s(&["12"])],
            build: |b, p| {
                let results = lstm(b, p)?;
                let square = b.binary(Binary::Multiply, results[0], results[0])?;
                let sum = b.reduce(Reduction::Sum, &[0, 1, 2], square)?;
                let last = b.reduce(Reduction::Sum, &[0, 1], results[2])?;
                let sum = b.binary(Binary::Add, sum, last)?;
                let gradient = b.add(Gradient {}, &[&[sum], p].concat())?;
                Ok([results, b.projections(gradient)?].concat())
            },
        },
        Network {
            name: "running sums in both directions, one loop in the other's outputs",
            parameters: vec![f32s(&["T", "B"])],
            build: |b, p| {
                let zero = b.splat(DType::F32, 0.0, &[Dim::symbol("B")])?;
                let mut results = vec![p[0]];
                for reverse in [false, true] {
                    let options = ScanOptions { reverse, ..Default::default() };
                    let scanned =
                        b.scan(&[zero], &[results[results.len() - 1]], &options, |b, carried, elements| {
                            let half = b.splat_like(0.5, carried[0])?;
                            let kept = b.binary(Binary::Multiply, carried[0], half)?;
                            let next = b.binary(Binary::Add, kept, elements[0])?;
                            Ok::<_, TypeError>((vec![next], vec![next]))
                        })?;
                    results.push(scanned.outputs[0]);
                    results.push(scanned.carried[0]);
                    results.push(scanned.outputs[0]);
                }
                Ok(results.split_off(1))
            },
        },
        Network {
            name: "carried values that change places, twice the value and a count",
            parameters: vec![f32s(&["B"]), f32s(&["B"]), f32s(&["T", "B"])],
            build: |b, p| {
                let count = b.constant(Literal::scalar(DType::I32, 0))?;
                let scanned =
                    b.scan(&[p[0], p[1], count], &p[2..], &ScanOptions::default(), |b, carried, elements| {
                        let one = b.splat_like(1, carried[2])?;
                        let next = b.binary(Binary::Subtract, elements[0], carried[0])?;
                        let count = b.binary(Binary::Add, carried[2], one)?;
                        Ok::<_, TypeError>((vec![carried[1], next, count], vec![carried[0], count]))
                    })?;
                Ok([scanned.carried, scanned.outputs].concat())
            },
        },
        Network {
            name: "a loop of as many rounds as the data say, with a choice in it",
            parameters: vec![f32s(&["B", "4"]), f32s(&["4", "4"])],
            build: |b, p| {
                let zero = b.constant(Literal::scalar(DType::I32, 0))?;
                b.while_loop(
                    &[p[0], zero],
                    |b, carried| {
                        let magnitude = b.unary(Unary::Abs, carried[0])?;
                        let largest = b.reduce(Reduction::Max, &[0, 1], magnitude)?;
                        let hundred = b.splat_like(100.0, largest)?;
                        let small = b.compare(Compare::Less, largest, hundred)?;
                        let twenty = b.splat_like(20, carried[1])?;
                        let early = b.compare(Compare::Less, carried[1], twenty)?;
                        b.binary(Binary::And, small, early)
                    },
                    |b, carried| {
                        let one = b.splat_like(1, carried[1])?;
                        let three = b.splat_like(3, carried[1])?;
                        let rest = b.binary(Binary::Remainder, carried[1], three)?;
                        let (x, w) = (carried[0], p[1]);
                        let next = b.switch(
                            rest,
                            vec![
                                Box::new(|b: &mut Builder| Ok(vec![b.matmul(x, w)?])),
                                Box::new(|b: &mut Builder| Ok(vec![b.binary(Binary::Add, x, x)?])),
                                Box::new(|_: &mut Builder| Ok(vec![x])),
                            ],
                        )?;
                        Ok::<_, TypeError>(vec![next[0], b.binary(Binary::Add, carried[1], one)?])
                    },
                )
            },
        },
        Network {
            name: "loops in loops: rows of a matrix, and a stack of matrices",
            parameters: vec![f32s(&["B", "T", "3"]), f32s(&["3"])],
            build: |b, p| {
                let scanned = b.scan(&[p[1]], &p[..1], &ScanOptions::default(), |b, carried, elements| {
                    let outer = carried[0];
                    let options = ScanOptions { reverse: true, ..Default::default() };
                    let inner = b.scan(&[outer], &elements[..1], &options, |b, carried, elements| {
                        let sum = b.binary(Binary::Add, carried[0], elements[0])?;
                        let next = b.binary(Binary::Add, sum, outer)?;
                        let next = b.unary(Unary::Tanh, next)?;
                        Ok::<_, TypeError>((vec![next], vec![sum, outer]))
                    })?;
                    Ok::<_, TypeError>((inner.carried, inner.outputs))
                })?;
                Ok([scanned.carried, scanned.outputs].concat())
            },
        },
        Network {
            name: "derivatives through a loop with a choice in a loop",
            parameters: vec![f32s(&["B", "T", "3"]), f32s(&["3"]), f32s(&["3"])],
            build: |b, p| {
                let w = p[2];
                let scanned = b.scan(&[p[1]], &p[..1], &ScanOptions::default(), |b, carried, elements| {
                    let outer = carried[0];
                    let inner = b.scan(&[outer], &elements[..1], &ScanOptions::default(), |b, carried, elements| {
                        let (x, h) = (elements[0], carried[0]);
                        let sum = b.reduce(Reduction::Sum, &[0], x)?;
                        let zero = b.splat_like(0.0, sum)?;
                        let positive = b.compare(Compare::Greater, sum, zero)?;
                        let scaled = b.cond(
                            positive,
                            |b| {
                                let product = b.binary(Binary::Multiply, h, w)?;
                                Ok::<_, TypeError>(vec![b.unary(Unary::Tanh, product)?])
                            },
                            |b| Ok(vec![b.binary(Binary::Add, h, outer)?]),
                        )?;
                        let next = b.binary(Binary::Add, scaled[0], x)?;
                        Ok::<_, TypeError>((vec![next], vec![scaled[0]]))
                    })?;
                    let half = b.splat_like(0.5, outer)?;
                    let next = b.binary(Binary::Multiply, inner.carried[0], half)?;
                    Ok::<_, TypeError>((vec![next], inner.outputs))
                })?;
                let square = b.binary(Binary::Multiply, scanned.outputs[0], scanned.outputs[0])?;
                let sum = b.reduce(Reduction::Sum, &[0, 1, 2], square)?;
                let last = b.reduce(Reduction::Sum, &[0], scanned.carried[0])?;
                let sum = b.binary(Binary::Add, sum, last)?;
                let gradient = b.add(Gradient {}, &[&[sum], p].concat())?;
                b.projections(gradient)
            },
        },
        Network {
            name: "indices, and a function of each element",
            parameters: vec![f32s(&["T", "2"]), f32s(&["2"])],
            build: |b, p| {
                let sums = b.fori_loop((2, DType::I32), Dim::symbol("T"), &p[1..], |b, index, carried| {
                    let index = b.convert(DType::F32, index)?;
                    Ok::<_, TypeError>(vec![b.binary(Binary::Add, carried[0], index)?])
                })?;
                let mapped = b.map(&p[..1], |b, elements| {
                    let product = b.binary(Binary::Multiply, elements[0], p[1])?;
                    Ok::<_, TypeError>(vec![b.reduce(Reduction::Sum, &[0], product)?])
                })?;
                Ok([sums, mapped].concat())
            },
        },
    ]
}

fn module(network: &Network) -> Module {
    let mut b = Builder::new();
    let parameters: Vec<Value> = network
        .parameters
        .iter()
        .enumerate()
        .map(|(i, ty)| b.parameter(&format!("x{i}"), ty.clone()).expect("a parameter"))
        .collect();
    let results = (network.build)(&mut b, &parameters).unwrap_or_else(|error| panic!("{}: {error}", network.name));
    let graph = b.finish(results);
    let input = |(i, ty): (usize, &TensorType)| Input {
        name: format!("x{i}"),
        role: InputRole::Feature,
        ty: ty.clone(),
        checks: vec![],
    };
    let output = |(i, &value): (usize, &Value)| Output { name: format!("y{i}"), ty: graph.tensor_type(value).clone() };
    let function = Function {
        name: "call".into(),
        inputs: network.parameters.iter().enumerate().map(input).collect(),
        outputs: graph.results.iter().enumerate().map(output).collect(),
        arguments: (0..parameters.len()).map(Argument::Input).collect(),
        results: (0..graph.results.len()).map(ResultSlot::Output).collect(),
        graph,
    };
    Module { functions: vec![function], ..Module::default() }
}

/// Numbers between -1 and 1 that look random.
fn sample(ty: &TensorType, extents: &dyn Fn(&Symbol) -> Option<i64>, salt: usize) -> Literal {
    let shape: Vec<usize> = ty.shape.iter().map(|dim| dim.evaluate(extents).expect("known") as usize).collect();
    let value = |i: usize| ((i * 7 + salt * 13) as f64 * 12.9898).sin() * 0.9;
    let elements = shape.iter().product();
    Literal::from_scalars(ty.dtype, shape, (0..elements).map(|i| Scalar::Float(value(i))).collect::<Vec<_>>())
}

#[test]
fn every_runner_computes_what_the_interpreter_does() {
    let mut failures = vec![];
    for network in networks() {
        let module = module(&network);
        let function = &module.functions[0];
        let graph = differentiate(&function.graph).expect("a graph that can be differentiated");
        for runner in Runner::common() {
            if let Some(reason) = runner.unavailable() {
                eprintln!("{} is skipped: {reason}", runner.name());
                continue;
            }
            let mut execution = match runner.load(&module, 2) {
                Ok(execution) => execution,
                Err(error) => {
                    failures.push(format!("{}, {}: {error}\n{}", network.name, runner.name(), print_module(&module)));
                    continue;
                }
            };
            for (batch, length) in [(3, 4), (1, 1), (5, 7), (2, 1)] {
                let extents = |symbol: &Symbol| Some(if *symbol.0 == *"B" { batch } else { length });
                let inputs: Vec<Literal> =
                    function.inputs.iter().zip(1..).map(|(input, salt)| sample(&input.ty, &extents, salt)).collect();
                let expected = interpret(&graph, &inputs).unwrap_or_else(|error| panic!("{}: {error}", network.name));
                let arrays: Vec<Array> = inputs.iter().map(array).collect();
                let place = format!("{}, {}, batch {batch}, length {length}", network.name, runner.name());
                let outputs = match execution.run("call", &arrays.iter().collect::<Vec<_>>()) {
                    Ok(outputs) => outputs,
                    Err(error) => {
                        failures.push(format!("{place}: {error}"));
                        continue;
                    }
                };
                for (number, (ours, right)) in outputs.iter().map(literal).zip(&expected).enumerate() {
                    let pairs = ours.to_f64_vec().into_iter().zip(right.to_f64_vec());
                    let is_close = |(ours, right): (f64, f64)| (ours - right).abs() <= 3e-6 * (1.0 + right.abs());
                    let wrong = pairs.map(is_close).filter(|close| !close).count();
                    if ours.ty() != right.ty() || wrong > 0 {
                        let (ours_text, right) = (ours.to_f64_vec(), right.to_f64_vec());
                        failures
                            .push(format!("{place}: output {number} {}: {ours_text:?}, expected {right:?}", ours.ty()));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The op-by-op dispatch counts the rounds of its loops as a session does.
#[test]
fn a_loop_without_an_end_is_ended_op_by_op() {
    let build = |b: &mut Builder, x: &[Value]| {
        let less = |b: &mut Builder, carried: &[Value]| {
            let largest = b.reduce(Reduction::Max, &[0], carried[0])?;
            let hundred = b.splat_like(100.0, largest)?;
            b.compare(Compare::Less, largest, hundred)
        };
        let double = |b: &mut Builder, carried: &[Value]| {
            Ok::<_, TypeError>(vec![b.binary(Binary::Add, carried[0], carried[0])?])
        };
        b.while_loop(x, less, double)
    };
    let module = module(&Network { name: "loop", parameters: vec![f32s(&["2"])], build });
    let flag = Arc::new(AtomicBool::new(false));
    let options =
        SessionOptions { threads: 1, round_limit: Some(7), interrupt: Some(flag.clone()), ..SessionOptions::default() };
    let backend = runner::cranelift().expect("the host has code");
    let mut eager = Eager::new(module, backend, options).expect("it is there");
    let mut run = |x: f32| eager.run("call", &[&Array::from_slice(&[x, x], &[2]).expect("two numbers")]);
    assert_eq!(run(1.0).expect("7 rounds")[0].as_slice::<f32>().expect("floats"), [128.0, 128.0]);
    let message = run(0.0).expect_err("there is no end").to_string();
    assert_eq!(
        message,
        "the `while` loops of `call` take more than 7 rounds, which is the session's limit; mend the condition that does not end \
         them, or allow more rounds"
    );
    flag.store(true, Ordering::Relaxed);
    assert_eq!(run(1.0).expect_err("it is interrupted").to_string(), "`call` was interrupted in a `while` loop");
}
