//! Fourier transforms of real signals, of images and of frames of a signal, as formulas over the transform of complex vectors.
//! Complex tensors are pairs of real and imaginary parts.

use crate::tensor::ops::{
    Binary, Compare, Concatenate, CustomFunction, Gather, GatherMode, IndexedWindows, Iota, Pad, Reverse, Scatter,
    ScatterKind, ScatterMode, Slice, Unary,
};
use crate::tensor::{Builder, Literal, Scalar, TypeError, Value};
use kc_abi::{DType, Dim, TensorType};
use std::f64::consts::TAU;

/// How a signal is cut into frames, each of which is transformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// Elements of a frame that are seen through the window.
    pub sequence_length: i64,
    /// Elements from the start of one frame to the start of the next.
    pub sequence_stride: i64,
    /// Length of the transform: the window, with zeros around it.
    pub fft_length: i64,
}

/// Where frames start and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramePadding {
    /// The first frame starts at the first element.
    None,
    /// The signal is continued by its reflection, so that the first frame is centred at the first element.
    Centered,
}

/// A window by name, as Keras has them: periodic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowShape {
    /// `0.5 - 0.5 cos(2 pi k / n)`
    Hann,
    /// `0.54 - 0.46 cos(2 pi k / n)`
    Hamming,
}

impl WindowShape {
    /// The window of that length as a constant.
    pub fn literal(self, length: usize, dtype: DType) -> Literal {
        let (mean, share) = match self {
            WindowShape::Hann => (0.5, 0.5),
            WindowShape::Hamming => (0.54, 0.46),
        };
        let value = |k: usize| match length {
            1 => 1.0,
            _ => mean - share * libm::cos(TAU * k as f64 / length as f64),
        };
        Literal::from_scalars(dtype, vec![length], (0..length).map(|k| Scalar::Float(value(k))))
    }
}

impl Frames {
    fn check(&self, op: &str) -> Result<(), TypeError> {
        let Frames { sequence_length, sequence_stride, fft_length } = *self;
        if sequence_length < 1 || sequence_stride < 1 {
            let message = format!("frames of {sequence_length} elements every {sequence_stride}; expected at least 1");
            return Err(TypeError::new(op, message));
        }
        if fft_length < sequence_length {
            let message = format!("`fft_length` {fft_length} must not be below `sequence_length` {sequence_length}");
            return Err(TypeError::new(op, message));
        }
        Ok(())
    }

    /// Zeros before the window.
    fn before(&self) -> i64 {
        (self.fft_length - self.sequence_length) / 2
    }

    /// The window with zeros around it; without one ones.
    fn window(&self, b: &mut Builder, op: &str, window: Option<Value>, dtype: DType) -> Result<Value, TypeError> {
        let Some(window) = window else { return b.splat(dtype, 1.0, &[Dim::constant(self.fft_length)]) };
        let expected = TensorType::new(dtype, [self.sequence_length]);
        if *b.tensor_type(window) != expected {
            let message = format!("the window is {}, expected {expected}", b.tensor_type(window));
            return Err(TypeError::new(op, message));
        }
        let after = self.fft_length - self.sequence_length - self.before();
        let zero = b.constant(Literal::scalar(dtype, 0.0))?;
        b.add(Pad { low: vec![self.before()], high: vec![after], interior: vec![0] }, &[window, zero])
    }

    /// First positions of that many frames, as indices of windows.
    fn starts(&self, b: &mut Builder, count: &Dim) -> Result<Value, TypeError> {
        let ty = TensorType { dtype: DType::I32, shape: vec![count.clone(), Dim::constant(1)] };
        let numbers = b.add(Iota { ty, axis: 0 }, &[])?;
        let stride = b.splat_like(self.sequence_stride, numbers)?;
        b.binary(Binary::Multiply, numbers, stride)
    }
}

/// The axes of a signal of that rank in frames: frames, then elements, behind the leading axes.
fn frame_windows(rank: usize) -> IndexedWindows {
    let offset = (0..rank - 1).chain([rank]).collect();
    IndexedWindows {
        offset,
        collapsed: vec![],
        operand_batch: vec![],
        indices_batch: vec![],
        index_map: vec![rank - 1],
    }
}

impl Builder {
    /// A Fourier transform along any axis, forward or inverse.
    pub fn fft_along(
        &mut self,
        function: CustomFunction,
        [real, imaginary]: [Value; 2],
        axis: usize,
    ) -> Result<[Value; 2], TypeError> {
        let rank = self.tensor_type(real).rank();
        if axis >= rank {
            return Err(TypeError::new(function.name(), format!("axis {axis} is out of range for rank {rank}")));
        }
        // exchanged with the last axis, there and back
        let mut permutation: Vec<usize> = (0..rank).collect();
        permutation.swap(axis, rank - 1);
        let operands = [self.transpose(real, &permutation)?, self.transpose(imaginary, &permutation)?];
        let [real, imaginary] = self.custom_results(function, &operands)?;
        Ok([self.transpose(real, &permutation)?, self.transpose(imaginary, &permutation)?])
    }

