//! Choices and loops.

use super::{Case, between, case, small};
use kc_ir::tensor::ops::*;
use kc_ir::tensor::{Builder, Literal, Op, Scalar, ScanOptions, TypeError, Value};
use kc_ir::{DType, Dim};

/// The op with regions that is built last, of these operands.
fn built(operands: Vec<Literal>, build: impl FnOnce(&mut Builder, &[Value]) -> Result<(), TypeError>) -> Case {
    let mut b = Builder::new();
    let parameters: Vec<Value> = operands.iter().map(|operand| b.parameter("x", operand.ty()).unwrap()).collect();
    build(&mut b, &parameters).unwrap_or_else(|error| panic!("{error}"));
    let is_last = |node: &&kc_ir::tensor::Node| !node.op.operation().regions().is_empty();
    let graph = b.finish(vec![]);
    let node = graph.nodes.iter().rfind(is_last).expect("an op with regions");
    let position = |operand: &Value| match &graph.node(*operand).op {
        Op::Parameter(parameter) => parameter.index,
        op => panic!("{op:?} is read, expected parameters only"),
    };
    case(node.op.clone(), node.operands.iter().map(|operand| operands[position(operand)].clone()).collect())
}

fn integer(value: i128) -> Literal {
    Literal::scalar(DType::I32, Scalar::Int(value))
}

/// The cases of the op of that name.
pub fn cases(name: &str) -> Option<Vec<Case>> {
    Some(match name {
        "cond" => {
            let predicate = |holds: i128| Literal::scalar(DType::Bool, Scalar::Int(holds));
            // one branch uses one operand twice, the other both
            let choice = |holds: i128| {
                built(vec![predicate(holds), small(&[3]), between(&[3], 0.5, 2.0)], |b, x| {
                    let (p, x, y) = (x[0], x[1], x[2]);
                    let square = |b: &mut Builder| Ok::<_, TypeError>(vec![b.binary(Binary::Multiply, x, x)?, x]);
                    let other = |b: &mut Builder| Ok(vec![b.binary(Binary::Divide, x, y)?, b.unary(Unary::Exp, y)?]);
                    b.cond(p, square, other).map(drop)
                })
            };
            let switch = |index: i128| {
                built(vec![integer(index), small(&[2, 2])], |b, x| {
                    let y = x[1];
                    let function = |f: Unary| -> kc_ir::tensor::BranchTrace<'_, TypeError> {
                        Box::new(move |b: &mut Builder| Ok(vec![b.unary(f, y)?]))
                    };
                    b.switch(x[0], vec![function(Unary::Tanh), function(Unary::Sin), function(Unary::Exp)]).map(drop)
                })
            };
            vec![choice(1), choice(0), switch(-3), switch(1), switch(7)]
        }
        "while" => vec![
            // doubled until it is large: the condition reads what the body reads
            built(vec![small(&[3]), integer(0), between(&[3], 1.5, 2.0)], |b, x| {
                let factor = x[2];
                let condition = |b: &mut Builder, carried: &[Value]| {
                    let four = b.splat_like(4, carried[1])?;
                    b.compare(Compare::Less, carried[1], four)
                };
                let body = |b: &mut Builder, carried: &[Value]| {
                    let one = b.splat_like(1, carried[1])?;
                    let next = b.binary(Binary::Multiply, carried[0], factor)?;
                    Ok::<_, TypeError>(vec![next, b.binary(Binary::Add, carried[1], one)?])
                };
                b.while_loop(&x[..2], condition, body).map(drop)
            }),
            // no round; the carried values change places
            built(vec![small(&[3]), between(&[3], 2.0, 3.0), integer(9)], |b, x| {
                let index = x[2];
                let condition = |b: &mut Builder, _: &[Value]| {
                    let nine = b.splat_like(9, index)?;
                    b.compare(Compare::Less, index, nine)
                };
                let swap = |_: &mut Builder, carried: &[Value]| Ok::<_, TypeError>(vec![carried[1], carried[0]]);
                b.while_loop(&x[..2], condition, swap).map(drop)
            }),
            // until the first is the larger one: they change places
            built(vec![small(&[]), between(&[], 2.0, 3.0)], |b, x| {
                let less = |b: &mut Builder, carried: &[Value]| b.compare(Compare::Less, carried[0], carried[1]);
                let swap = |_: &mut Builder, carried: &[Value]| Ok::<_, TypeError>(vec![carried[1], carried[0]]);
                b.while_loop(x, less, swap).map(drop)
            }),
        ],
        "scan" => scans(),
        "remat" => vec![built(vec![small(&[2, 3]), small(&[3, 3])], |b, x| {
            let (x, w) = (x[0], x[1]);
            let body = |b: &mut Builder| {
                let product = b.matmul(x, w)?;
                let squashed = b.unary(Unary::Tanh, product)?;
                Ok::<_, TypeError>(vec![squashed, b.binary(Binary::Multiply, squashed, x)?])
            };
            b.remat(body).map(drop)
        })],
        // the true derivative, by a residual and an argument
        "custom_gradient" => vec![built(vec![small(&[3]), between(&[3], 0.5, 2.0)], |b, x| {
            let value = |b: &mut Builder, x: &[Value]| {
                let squashed = b.unary(Unary::Tanh, x[0])?;
                let product = b.binary(Binary::Multiply, squashed, x[1])?;
                Ok::<_, TypeError>((vec![product, squashed], vec![squashed, x[1]]))
            };
            let pullback = |b: &mut Builder, residuals: &[Value], cotangents: &[Value]| {
                let (squashed, factor) = (residuals[0], residuals[1]);
                let by_factor = b.binary(Binary::Multiply, cotangents[0], squashed)?;
                let scaled = b.binary(Binary::Multiply, cotangents[0], factor)?;
                let by_squashed = b.binary(Binary::Add, scaled, cotangents[1])?;
                let square = b.binary(Binary::Multiply, squashed, squashed)?;
                let one = b.splat_like(1.0, square)?;
                let slope = b.binary(Binary::Subtract, one, square)?;
                Ok(vec![b.binary(Binary::Multiply, by_squashed, slope)?, by_factor])
            };
            b.custom_gradient(&x[..2], value, pullback).map(drop)
        })],
        "optimization_barrier" => vec![case(OptimizationBarrier {}, vec![small(&[3]), small(&[2])])],
        _ => return None,
    })
}

