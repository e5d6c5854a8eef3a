//! Names, types and numbers of the text, and the lines that they stand in.

use kc_ir::tensor::ops::{Compare, Reduction};
use kc_ir::tensor::{Literal, Location, Scalar, integer_range};
use kc_ir::{DType, Dim, TensorType};
use std::fmt::{Display, Write};
use std::sync::Arc;

/// A value of the text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ssa {
    /// Such as `%7`, or `%7#1` for one of several results.
    pub(super) name: String,
    pub(super) ty: TensorType,
}

/// An extent: a number, or `${..}` around what is to be computed.
pub(super) fn dim(dim: &Dim) -> String {
    match dim.as_constant() {
        Some(value) => value.to_string(),
        None => format!("${{{dim}}}"),
    }
}

/// Several, separated by commas.
pub(super) fn dims(all: &[Dim]) -> String {
    list(all.iter().map(dim))
}

/// Items separated by commas.
pub(super) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for (i, item) in items.into_iter().enumerate() {
        let _ = write!(text, "{}{item}", if i == 0 { "" } else { ", " });
    }
    text
}

/// `array<i64: 1, 2>`
pub(super) fn array<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items = list(items);
    if items.is_empty() { "array<i64>".into() } else { format!("array<i64: {items}>") }
}

/// The element type's name.
pub(super) fn element(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "f64",
        DType::F32 => "f32",
        DType::F16 => "f16",
        DType::Bf16 => "bf16",
        DType::I8 => "i8",
        DType::I16 => "i16",
        DType::I32 => "i32",
        DType::I64 => "i64",
        DType::U8 => "ui8",
        DType::U16 => "ui16",
        DType::U32 => "ui32",
        DType::U64 => "ui64",
        DType::Bool => "i1",
    }
}

/// `tensor<${B}x10xf32>`
pub(super) fn tensor_type(ty: &TensorType) -> String {
    tensor_of(&ty.shape, element(ty.dtype))
}

/// A tensor type of any element type.
pub(super) fn tensor_of(shape: &[Dim], element: &str) -> String {
    let mut text = String::from("tensor<");
    for extent in shape {
        let _ = write!(text, "{}x", dim(extent));
    }
    text + element + ">"
}

/// The types of values, separated by commas.
pub(super) fn types(values: &[Ssa]) -> String {
    list(values.iter().map(|value| tensor_type(&value.ty)))
}

/// The names of values, separated by commas.
pub(super) fn names(values: &[Ssa]) -> String {
    list(values.iter().map(|value| &value.name))
}

/// A number as MLIR reads it back bit for bit.
fn number(dtype: DType, value: Scalar) -> String {
    match value {
        Scalar::Int(value) if dtype == DType::Bool => if value == 0 { "false" } else { "true" }.into(),
        Scalar::Int(value) => value.to_string(),
        Scalar::Float(value) if value.is_finite() => {
            // the shortest digits of the f64, which every narrower type is a part of; MLIR wants a point before the exponent
            let text = format!("{value:?}");
            match text.split_once('e') {
                Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0e{exponent}"),
                _ => text,
            }
        }
        Scalar::Float(value) => {
            let bytes = Literal::scalar(dtype, value);
            let digits: String = bytes.bytes().iter().rev().map(|byte| format!("{byte:02X}")).collect();
            format!("0x{digits}")
        }
    }
}

/// Elements from which on a constant is written as its bytes.
const LONG: usize = 32;

/// The elements of a constant, as they stand between `dense<` and `>`.
fn elements(value: &Literal) -> String {
    if value.elements() == 0 {
        return String::new();
    }
    if let Some(splat) = value.splat_value() {
        return number(value.dtype(), splat);
    }
    if value.elements() >= LONG && value.dtype() != DType::Bool {
        let digits: String = value.bytes().iter().map(|byte| format!("{byte:02X}")).collect();
        return format!("\"0x{digits}\"");
    }
    let mut numbers = value.scalars().map(|scalar| number(value.dtype(), scalar));
    nested(value.shape(), &mut numbers)
}

/// `[[1, 2], [3, 4]]`
fn nested(shape: &[usize], numbers: &mut dyn Iterator<Item = String>) -> String {
    match shape.split_first() {
        None => numbers.next().unwrap_or_default(),
        Some((&extent, rest)) => format!("[{}]", list((0..extent).map(|_| nested(rest, numbers)).collect::<Vec<_>>())),
    }
}

/// The text of a function's body in the making.
pub(super) struct Writer {
    text: String,
    depth: usize,
    count: usize,
    location: Option<Arc<Location>>,
    op: &'static str,
}