    /// The transform along the last two axes (`keras.ops.fft2`).
    pub fn fft2(&mut self, parts: [Value; 2]) -> Result<[Value; 2], TypeError> {
        self.both_axes(CustomFunction::Fft, parts)
    }

    /// The inverse transform along the last two axes (`keras.ops.ifft2`).
    pub fn inverse_fft2(&mut self, parts: [Value; 2]) -> Result<[Value; 2], TypeError> {
        self.both_axes(CustomFunction::InverseFft, parts)
    }

    fn both_axes(&mut self, function: CustomFunction, parts: [Value; 2]) -> Result<[Value; 2], TypeError> {
        let batch = self.matrix_batch("fft2", parts[0])?;
        let parts = self.fft_along(function, parts, batch + 1)?;
        self.fft_along(function, parts, batch)
    }

    /// The first `n / 2 + 1` elements of the transform of a real signal along the last axis, which is cut to `n` elements or continued by zeros
    /// (`keras.ops.rfft`); without a length `n` is its own.
    pub fn real_fft(&mut self, x: Value, length: Option<i64>) -> Result<[Value; 2], TypeError> {
        let x = self.resized("rfft", x, length.map(Dim::constant))?;
        let zeros = self.splat_like(0.0, x)?;
        let [real, imaginary] = self.fft(x, zeros)?;
        let bins = self.last_extent("rfft", x)?.floor_div(&Dim::constant(2)) + Dim::constant(1);
        Ok([self.part(real, Dim::default(), bins.clone())?, self.part(imaginary, Dim::default(), bins)?])
    }

    /// The real signal of `n` elements whose transform starts with these, cut or continued by zeros to `n / 2 + 1` elements
    /// (`keras.ops.irfft`); without a length `n` is `2 (m - 1)` for `m` elements.
    pub fn inverse_real_fft(&mut self, [real, imaginary]: [Value; 2], length: Option<i64>) -> Result<Value, TypeError> {
        let n = match length {
            Some(length) => Dim::constant(length),
            None => (self.last_extent("irfft", real)? - Dim::constant(1)) * Dim::constant(2),
        };
        if n.as_constant().is_some_and(|n| n < 1) {
            return Err(TypeError::new("irfft", format!("the signal would have {n} elements, expected at least 1")));
        }
        let bins = n.floor_div(&Dim::constant(2)) + Dim::constant(1);
        let real = self.resized("irfft", real, Some(bins.clone()))?;
        let imaginary = self.resized("irfft", imaginary, Some(bins.clone()))?;
        // the other elements are the conjugates of elements 1 to n - n/2 - 1, the last one first
        let end = n - bins + Dim::constant(1);
        let real = self.mirrored(real, &end, None)?;
        let imaginary = self.mirrored(imaginary, &end, Some(Unary::Negate))?;
        Ok(self.inverse_fft(real, imaginary)?[0])
    }

    /// The tensor, and behind it its elements from 1 to before `end`, the last one first, through a function.
    fn mirrored(&mut self, x: Value, end: &Dim, function: Option<Unary>) -> Result<Value, TypeError> {
        let axis = self.tensor_type(x).rank() - 1;
        let inner = self.part(x, Dim::constant(1), end.clone())?;
        let inner = self.add(Reverse { axes: vec![axis] }, &[inner])?;
        let inner = match function {
            Some(function) => self.unary(function, inner)?,
            None => inner,
        };
        self.add(Concatenate { axis }, &[x, inner])
    }

    fn last_extent(&self, op: &str, x: Value) -> Result<Dim, TypeError> {
        let ty = self.tensor_type(x);
        ty.shape.last().cloned().ok_or_else(|| TypeError::new(op, format!("got {ty}, expected at least one axis")))
    }

    /// Elements of the last axis.
    fn part(&mut self, x: Value, from: Dim, to: Dim) -> Result<Value, TypeError> {
        let shape = self.tensor_type(x).shape.clone();
        let last = shape.len() - 1;
        let mut start = vec![Dim::default(); last + 1];
        let mut limit = shape;
        (start[last], limit[last]) = (from, to);
        self.add(Slice { start, limit, stride: vec![1; last + 1] }, &[x])
    }

    /// The last axis cut or continued by zeros.
    fn resized(&mut self, op: &str, x: Value, extent: Option<Dim>) -> Result<Value, TypeError> {
        let own = self.last_extent(op, x)?;
        let Some(extent) = extent.filter(|extent| *extent != own) else { return Ok(x) };
        match (own.as_constant(), extent.as_constant()) {
            (_, Some(wanted)) if wanted < 1 => {
                Err(TypeError::new(op, format!("a length of {wanted}, expected at least 1")))
            }
            (Some(given), Some(wanted)) if given > wanted => self.part(x, Dim::default(), extent),
            (Some(given), Some(wanted)) => {
                let dtype = self.tensor_type(x).dtype;
                let rank = self.tensor_type(x).rank();
                let zero = self.constant(Literal::scalar(dtype, 0.0))?;
                let mut high = vec![0; rank];
                high[rank - 1] = wanted - given;
                self.add(Pad { low: vec![0; rank], high, interior: vec![0; rank] }, &[x, zero])
            }
            _ => {
                let message = format!("the last axis has {own} elements, which is not known to be less than {extent}");
                Err(TypeError::new(op, message))
            }
        }
    }

