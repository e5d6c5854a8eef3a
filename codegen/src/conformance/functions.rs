//! Every basic function, of every dtype, in several numbers of lanes, on special values.

use super::Subject;
use super::compare::{Case, describe};
use kc_ir::DType;
use kc_ir::kernel::{
    Access, Index, Instruction, Kernel, KernelBuilder, Register, RegisterType, is_basic, is_basic_binary,
};
use kc_ir::tensor::ops::{Binary, Compare, Reduction, Unary};
use kc_ir::tensor::{Literal, Scalar, integer_range};

/// Numbers of lanes: a scalar, less than 128 bits, 128 bits, more.
const LANES: [u32; 5] = [1, 2, 4, 8, 32];

/// Compares every function of those dtypes with the interpreter; an error is the text of the first failures.
pub fn run(backend: &dyn Subject, dtypes: &[DType]) -> Result<(), String> {
    let mut failures = Vec::new();
    for &dtype in dtypes {
        let cases: Vec<Case> =
            LANES.iter().flat_map(|&lanes| cases(dtype, lanes)).filter(|case| backend.takes(&case.kernel)).collect();
        let kernels: Vec<Kernel> = cases.iter().map(|case| case.kernel.clone()).collect();
        let loaded = match backend.load(&kernels) {
            Ok(loaded) => loaded,
            Err(error) => {
                failures.push(format!("functions of {dtype}: {error}"));
                continue;
            }
        };
        for (number, case) in cases.iter().enumerate() {
            let result =
                case.interpreted(backend.rounding()).and_then(|expected| case.compare(&*loaded, number, &expected));
            if let Err(error) = result {
                failures.push(format!("{error}\n{}", describe(case)));
            }
        }
    }
    const SHOWN: usize = 5;
    if failures.is_empty() {
        return Ok(());
    }
    let count = failures.len();
    failures.truncate(SHOWN);
    Err(format!("{}: {count} functions differ\n{}", backend.name(), failures.join("\n")))
}

/// Zeros, ones, extremes, what lies at the edges of rounding and of conversion; of floats also infinities, NaN and subnormals.
pub(super) fn special_values(dtype: DType) -> Vec<Scalar> {
    if dtype == DType::Bool {
        return vec![Scalar::Int(0), Scalar::Int(1)];
    }
    if !dtype.is_float() {
        let (low, high) = integer_range(dtype);
        let mut values =
            vec![0, 1, 2, 3, 7, 100, 127, 128, 255, 256, 32767, 65535, low, low + 1, high / 2, high - 1, high];
        values.extend([-1i128, -2, -100, (1 << 24) + 1, (1 << 53) + 1, 0x5555_5555_5555_5555]);
        values.retain(|value| (low..=high).contains(value));
        return values.into_iter().map(Scalar::Int).collect();
    }
    let mut values =
        vec![0.0, 1.0, 0.5, 1.5, 2.5, 3.0, 0.1, 255.5, 1e-3, 65504.0, 65520.0, 1e5, 2147483648.0, 4294967295.0];
    values.extend([9223372036854775808.0, 1.8446744073709552e19, 16777217.0, f64::INFINITY, 127.5, 32768.0]);
    values.extend([
        1.0 + 2f64.powi(-8),
        1.0 + 2f64.powi(-11),
        1.0 + 2f64.powi(-24),
        1.0 + 2f64.powi(-11) + 2f64.powi(-30),
    ]);
    values.extend(match dtype {
        DType::F64 => [f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e-310, 3.4028235677973366e38, 1e300],
        DType::F16 => [65504.0, 6.104e-5, 6e-8, 1e-7, 3e-6, 0.333],
        _ => [f32::MAX.into(), f32::MIN_POSITIVE.into(), 1e-45, 1e-40, 6e-8, 5.96e-8],
    });
    let negative: Vec<f64> = values.iter().map(|x| -x).collect();
    values.extend(negative);
    values.push(f64::NAN);
    values.into_iter().map(Scalar::Float).collect()
}

fn bytes(dtype: DType, values: &[Scalar]) -> Vec<u8> {
    values.iter().flat_map(|&value| Literal::scalar(dtype, value).bytes().to_vec()).collect()
}

