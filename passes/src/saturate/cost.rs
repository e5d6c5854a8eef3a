//! The cost model: a roofline over memory traffic, operations and kernel launches.

use crate::target::NOMINAL_EXTENT;
use crate::{CostConstants, Target, WinogradCost};
use kc_ir::tensor::composites::{Composite, SPAN, TILE, WinogradConvolution};
use kc_ir::tensor::operations::{self, Executed};
use kc_ir::tensor::ops::CustomCall;
use kc_ir::tensor::{Builder, Graph, Op, Region, Type};
use kc_ir::{DType, Dim, TensorType};

/// The share of its traffic that an elementwise op pays: scheduling computes it inside of the kernel that makes its operand or
/// takes its result.
const FUSED_TRAFFIC: f64 = 0.1;

/// Nanoseconds of any op at all, so that of two equal costs the one of fewer ops is taken.
const OP: f64 = 0.5;

/// Operations of sorting, an element.
const SORTING: f64 = 40.0;

/// What ops cost on a machine, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CostModel {
    /// The machine's constants.
    pub constants: CostConstants,
    /// The extent that a symbol such as the batch size is taken to have.
    pub extent: i64,
    /// Whether there are kernels of convolutions by tiles.
    pub convolves_by_tiles: bool,
    /// Products of bf16 in the time of one of f32.
    pub bf16_at_once: f64,
}

/// What an op does: operations and how they are computed.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    contraction: f64,
    elementwise: f64,
    exponentials: f64,
    /// Whether it is the root of a kernel; else it is fused into one.
    root: bool,
    /// Whether its result's elements are not at its operand's places, so that they must be moved.
    moves: bool,
}

impl CostModel {
    /// The model of a target, with the nominal extent for symbols.
    pub fn new(target: &Target) -> Self {
        CostModel {
            constants: target.cost,
            extent: NOMINAL_EXTENT,
            convolves_by_tiles: target.convolves_by_tiles(),
            bf16_at_once: target.products_at_once(DType::Bf16) as f64,
        }
    }

    /// Cost of all nodes of a graph.
    pub fn graph(&self, graph: &Graph) -> f64 {
        graph
            .nodes
            .iter()
            .map(|node| {
                let operands: Vec<&Type> = node.operands.iter().map(|&operand| &graph.node(operand).ty).collect();
                self.op(&node.op, &operands, &node.ty)
            })
            .sum()
    }

    /// Cost of an op.
    pub fn op(&self, op: &Op, operands: &[&Type], result: &Type) -> f64 {
        if matches!(op, Op::Parameter(_) | Op::Constant(_) | Op::Dimension(_) | Op::Projection(_)) {
            return 0.0;
        }
        if let Some(cost) = self.regions(op) {
            return OP + cost;
        }
        if let Op::Composite(Composite::WinogradConvolution(tiled)) = op {
            return OP + self.by_tiles(tiled, operands, result);
        }
        let work = self.work(op, operands, result);
        let c = &self.constants;
        let operations = work.contraction / c.contraction_flops_per_nanosecond
            + work.elementwise / c.elementwise_operations_per_nanosecond
            + work.exponentials / c.exponentials_per_nanosecond;
        let read: f64 = operands.iter().map(|ty| self.bytes(ty)).sum();
        let written = self.bytes(result);
        let cost = if work.root {
            c.launch_nanoseconds + operations.max((read + written) / c.bytes_per_nanosecond)
        } else if work.moves {
            (read + written) / c.bytes_per_nanosecond
        } else {
            operations + FUSED_TRAFFIC * written / c.bytes_per_nanosecond
        };
        OP + cost
    }