    /// Transforms of the frames of real signals, `[.., frames, fft_length / 2 + 1]` (`keras.ops.stft`). `window` has `sequence_length`
    /// elements.
    pub fn stft(
        &mut self,
        x: Value,
        frames: Frames,
        window: Option<Value>,
        padding: FramePadding,
    ) -> Result<[Value; 2], TypeError> {
        frames.check("stft")?;
        self.last_extent("stft", x)?;
        let TensorType { dtype, shape } = self.tensor_type(x).clone();
        let axis = shape.len() - 1;
        let x = match padding {
            FramePadding::None => x,
            FramePadding::Centered => {
                let pad = Dim::constant(frames.fft_length / 2);
                let end = shape[axis].clone();
                let before = self.part(x, Dim::constant(1), pad.clone() + Dim::constant(1))?;
                let after = self.part(x, end.clone() - pad - Dim::constant(1), end - Dim::constant(1))?;
                let [before, after] = [
                    self.add(Reverse { axes: vec![axis] }, &[before])?,
                    self.add(Reverse { axes: vec![axis] }, &[after])?,
                ];
                self.add(Concatenate { axis }, &[before, x, after])?
            }
        };
        let shape = self.tensor_type(x).shape.clone();
        let room = shape[axis].clone() - Dim::constant(frames.fft_length);
        if room.as_constant().is_some_and(|room| room < 0) {
            let message = format!("a signal of {} elements has no frame of {}", shape[axis], frames.fft_length);
            return Err(TypeError::new("stft", message));
        }
        let count = room.floor_div(&Dim::constant(frames.sequence_stride)) + Dim::constant(1);
        let starts = frames.starts(self, &count)?;
        let mut sizes = shape;
        sizes[axis] = Dim::constant(frames.fft_length);
        let gather = Gather { windows: frame_windows(axis + 1), sizes, mode: GatherMode::Clip };
        let cut = self.add(gather, &[x, starts])?;
        let window = frames.window(self, "stft", window, dtype)?;
        let seen = self.binary(Binary::Multiply, cut, window)?;
        self.real_fft(seen, None)
    }

    /// Real signals from the transforms of their frames, `[.., frames, fft_length / 2 + 1]` (`keras.ops.istft`): the frames are seen through the
    /// window again, added up, and divided by the sum of the squared windows. `length` elements are returned; without it all that the frames
    /// cover, less the padding of centred ones.
    pub fn inverse_stft(
        &mut self,
        parts: [Value; 2],
        frames: Frames,
        length: Option<i64>,
        window: Option<Value>,
        padding: FramePadding,
    ) -> Result<Value, TypeError> {
        frames.check("istft")?;
        let batch = self.matrix_batch("istft", parts[0])?;
        let TensorType { dtype, shape } = self.tensor_type(parts[0]).clone();
        let count = shape[batch].clone();
        let signals = self.inverse_real_fft(parts, Some(frames.fft_length))?;
        let weights = frames.window(self, "istft", window, dtype)?;
        let seen = self.binary(Binary::Multiply, signals, weights)?;
        let squares = self.binary(Binary::Multiply, weights, weights)?;
        let squares = self.broadcast(squares, &[count.clone(), Dim::constant(frames.fft_length)], &[1])?;
        let covered = (count.clone() - Dim::constant(1)) * Dim::constant(frames.sequence_stride)
            + Dim::constant(frames.fft_length);
        let starts = frames.starts(self, &count)?;
        let added = |b: &mut Builder, x: Value, leading: &[Dim]| {
            let target: Vec<Dim> = leading.iter().cloned().chain([covered.clone()]).collect();
            let zeros = b.splat(dtype, 0.0, &target)?;
            let windows = frame_windows(leading.len() + 1);
            b.add(Scatter { kind: ScatterKind::Add, windows, mode: ScatterMode::Drop }, &[zeros, starts, x])
        };
        let sum = added(self, seen, &shape[..batch])?;
        let weight = added(self, squares, &[])?;
        let (least, one) = (self.splat_like(1e-10, weight)?, self.splat_like(1.0, weight)?);
        let counts = self.compare(Compare::Greater, weight, least)?;
        let weight = self.select(counts, weight, one)?;
        let mut signal = self.binary(Binary::Divide, sum, weight)?;
        if window.is_none() {
            signal = self.scaled(signal, frames.fft_length as f64 / frames.sequence_stride as f64)?;
        }
        let pad = match padding {
            FramePadding::None => 0,
            FramePadding::Centered => frames.fft_length / 2,
        };
        let end = match length {
            Some(length) => {
                let end = Dim::constant(pad + length);
                // what lies behind the frames is not there
                match (end.as_constant(), covered.as_constant()) {
                    (Some(end), Some(covered)) => Dim::constant(end.min(covered)),
                    _ => end,
                }
            }
            None => covered - Dim::constant(pad),
        };
        self.part(signal, Dim::constant(pad), end)
    }
}