/// A kernel that loads `lanes` elements of each operand a task, applies `body` and stores the result.
fn elementwise(
    name: &str,
    lanes: u32,
    operands: &[(DType, Vec<Scalar>)],
    result: RegisterType,
    body: impl FnOnce(&mut KernelBuilder, &[Register]) -> Register,
) -> Case {
    let mut builder = KernelBuilder::new(name);
    let elements = operands.first().map_or(0, |(_, values)| values.len()).next_multiple_of(lanes as usize);
    let mut buffers = Vec::new();
    let mut inputs = Vec::new();
    for (number, (dtype, values)) in operands.iter().enumerate() {
        inputs.push(builder.parameter(&format!("x{number}"), *dtype, Access::Read));
        let values: Vec<Scalar> = values.iter().copied().cycle().take(elements).collect();
        buffers.push(bytes(*dtype, &values));
    }
    let output = builder.parameter("y", result.dtype, Access::Write);
    let tasks = elements / lanes as usize;
    buffers.push(vec![0xcc; tasks * result.lanes as usize * result.dtype.bytes()]);
    let position = |lanes: u32| Index::from(kc_ir::kernel::Axis(0)) * i64::from(lanes);
    let loaded: Vec<Register> = inputs.iter().map(|&input| builder.load(input, position(lanes), lanes, None)).collect();
    let value = body(&mut builder, &loaded);
    builder.store(output, position(result.lanes), value, None);
    Case { kernel: builder.finish(0), buffers, dims: vec![], tasks: 0..tasks as i64 }
}

/// All pairs.
fn pairs(a: &[Scalar], b: &[Scalar]) -> (Vec<Scalar>, Vec<Scalar>) {
    a.iter().flat_map(|&x| b.iter().map(move |&y| (x, y))).unzip()
}