impl Writer {
    pub(super) fn new() -> Self {
        Writer { text: String::new(), depth: 2, count: 0, location: None, op: "" }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }

    /// A new name.
    pub(super) fn fresh(&mut self, ty: TensorType) -> Ssa {
        self.count += 1;
        Ssa { name: format!("%{}", self.count - 1), ty }
    }

    /// What the lines to come are for.
    pub(super) fn set_place(&mut self, op: &'static str, location: Option<Arc<Location>>) {
        self.op = op;
        self.location = location;
    }

    /// The place of what is being written, to come back to behind a region.
    pub(super) fn place(&self) -> (&'static str, Option<Arc<Location>>) {
        (self.op, self.location.clone())
    }

    /// ` loc("dense/dot_general"("model.rs":7:0))`: XLA shows the name and the line with its own instructions.
    fn place_text(&self) -> String {
        let Some(location) = &self.location else { return String::new() };
        let scope = if location.layer.is_empty() { String::new() } else { format!("{}/", location.layer) };
        format!(" loc({}({}:{}:0))", quoted(&format!("{scope}{}", self.op)), quoted(&location.file), location.line)
    }

    /// A line as it is.
    pub(super) fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{:indent$}{line}", "", indent = 2 * self.depth);
    }

    /// `%n = body`
    pub(super) fn assign(&mut self, ty: TensorType, body: &str) -> Ssa {
        let result = self.fresh(ty);
        let place = self.place_text();
        self.line(&format!("{} = {body}{place}", result.name));
        result
    }

    /// `%n:count = body`: the first of as many results.
    pub(super) fn assign_first(&mut self, ty: TensorType, count: usize, body: &str) -> Ssa {
        if count == 1 {
            return self.assign(ty, body);
        }
        let Ssa { name, ty } = self.fresh(ty);
        let place = self.place_text();
        self.line(&format!("{name}:{count} = {body}{place}"));
        Ssa { name: format!("{name}#0"), ty }
    }

    /// A value of a type that the IR lacks: its name.
    pub(super) fn assign_other(&mut self, body: &str) -> String {
        self.assign(TensorType::scalar(DType::Bool), body).name
    }

    /// `%n = stablehlo.op %a, %b : type`, for an op whose operands and result have one type.
    pub(super) fn same(&mut self, op: &str, operands: &[Ssa]) -> Ssa {
        let ty = operands[0].ty.clone();
        self.assign(ty, &format!("stablehlo.{op} {} : {}", names(operands), tensor_type(&operands[0].ty)))
    }

    /// `%n = stablehlo.op %a, %b, attributes : (types) -> type`
    pub(super) fn typed(&mut self, op: &str, operands: &[Ssa], attributes: &str, ty: TensorType) -> Ssa {
        let attributes = if attributes.is_empty() { String::new() } else { format!(", {attributes}") };
        let body =
            format!("stablehlo.{op} {}{attributes} : ({}) -> {}", names(operands), types(operands), tensor_type(&ty));
        self.assign(ty, &body)
    }

    /// A constant.
    pub(super) fn constant(&mut self, value: &Literal) -> Ssa {
        let ty = value.ty();
        let body = format!("stablehlo.constant dense<{}> : {}", elements(value), tensor_type(&ty));
        self.assign(ty, &body)
    }

    /// A scalar constant.
    pub(super) fn scalar(&mut self, dtype: DType, value: impl Into<Scalar>) -> Ssa {
        self.constant(&Literal::scalar(dtype, value))
    }

    /// A scalar that is an extent, as i64 or i32.
    pub(super) fn extent(&mut self, extent: &Dim, dtype: DType) -> Ssa {
        let ty = TensorType::scalar(dtype);
        let body = format!("stablehlo.constant dense<{}> : {}", dim(extent), tensor_type(&ty));
        self.assign(ty, &body)
    }

    /// The value for no elements of a reduction.
    pub(super) fn neutral(&mut self, kind: Reduction, dtype: DType) -> Ssa {
        if dtype.is_float() {
            return self.scalar(dtype, kind.neutral_float());
        }
        let value = match kind {
            Reduction::Sum => 0,
            Reduction::Product => 1,
            Reduction::Max => integer_range(dtype).0,
            Reduction::Min => integer_range(dtype).1,
        };
        self.scalar(dtype, Scalar::Int(value))
    }

    /// A value in another dtype.
    pub(super) fn convert(&mut self, value: &Ssa, dtype: DType) -> Ssa {
        if value.ty.dtype == dtype {
            return value.clone();
        }
        let ty = TensorType { dtype, shape: value.ty.shape.clone() };
        self.typed("convert", std::slice::from_ref(value), "", ty)
    }

    /// A value repeated along the axes of a shape that `axes` does not name.
    pub(super) fn broadcast(&mut self, value: &Ssa, shape: &[Dim], axes: &[usize]) -> Ssa {
        let ty = TensorType { dtype: value.ty.dtype, shape: shape.to_vec() };
        self.typed("broadcast_in_dim", std::slice::from_ref(value), &format!("dims = [{}]", list(axes)), ty)
    }

    /// A scalar constant repeated to the shape of a value.
    pub(super) fn splat_like(&mut self, like: &Ssa, value: impl Into<Scalar>) -> Ssa {
        let scalar = self.scalar(like.ty.dtype, value);
        self.broadcast(&scalar, &like.ty.shape, &[])
    }

    /// A comparison.
    pub(super) fn compare(&mut self, function: Compare, a: &Ssa, b: &Ssa) -> Ssa {
        let direction = match function {
            Compare::Equal => "EQ",
            Compare::NotEqual => "NE",
            Compare::Less => "LT",
            Compare::LessEqual => "LE",
            Compare::Greater => "GT",
            Compare::GreaterEqual => "GE",
        };
        let kind = match a.ty.dtype {
            dtype if dtype.is_float() => "FLOAT",
            dtype if dtype.is_signed_integer() => "SIGNED",
            _ => "UNSIGNED",
        };
        let ty = TensorType { dtype: DType::Bool, shape: a.ty.shape.clone() };
        let operands = [a.clone(), b.clone()];
        let body = format!(
            "stablehlo.compare {direction}, {}, {kind} : ({}) -> {}",
            names(&operands),
            types(&operands),
            tensor_type(&ty)
        );
        self.assign(ty, &body)
    }

    /// A choice by a condition of the same shape.
    pub(super) fn select(&mut self, condition: &Ssa, on_true: &Ssa, on_false: &Ssa) -> Ssa {
        let body = format!(
            "stablehlo.select {}, {}, {} : {}, {}",
            condition.name,
            on_true.name,
            on_false.name,
            tensor_type(&condition.ty),
            tensor_type(&on_true.ty)
        );
        self.assign(on_true.ty.clone(), &body)
    }

    /// An op in generic form with regions: `head` is `"stablehlo.while"(%1, %2)`, with attributes; each region is its parameters'
    /// types and what writes its body and gives its results. Returns the results.
    pub(super) fn with_regions<E>(
        &mut self,
        head: &str,
        operand_types: &str,
        results: &[TensorType],
        regions: &mut [(&[TensorType], &mut dyn FnMut(&mut Writer, &[Ssa]) -> Result<Vec<Ssa>, E>)],
    ) -> Result<Vec<Ssa>, E> {
        let name = format!("%{}", self.count);
        self.count += 1;
        let (op, location) = self.place();
        let left = match results.len() {
            0 => String::new(),
            1 => format!("{name} = "),
            count => format!("{name}:{count} = "),
        };
        self.line(&format!("{left}{head} ({{"));
        for (number, (parameters, body)) in regions.iter_mut().enumerate() {
            if number > 0 {
                self.line("}, {");
            }
            let parameters: Vec<Ssa> = parameters.iter().map(|ty| self.fresh(ty.clone())).collect();
            if !parameters.is_empty() {
                let heads = list(parameters.iter().map(|value| format!("{}: {}", value.name, tensor_type(&value.ty))));
                self.line(&format!("^bb0({heads}):"));
            }
            self.depth += 1;
            let values = body(self, &parameters)?;
            self.set_place(op, location.clone());
            let end =
                if values.is_empty() { String::new() } else { format!(" {} : {}", names(&values), types(&values)) };
            self.line(&format!("stablehlo.return{end}"));
            self.depth -= 1;
        }
        let result_types = list(results.iter().map(tensor_type));
        let place = self.place_text();
        self.line(&format!("}}) : ({operand_types}) -> ({result_types}){place}"));
        let of = |(position, ty): (usize, &TensorType)| Ssa {
            name: if results.len() == 1 { name.clone() } else { format!("{name}#{position}") },
            ty: ty.clone(),
        };
        Ok(results.iter().enumerate().map(of).collect())
    }
}

/// A string of MLIR: what is neither printable nor plain stands as its two digits, and so does what starts an extent.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' | b'$' => {
                let _ = write!(quoted, "\\{byte:02X}");
            }
            0x20..0x7f => quoted.push(byte.into()),
            _ => {
                let _ = write!(quoted, "\\{byte:02X}");
            }
        }
    }
    quoted + "\""
}