fn scans() -> Vec<Case> {
    let reversed = |reverse| ScanOptions { reverse, ..Default::default() };
    // h' = tanh(x[t] W + h U + b), with h' and its square as outputs
    let recurrent = |reverse| {
        built(vec![small(&[2, 3]), small(&[4, 2, 5]), small(&[5, 3]), small(&[3, 3]), small(&[3])], |b, x| {
            let (kernel, recurrent, bias) = (x[2], x[3], x[4]);
            let body = |b: &mut Builder, carried: &[Value], elements: &[Value]| {
                let (input, own) = (b.matmul(elements[0], kernel)?, b.matmul(carried[0], recurrent)?);
                let sum = b.binary(Binary::Add, input, own)?;
                let sum = b.binary(Binary::Add, sum, bias)?;
                let next = b.unary(Unary::Tanh, sum)?;
                Ok::<_, TypeError>((vec![next], vec![next, b.binary(Binary::Multiply, next, next)?]))
            };
            b.scan(&x[..1], &x[1..2], &reversed(reverse), body).map(drop)
        })
    };
    // an update in place, and a value that the body only passes on
    let sums = built(vec![small(&[3]), small(&[3]), small(&[5, 3])], |b, x| {
        let body = |b: &mut Builder, carried: &[Value], elements: &[Value]| {
            let scaled = b.binary(Binary::Multiply, elements[0], carried[1])?;
            Ok::<_, TypeError>((vec![b.binary(Binary::Add, carried[0], scaled)?, carried[1]], vec![]))
        };
        b.scan(&x[..2], &x[2..], &reversed(false), body).map(drop)
    });
    // carried values that change places; outputs that are what is carried, an element, what is read, and a constant
    let swap = |length: i64| {
        built(vec![small(&[2]), between(&[2], 2.0, 3.0), small(&[length as usize, 2]), small(&[])], |b, x| {
            let read = x[3];
            let body = |b: &mut Builder, carried: &[Value], elements: &[Value]| {
                let one = b.splat_like(1.0, read)?;
                let outputs = vec![carried[0], elements[0], read, one];
                Ok::<_, TypeError>((vec![carried[1], carried[0]], outputs))
            };
            b.scan(&x[..2], &x[2..3], &reversed(false), body).map(drop)
        })
    };
    // a number of rounds, and nothing that is carried along
    let rounds = built(vec![small(&[2])], |b, x| {
        let read = x[0];
        let options = ScanOptions { length: Some(Dim::constant(3)), reverse: false };
        let body = |b: &mut Builder, _: &[Value], _: &[Value]| {
            Ok::<_, TypeError>((vec![], vec![b.binary(Binary::Multiply, read, read)?]))
        };
        b.scan(&[], &[], &options, body).map(drop)
    });
    // a scan over the rows of a scan over matrices, whose inner loop reads what the outer one carries; and a choice in it
    let nested = built(vec![small(&[2]), small(&[3, 4, 2])], |b, x| {
        let outer = |b: &mut Builder, carried: &[Value], elements: &[Value]| {
            let factor = carried[0];
            let inner = |b: &mut Builder, carried: &[Value], elements: &[Value]| {
                let product = b.binary(Binary::Multiply, carried[0], factor)?;
                let next = b.binary(Binary::Add, product, elements[0])?;
                let sum = b.reduce(Reduction::Sum, &[0], next)?;
                let zero = b.splat_like(0.0, sum)?;
                let positive = b.compare(Compare::Greater, sum, zero)?;
                let next = b.cond(
                    positive,
                    |b| Ok::<_, TypeError>(vec![b.unary(Unary::Tanh, next)?]),
                    |b| Ok(vec![b.unary(Unary::Sin, next)?]),
                )?;
                Ok::<_, TypeError>((next.clone(), next))
            };
            let scanned = b.scan(&[carried[0]], &elements[..1], &reversed(true), inner)?;
            Ok::<_, TypeError>((scanned.carried, scanned.outputs))
        };
        b.scan(&x[..1], &x[1..], &reversed(false), outer).map(drop)
    });
    vec![recurrent(false), recurrent(true), sums, swap(3), swap(4), swap(1), rounds, nested]
}
