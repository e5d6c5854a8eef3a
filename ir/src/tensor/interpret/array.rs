use crate::tensor::{Literal, Scalar, integer_range, round};
use kc_abi::DType;
use std::sync::Arc;

/// The values of a tensor, widened.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Of a floating-point type.
    Float(Vec<f64>),
    /// Of an integer type or bool.
    Int(Vec<i128>),
}

impl Data {
    /// Each value rounded to the dtype: floats to nearest, integers wrapped.
    pub fn rounded(self, dtype: DType) -> Data {
        match self {
            Data::Float(mut values) => {
                match dtype {
                    DType::F64 => {}
                    DType::F32 => values.iter_mut().for_each(|x| *x = f64::from(*x as f32)),
                    _ => values.iter_mut().for_each(|x| *x = round(dtype, Scalar::Float(*x)).to_f64()),
                }
                Data::Float(values)
            }
            Data::Int(mut values) => {
                let (low, high) = integer_range(dtype);
                let out = |x: &i128| *x < low || *x > high;
                values.iter_mut().filter(|x| out(x)).for_each(|x| *x = round(dtype, Scalar::Int(*x)).to_i128());
                Data::Int(values)
            }
        }
    }

    /// Values by function of their position.
    pub fn collect(is_float: bool, values: impl Iterator<Item = Scalar>) -> Data {
        if is_float {
            Data::Float(values.map(Scalar::to_f64).collect())
        } else {
            Data::Int(values.map(Scalar::to_i128).collect())
        }
    }
}

/// A tensor of the interpreter: its values are values of its dtype.
#[derive(Clone, Debug)]
pub struct Array {
    dtype: DType,
    shape: Vec<usize>,
    data: Arc<Data>,
}

impl Array {
    /// A tensor. An error where the number or kind of the values is not that of the type.
    pub fn new(dtype: DType, shape: Vec<usize>, data: Data) -> Result<Array, String> {
        let (given, fits) = match &data {
            Data::Float(values) => (values.len(), dtype.is_float()),
            Data::Int(values) => (values.len(), !dtype.is_float()),
        };
        if !fits || given != shape.iter().product::<usize>() {
            return Err(format!("{given} values do not make a tensor {dtype}{shape:?}"));
        }
        Ok(Array { dtype, shape, data: Arc::new(data) })
    }

    /// The tensor of a literal.
    pub fn from_literal(literal: &Literal) -> Array {
        let data = Data::collect(literal.dtype().is_float(), literal.scalars());
        Array { dtype: literal.dtype(), shape: literal.shape().to_vec(), data: Arc::new(data) }
    }

    /// The literal of a tensor.
    pub fn to_literal(&self) -> Literal {
        let shape = self.shape.clone();
        match &*self.data {
            Data::Float(values) => Literal::from_scalars(self.dtype, shape, values.iter().map(|&x| Scalar::Float(x))),
            Data::Int(values) => Literal::from_scalars(self.dtype, shape, values.iter().map(|&x| Scalar::Int(x))),
        }
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Extents.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The values.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The value at a row-major position.
    pub fn get(&self, position: usize) -> Scalar {
        match &*self.data {
            Data::Float(values) => Scalar::Float(values[position]),
            Data::Int(values) => Scalar::Int(values[position]),
        }
    }

    /// The same values in another shape of as many elements.
    pub fn with_shape(&self, shape: Vec<usize>) -> Result<Array, String> {
        if shape.iter().product::<usize>() != self.elements() {
            return Err(format!("{} elements do not fill {shape:?}", self.elements()));
        }
        Ok(Array { shape, ..self.clone() })
    }

    /// The tensor that holds others one after the other.
    pub fn stacked(dtype: DType, shape: Vec<usize>, elements: &[Array]) -> Result<Array, String> {
        let values = elements.iter().flat_map(|element| (0..element.elements()).map(|position| element.get(position)));
        Array::new(dtype, shape, Data::collect(dtype.is_float(), values))
    }

    /// The tensor whose element at `i` is this one's at `offset + sum of i[axis] * steps[axis]`.
    pub fn view(&self, shape: &[usize], offset: i64, steps: &[i64]) -> Result<Array, String> {
        let (mut low, mut high) = (offset, offset);
        for (&extent, &step) in shape.iter().zip(steps) {
            let reach = step * (extent as i64 - 1).max(0);
            (low, high) = (low + reach.min(0), high + reach.max(0));
        }
        let empty = shape.contains(&0);
        if !empty && (low < 0 || high >= self.elements() as i64) {
            return Err(format!("positions {low}..={high} do not lie in a tensor of shape {:?}", self.shape));
        }
        let source = positions(shape, offset, steps).map(|position| position as usize);
        let data = match &*self.data {
            Data::Float(values) => Data::Float(source.map(|position| values[position]).collect()),
            Data::Int(values) => Data::Int(source.map(|position| values[position]).collect()),
        };
        Array::new(self.dtype, shape.to_vec(), data)
    }

    /// The permuted tensor: axis `i` of the result is axis `permutation[i]` of this.
    pub fn transposed(&self, permutation: &[usize]) -> Result<Array, String> {
        let own = strides(&self.shape);
        let shape: Vec<usize> = permutation.iter().map(|&axis| self.shape[axis]).collect();
        let steps: Vec<i64> = permutation.iter().map(|&axis| own[axis]).collect();
        self.view(&shape, 0, &steps)
    }
}

/// Row-major strides of a shape.
pub(crate) fn strides(shape: &[usize]) -> Vec<i64> {
    let mut strides = vec![1i64; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as i64;
    }
    strides
}

/// For each index of a shape, in row-major order, `offset + sum of index[axis] * steps[axis]`.
pub(crate) fn positions(shape: &[usize], offset: i64, steps: &[i64]) -> impl Iterator<Item = i64> + use<> {
    let elements: usize = shape.iter().product();
    let (shape, steps) = (shape.to_vec(), steps.to_vec());
    let mut index = vec![0usize; shape.len()];
    let mut position = offset;
    (0..elements).map(move |_| {
        let current = position;
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            position += steps[axis];
            if index[axis] < shape[axis] {
                break;
            }
            position -= steps[axis] * shape[axis] as i64;
            index[axis] = 0;
        }
        current
    })
}