    /// The cost of a convolution by tiles, which reads larger filters than the direct one does: where the batch is unknown it may be a
    /// single image, and what the direct one costs counts by the worse of both ratios.
    fn by_tiles(&self, tiled: &WinogradConvolution, operands: &[&Type], result: &Type) -> f64 {
        let c = &self.constants;
        let WinogradCost { products: share, transform } = c.winograd;
        let (Some(result), Some(images)) = (result.as_tensor(), operands.first().and_then(|ty| ty.as_tensor())) else {
            return f64::MAX;
        };
        let Some(filters) = operands.get(1).map(|ty| self.bytes(ty)) else { return f64::MAX };
        let (channels, features) = (self.extent(&images.shape[3]), tiled.features as f64);
        let costs = |extent: i64| {
            let model = CostModel { extent, ..*self };
            let moved = (model.elements(images) + model.elements(result)) * images.dtype.bytes() as f64;
            let tiles: f64 = model.extent(&result.shape[0])
                * result.shape[1..3].iter().map(|n| model.extent(&n.ceil_div(TILE))).product::<f64>();
            let direct = 18.0 * model.elements(result) * channels / c.contraction_flops_per_nanosecond;
            let products = (2 * SPAN * SPAN) as f64 * channels * features / share + transform * (channels + features);
            let read = |filters: f64| (moved + filters) / c.bytes_per_nanosecond;
            [
                c.launch_nanoseconds + direct.max(read(filters * 9.0 / 16.0)),
                c.launch_nanoseconds + (tiles * products / c.contraction_flops_per_nanosecond).max(read(filters)),
            ]
        };
        let [direct, _] = costs(self.extent);
        let ratio = |extent: i64| {
            let [direct, tiled] = costs(extent);
            tiled / direct
        };
        // without a kernel its body is many
        let ratio = if self.convolves_by_tiles { ratio(self.extent).max(ratio(1)) } else { 100.0 };
        direct * ratio
    }

    /// Whether scheduling computes an op inside of the kernel that takes its result.
    pub fn is_fused(&self, op: &Op, operands: &[&Type], result: &Type) -> bool {
        let work = self.work(op, operands, result);
        !work.root && !work.moves && work.elementwise + work.exponentials > 0.0
    }

    /// Whether an op reads its operands many times, so that what is fused elsewhere is written for it.
    pub fn contracts(op: &Op) -> bool {
        matches!(op, Op::DotGeneral(_) | Op::Convolution(_))
    }

    /// What writing a value costs that is otherwise not kept.
    pub fn written(&self, ty: &Type) -> f64 {
        self.bytes(ty) / self.constants.bytes_per_nanosecond
    }

    /// The cost of what an op with regions executes.
    fn regions(&self, op: &Op) -> Option<f64> {
        let of = |region: &Region| self.graph(region.graph());
        match op {
            Op::Cond(cond) => Some(cond.branches.iter().map(of).fold(0.0, f64::max)),
            Op::While(this) => Some((of(&this.condition) + of(&this.body)) * self.extent as f64),
            Op::Scan(scan) => Some(of(&scan.body) * self.extent(&scan.length)),
            Op::Remat(remat) => Some(of(&remat.body)),
            Op::CustomGradient(custom) => Some(of(&custom.value)),
            _ => None,
        }
    }

    fn extent(&self, dim: &Dim) -> f64 {
        dim.evaluate(&|_| Some(self.extent)).unwrap_or(self.extent).max(0) as f64
    }

    fn elements(&self, ty: &TensorType) -> f64 {
        ty.shape.iter().map(|dim| self.extent(dim)).product()
    }

    fn bytes(&self, ty: &Type) -> f64 {
        let of = |ty: &TensorType| self.elements(ty) * ty.dtype.bytes() as f64;
        match ty {
            Type::Tensor(ty) => of(ty),
            Type::Tuple(types) => types.iter().map(of).sum(),
        }
    }

    /// Extents of the vector or matrix that a library function works on.
    fn inner(&self, call: &CustomCall, operand: Option<&TensorType>) -> Vec<f64> {
        let shape = operand.map_or(&[][..], |ty| &ty.shape);
        shape.iter().rev().take(call.function.inner_rank()).map(|dim| self.extent(dim)).collect()
    }