fn cases(dtype: DType, lanes: u32) -> Vec<Case> {
    let values = special_values(dtype);
    let ty = RegisterType { dtype, lanes };
    let mask = RegisterType { dtype: DType::Bool, lanes };
    let mut cases = Vec::new();
    let name = |function: &str| format!("{function}_{ty}");
    for &function in Unary::ALL {
        if is_basic(function) && function.domain().contains(dtype) {
            let operands = [(dtype, values.clone())];
            cases.push(elementwise(&name(function.text()), lanes, &operands, ty, |b, x| b.unary(function, x[0])));
        }
    }
    let (left, right) = pairs(&values, &values);
    for &function in Binary::ALL {
        if is_basic_binary(function) && function.domain().contains(dtype) {
            let (left, right) = defined_operands(function, dtype, &left, &right);
            let operands = [(dtype, left), (dtype, right)];
            cases
                .push(elementwise(&name(function.text()), lanes, &operands, ty, |b, x| b.binary(function, x[0], x[1])));
        }
    }
    if matches!(
        dtype,
        DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::U8 | DType::U16 | DType::U32 | DType::U64
    ) {
        for function in [Binary::ShiftLeft, Binary::ShiftRight] {
            for amount in [0, 1, i64::from(dtype.bits()) - 1] {
                let name = name(&format!("{}_by_{amount}", function.text()));
                cases.push(elementwise(&name, lanes, &[(dtype, values.clone())], ty, |b, x| {
                    let amount = b.constant(dtype, lanes, amount);
                    b.binary(function, x[0], amount)
                }));
            }
        }
    }
    if dtype != DType::Bool {
        // against a known bound, on either side
        let bounds = if dtype.is_float() {
            vec![Scalar::Float(0.0), Scalar::Float(-0.0), Scalar::Float(1.0), Scalar::Float(f64::NAN)]
        } else {
            vec![Scalar::Int(0), Scalar::Int(100)]
        };
        for (number, bound) in bounds.into_iter().enumerate() {
            for function in [Binary::Maximum, Binary::Minimum] {
                let name = name(&format!("{}_with_{number}", function.text()));
                cases.push(elementwise(&name, lanes, &[(dtype, values.clone())], ty, |b, x| {
                    let bound = b.constant(dtype, lanes, bound);
                    if number % 2 == 0 { b.binary(function, x[0], bound) } else { b.binary(function, bound, x[0]) }
                }));
            }
        }
    }
    for &function in Compare::ALL {
        let operands = [(dtype, left.clone()), (dtype, right.clone())];
        cases.push(elementwise(&name(function.text()), lanes, &operands, mask, |b, x| b.compare(function, x[0], x[1])));
    }
    // a mask as wide as the lanes, one as wide as bytes, and one of other lanes
    let operands = [(dtype, left.clone()), (dtype, right.clone())];
    cases.push(elementwise(&name("select_less"), lanes, &operands, ty, |b, x| {
        let less = b.compare(Compare::Less, x[0], x[1]);
        b.select(less, x[1], x[0])
    }));
    let flags: Vec<Scalar> = (0..left.len()).map(|i| Scalar::Int((i % 3 == 0).into())).collect();
    let operands = [(DType::Bool, flags.clone()), (dtype, left.clone()), (dtype, right.clone())];
    cases.push(elementwise(&name("select_loaded"), lanes, &operands, ty, |b, x| b.select(x[0], x[1], x[2])));
    let operands = [(DType::Bool, flags), (dtype, left.clone()), (dtype, right.clone())];
    cases.push(elementwise(&name("and_of_masks"), lanes, &operands, mask, |b, x| {
        let less = b.compare(Compare::Less, x[1], x[2]);
        let both = b.binary(Binary::And, x[0], less);
        let neither = b.unary(Unary::Not, both);
        b.binary(Binary::Xor, less, neither)
    }));
    for &to in DType::ALL {
        if to != dtype {
            let result = RegisterType { dtype: to, lanes };
            let name = name(&format!("convert_to_{to}_of"));
            cases.push(elementwise(&name, lanes, &[(dtype, values.clone())], result, |b, x| b.convert(to, x[0])));
        }
        if to.bytes() == dtype.bytes() && to != DType::Bool && dtype != DType::Bool {
            let result = RegisterType { dtype: to, lanes };
            let name = name(&format!("bitcast_to_{to}_of"));
            cases.push(elementwise(&name, lanes, &[(dtype, values.clone())], result, |b, x| b.bitcast(to, x[0])));
        }
    }
    if dtype != DType::Bool {
        let mut third = values.clone();
        third.rotate_left(values.len() / 2);
        let operands = [(dtype, left.clone()), (dtype, right.clone()), (dtype, third)];
        cases.push(elementwise(&name("multiply_add"), lanes, &operands, ty, |b, x| b.multiply_add(x[0], x[1], x[2])));
    }
    if lanes > 1 {
        let scalar = RegisterType { dtype, lanes: 1 };
        for kind in [Reduction::Sum, Reduction::Product, Reduction::Max, Reduction::Min] {
            if dtype != DType::Bool || matches!(kind, Reduction::Max | Reduction::Min) {
                let name = name(&format!("reduce_{kind:?}").to_lowercase());
                let operands = [(dtype, left.clone())];
                cases.push(elementwise(&name, lanes, &operands, scalar, |b, x| b.reduce_lanes(kind, x[0])));
            }
        }
        cases.push(elementwise(&name("splat"), lanes, &[(dtype, left.clone())], ty, |b, x| {
            let kind = Reduction::Max;
            let scalar = b.reduce_lanes(kind, x[0]);
            b.splat(lanes, scalar)
        }));
    }
    if dtype.is_integer() {
        cases.push(elementwise(&name("position"), lanes, &[(dtype, values.clone())], ty, |b, x| {
            let index = b.task() * 37 - Index::Constant(5);
            let position = b.instruction(dtype, lanes, Instruction::Position { index, step: -3 });
            b.binary(Binary::Add, position, x[0])
        }));
    }
    cases
}

/// Operands for which a lowered kernel may use the function: shifts by `0..bits`; divisors that are not 0, nor -1 below the
/// smallest value.
fn defined_operands(function: Binary, dtype: DType, a: &[Scalar], b: &[Scalar]) -> (Vec<Scalar>, Vec<Scalar>) {
    if dtype.is_float() || dtype == DType::Bool {
        return (a.to_vec(), b.to_vec());
    }
    let (low, _) = integer_range(dtype);
    let kept = a.iter().zip(b).filter_map(|(&x, &y)| {
        let (a, b) = (x.to_i128(), y.to_i128());
        match function {
            Binary::Divide if b == 0 || (b == -1 && a == low) => None,
            Binary::ShiftLeft | Binary::ShiftRight => Some((x, Scalar::Int(b.rem_euclid(dtype.bits().into())))),
            _ => Some((x, y)),
        }
    });
    kept.unzip()
}