    fn work(&self, op: &Op, operands: &[&Type], result: &Type) -> Work {
        let elements = result.as_tensor().map_or(0.0, |ty| self.elements(ty));
        let operand = |position: usize| operands.get(position).and_then(|ty| ty.as_tensor());
        let given = operand(0).map_or(0.0, |ty| self.elements(ty));
        let at_once = if operand(0).is_some_and(|ty| ty.dtype == DType::Bf16) { self.bf16_at_once } else { 1.0 };
        let elementwise = |operations: f64| Work { elementwise: operations, ..Work::default() };
        let executed = |each: Executed| match each {
            Executed::Operations(count) => elementwise(elements * count),
            Executed::Exponentials(count) => Work { exponentials: elements * count, ..Work::default() },
        };
        let root = |operations: f64| Work { elementwise: operations, root: true, ..Work::default() };
        match op {
            Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select(_) | Op::Convert(_) => {
                operations::elementwise(op).map_or_else(Work::default, executed)
            }
            Op::Iota(_) => elementwise(elements),
            // twenty rounds for two words
            Op::RandomBits(_) => elementwise(elements * 60.0),
            Op::Slice(_) | Op::Pad(_) | Op::Reverse(_) | Op::Gather(_) => elementwise(elements),
            Op::Scatter(_) => root(operand(2).map_or(0.0, |ty| self.elements(ty))),
            Op::Broadcast(_) | Op::Reshape(_) | Op::BitcastConvert(_) | Op::StopGradient(_) => Work::default(),
            Op::Transpose(_) | Op::Concatenate(_) => Work { moves: true, ..Work::default() },
            Op::Reduce(_) | Op::ArgReduce(_) => root(given),
            Op::Cumulative(_) | Op::Recurrence(_) => root(given),
            Op::DotGeneral(contraction) => {
                let summed = operand(0).map_or(0.0, |ty| {
                    contraction
                        .lhs_contract
                        .iter()
                        .filter_map(|&axis| ty.shape.get(axis))
                        .map(|dim| self.extent(dim))
                        .product()
                });
                Work { contraction: 2.0 * elements * summed / at_once, root: true, ..Work::default() }
            }
            Op::Convolution(convolution) => {
                let features = operand(1).map_or(1.0, |ty| self.extent(&ty.shape[convolution.axes.rhs[0]]));
                let kernel = operand(1).map_or(0.0, |ty| self.elements(ty));
                let operations = 2.0 * elements * kernel / features.max(1.0);
                Work { contraction: operations / at_once, root: true, ..Work::default() }
            }
            Op::ReduceWindow(reduce) => root(elements * reduce.window.size.iter().product::<i64>() as f64),
            Op::SelectAndScatter(scatter) => root(
                operand(1).map_or(0.0, |ty| self.elements(ty)) * scatter.window.size.iter().product::<i64>() as f64,
            ),
            Op::Sort(_) | Op::TopK(_) => root(given * SORTING),
            Op::CustomCall(call) => root(given * operations::library(call.function, &self.inner(call, operand(0)))),
            Op::Composite(composite) => self.composite(composite.composition(), operands),
            Op::Parameter(_) | Op::Constant(_) | Op::Dimension(_) | Op::Projection(_) => Work::default(),
            Op::Gradient(_) => root(0.0),
            Op::Cond(_) | Op::While(_) | Op::Scan(_) | Op::Remat(_) | Op::CustomGradient(_) => Work::default(),
            Op::OptimizationBarrier(_) => Work::default(),
        }
    }

    /// The work of a composite is its body's, in one kernel.
    fn composite(&self, composition: &dyn kc_ir::tensor::composites::Composition, operands: &[&Type]) -> Work {
        let mut builder = Builder::new();
        let parameters = operands
            .iter()
            .filter_map(|ty| builder.parameter("operand", ty.as_tensor()?.clone()).ok())
            .collect::<Vec<_>>();
        if composition.body(&mut builder, &parameters).is_err() {
            return Work { root: true, ..Work::default() };
        }
        let graph = builder.graph();
        graph.nodes.iter().fold(Work::default(), |sum, node| {
            let operands: Vec<&Type> = node.operands.iter().map(|&operand| &graph.node(operand).ty).collect();
            let work = self.work(&node.op, &operands, &node.ty);
            Work {
                contraction: sum.contraction + work.contraction,
                elementwise: sum.elementwise + work.elementwise,
                exponentials: sum.exponentials + work.exponentials,
                root: sum.root || work.root,
                moves: false,
            }
        })
    }
}
