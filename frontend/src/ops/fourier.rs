//! Fourier transforms of complex numbers as pairs.

use super::arguments::wrong;
use super::complex::Complex;
use super::declare::functions;
use super::formulas::{concatenate, iota, known_extent, pad, reverse, slice};
use super::function::Operand;
use super::promotion::{promote_float, statistics_type};
use super::spatial::{positions, sum_windows, take, windows};
use super::tensor::Tensor;
use kc_ir::tensor::ops::{Constant, CustomCall, CustomFunction};
use kc_ir::tensor::{Literal, Scalar, Scope, Tensor as Formula, TypeError};
use kc_ir::{DType, Dim};

/// The Fourier transform along the last axis: `sum_j x[j] e^(-2 pi i j k / n)`.
#[track_caller]
pub fn fft(x: impl Into<Complex>) -> Complex {
    let Complex { real, imag } = x.into();
    declared::fft(real, imag).results::<2>().into()
}

/// The Fourier transform along the last two axes.
#[track_caller]
pub fn fft2(x: impl Into<Complex>) -> Complex {
    let Complex { real, imag } = x.into();
    declared::fft2(real, imag).results::<2>().into()
}

/// The inverse of [`fft2`].
#[track_caller]
pub fn ifft2(x: impl Into<Complex>) -> Complex {
    let Complex { real, imag } = x.into();
    declared::ifft2(real, imag).results::<2>().into()
}

/// The first half, and one more, of the Fourier transform of real numbers along the last axis: the parts are two results, `.results()`;
/// it is a [`Complex`] wherever one is expected.
#[track_caller]
pub fn rfft(x: impl Into<Tensor>) -> super::Call<RFFT> {
    declared::rfft(x)
}

/// The inverse of [`rfft`].
#[track_caller]
pub fn irfft(x: impl Into<Complex>) -> super::Call<IRFFT> {
    let Complex { real, imag } = x.into();
    declared::irfft(real, imag)
}

impl From<super::Call<RFFT>> for Complex {
    fn from(call: super::Call<RFFT>) -> Complex {
        call.results::<2>().into()
    }
}

impl From<super::Call<STFT>> for Complex {
    fn from(call: super::Call<STFT>) -> Complex {
        call.results::<2>().into()
    }
}

/// What frames of a signal are multiplied by.
#[derive(Clone, Debug, PartialEq)]
pub enum FrameWindow {
    /// `"hann"` or `"hamming"`.
    Named(String),
    /// These factors, as many as a frame has elements.
    Factors(Vec<f64>),
    /// Nothing.
    None,
}

impl From<&str> for FrameWindow {
    fn from(name: &str) -> Self {
        FrameWindow::Named(name.to_string())
    }
}
impl From<Vec<f64>> for FrameWindow {
    fn from(factors: Vec<f64>) -> Self {
        FrameWindow::Factors(factors)
    }
}
impl From<Option<&str>> for FrameWindow {
    fn from(name: Option<&str>) -> Self {
        name.map_or(FrameWindow::None, FrameWindow::from)
    }
}

impl FrameWindow {
    /// The factors of a frame, with zeros around up to the transform's length.
    fn factors(&self, length: i64, fft_length: i64) -> Result<Vec<f64>, TypeError> {
        let turn = |n: i64| (2.0 * std::f64::consts::PI * n as f64 / length as f64).cos();
        let own: Vec<f64> = match self {
            FrameWindow::Named(name) if name == "hann" => (0..length).map(|n| 0.5 - 0.5 * turn(n)).collect(),
            FrameWindow::Named(name) if name == "hamming" => (0..length).map(|n| 0.54 - 0.46 * turn(n)).collect(),
            FrameWindow::Named(name) => {
                return Err(wrong(format!("`window` is `{name}`, expected `hann` or `hamming`")));
            }
            FrameWindow::Factors(factors) if factors.len() as i64 == length => factors.clone(),
            FrameWindow::Factors(factors) => {
                return Err(wrong(format!("`window` has {} factors, expected {length}", factors.len())));
            }
            FrameWindow::None => return Ok(vec![1.0; fft_length as usize]),
        };
        let before = ((fft_length - length) / 2) as usize;
        let mut all = vec![0.0; fft_length as usize];
        all[before..before + own.len()].copy_from_slice(&own);
        Ok(all)
    }
}

/// A vector of constants.
fn vector<'s, 'b>(scope: &'s Scope<'b>, dtype: DType, values: &[f64]) -> Formula<'s, 'b> {
    let scalars = values.iter().map(|&value| Scalar::Float(value));
    scope.op(Constant { value: Literal::from_scalars(dtype, vec![values.len()], scalars) }, &[])
}

/// The parts in one dtype of those that transforms are computed in.
fn parts<'s, 'b>(real: Operand<'s, 'b>, imag: Operand<'s, 'b>) -> Result<[Formula<'s, 'b>; 2], TypeError> {
    if real.shape() != imag.shape() || real.shape().is_empty() {
        return Err(wrong("expected real and imaginary parts of one shape with at least one axis"));
    }
    Ok(promote_float([real, imag]).map(|part| part.convert(statistics_type(part.ty().dtype))))
}

/// A transform along the last axis.
fn transform<'s, 'b>(function: CustomFunction, [real, imag]: [Formula<'s, 'b>; 2]) -> [Formula<'s, 'b>; 2] {
    real.scope().ops(CustomCall { function }, &[real, imag])
}

/// A transform along the last two axes.
fn transform_both<'s, 'b>(
    function: CustomFunction,
    parts: [Formula<'s, 'b>; 2],
) -> Result<[Formula<'s, 'b>; 2], TypeError> {
    let rank = parts[0].shape().len();
    if rank < 2 {
        return Err(wrong("expected at least 2 axes"));
    }
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(rank - 2, rank - 1);
    let turned = transform(function, parts).map(|part| part.transpose(&order));
    Ok(transform(function, turned).map(|part| part.transpose(&order)))
}

/// The last axis cut, or extended by zeros, to an extent.
fn fitted<'s, 'b>(x: Formula<'s, 'b>, extent: i64) -> Result<Formula<'s, 'b>, TypeError> {
    let axis = x.shape().len() - 1;
    let own = known_extent(&x.shape(), axis)?;
    Ok(match extent - own {
        0 => x,
        more if more > 0 => pad(x, axis, 0, more, x.number(0.0)),
        _ => slice(x, axis, 0i64, extent, 1),
    })
}

/// The first half, and one more, of the transform of real numbers of that many elements.
fn forward<'s, 'b>(x: Formula<'s, 'b>, length: i64) -> Result<[Formula<'s, 'b>; 2], TypeError> {
    let x = fitted(x, length)?;
    let axis = x.shape().len() - 1;
    let all = transform(CustomFunction::Fft, [x, x.zeros_like()]);
    Ok(all.map(|part| slice(part, axis, 0i64, length / 2 + 1, 1)))
}

/// The real numbers of which a half of the transform is given.
fn backward<'s, 'b>(parts: [Formula<'s, 'b>; 2], length: i64) -> Result<Formula<'s, 'b>, TypeError> {
    let half = length / 2 + 1;
    let axis = parts[0].shape().len() - 1;
    let [real, imag] = [fitted(parts[0], half)?, fitted(parts[1], half)?];
    // the other half is the conjugate in reversed order; what has none is real
    let rest = length - half;
    let mirrored = |part: Formula<'s, 'b>| reverse(slice(part, axis, 1i64, 1 + rest, 1), &[axis]);
    let place = iota(imag.scope(), DType::I32, &imag.shape(), axis);
    let alone = place.equal(0i64);
    let alone = if length % 2 == 0 { alone.or(place.equal(length / 2)) } else { alone };
    let imag = alone.select(imag.zeros_like(), imag);
    let whole = |first: Formula<'s, 'b>, second: Formula<'s, 'b>| {
        if rest == 0 { first } else { concatenate(first.scope(), &[first, second], axis) }
    };
    let all = [whole(real, mirrored(real)), whole(imag, -mirrored(imag))];
    Ok(transform(CustomFunction::InverseFft, all)[0])
}

fn check_frames(length: i64, stride: i64, fft_length: i64) -> Result<(), TypeError> {
    if length < 1 || stride < 1 || fft_length < length || stride > fft_length {
        return Err(wrong(format!(
            "expected `sequence_length` ({length}) of at least 1 and at most `fft_length` ({fft_length}), and `sequence_stride` \
             ({stride}) of at least 1 and at most that"
        )));
    }
    Ok(())
}

/// The short-time Fourier transform of signals along the last axis: parts `(.., frames, fft_length / 2 + 1)`, two results,
/// `.results()`. Frames of `sequence_length` elements lie `sequence_stride` apart.
#[track_caller]
pub fn stft(
    x: impl Into<Tensor>,
    sequence_length: i64,
    sequence_stride: i64,
    fft_length: i64,
) -> super::Call<declared::STFT> {
    declared::stft(x, sequence_length, sequence_stride, fft_length)
}

/// The signals of which short-time Fourier transforms are given: the inverse of [`stft`] where frames overlap enough.
#[track_caller]
pub fn istft(
    x: impl Into<Complex>,
    sequence_length: i64,
    sequence_stride: i64,
    fft_length: i64,
) -> super::Call<declared::ISTFT> {
    let Complex { real, imag } = x.into();
    declared::istft(real, imag, sequence_length, sequence_stride, fft_length)
}

pub use declared::{FFT, FFT2, IFFT2, IRFFT, ISTFT, RFFT, STFT};

/// The functions on parts.
mod declared {
    use super::*;

    functions! {
        /// As [`super::fft`], of parts.
        fft FFT(real, imag) {} = |_, &[real, imag]| Ok(transform(CustomFunction::Fft, parts(real, imag)?));
        /// As [`super::fft2`], of parts.
        fft2 FFT2(real, imag) {} = |_, &[real, imag]| transform_both(CustomFunction::Fft, parts(real, imag)?);
        /// As [`super::ifft2`], of parts.
        ifft2 IFFT2(real, imag) {} = |_, &[real, imag]| transform_both(CustomFunction::InverseFft, parts(real, imag)?);
        /// As [`super::rfft`].
        rfft RFFT(x) {
            /// How many elements are transformed: the axis is cut or extended by zeros (default: all).
            fft_length: Option<i64> = None,
        } = |_, &[x]| {
            let [x, _] = parts(x, x)?;
            let length = match fft_length {
                Some(length) => length,
                None => known_extent(&x.shape(), x.shape().len() - 1)?,
            };
            if length < 1 {
                return Err(wrong(format!("`fft_length` is {length}, expected at least 1")));
            }
            forward(x, length)
        };
        /// As [`super::irfft`], of parts.
        irfft IRFFT(real, imag) {
            /// The number of elements of the result (default: twice as many as there are, but two).
            fft_length: Option<i64> = None,
        } = |_, &[real, imag]| {
            let parts = parts(real, imag)?;
            let length = match fft_length {
                Some(length) => length,
                None => 2 * (known_extent(&real.shape(), real.shape().len() - 1)? - 1),
            };
            if length < 1 {
                return Err(wrong(format!("`fft_length` is {length}, expected at least 1")));
            }
            backward(parts, length)
        };
        /// As [`super::stft`].
        stft STFT(x; sequence_length: i64, sequence_stride: i64, fft_length: i64) {
            /// What frames are multiplied by: `"hann"` (default), `"hamming"`, factors, or nothing.
            window: FrameWindow = FrameWindow::Named("hann".to_string()),
            /// Whether the signals are mirrored at their ends, so that frames are centred at their places (default: yes).
            center: bool = true,
        } = |scope, &[x]| {
            if !matches!(x.ty().dtype, DType::F32 | DType::F64) || x.shape().is_empty() {
                return Err(wrong("expected `float32` or `float64` and at least one axis"));
            }
            check_frames(sequence_length, sequence_stride, fft_length)?;
            let axis = x.shape().len() - 1;
            let signal = if center { mirrored(*x, fft_length / 2)? } else { *x };
            let factors = vector(scope, x.ty().dtype, &window.factors(sequence_length, fft_length)?);
            let frames = windows(signal, axis, (fft_length, sequence_stride, 1))?;
            forward(frames * factors.broadcast_to(&frames.shape()), fft_length)
        };
        /// As [`super::istft`], of parts.
        istft ISTFT(real, imag; sequence_length: i64, sequence_stride: i64, fft_length: i64) {
            /// The number of elements of the result (default: as many as the frames give).
            length: Option<i64> = None,
            /// What frames were multiplied by: `"hann"` (default), `"hamming"`, factors, or nothing.
            window: FrameWindow = FrameWindow::Named("hann".to_string()),
            /// Whether frames are centred at their places (default: yes).
            center: bool = true,
        } = |scope, &[real, imag]| {
            check_frames(sequence_length, sequence_stride, fft_length)?;
            let parts = parts(real, imag)?;
            let rank = real.shape().len();
            if rank < 2 {
                return Err(wrong("expected at least 2 axes, frames and frequencies"));
            }
            let dtype = parts[0].ty().dtype;
            let frames = backward(parts, fft_length)?;
            let factors = window.factors(sequence_length, fft_length)?;
            let count = known_extent(&frames.shape(), rank - 2)?;
            let whole = fft_length + sequence_stride * (count - 1);
            let weights = vector(scope, dtype, &factors).broadcast_to(&frames.shape());
            let squares: Vec<f64> = factors.iter().map(|factor| factor * factor).collect();
            let squares = vector(scope, dtype, &squares).broadcast_to(&[Dim::constant(count), Dim::constant(fft_length)]);
            let sum = sum_windows(frames * weights, rank - 2, whole, (sequence_stride, 1));
            let norm = sum_windows(squares, 0, whole, (sequence_stride, 1));
            let norm = norm.greater(1e-10).select(norm, 1.0);
            let signal = sum / norm.broadcast_to(&sum.shape());
            // as Keras has it, signals without a window are scaled by how often frames overlap
            let signal = match window {
                FrameWindow::None => signal * (fft_length as f64 / sequence_stride as f64),
                _ => signal,
            };
            let edge = if center { fft_length / 2 } else { 0 };
            let end = length.map_or(whole - edge, |length| (edge + length).min(whole));
            if end < edge {
                return Err(wrong(format!("the signal has {whole} elements, {edge} of which are before its start")));
            }
            Ok(slice(signal, rank - 2, edge, end, 1))
        };
    }
}

/// The last axis with elements before and behind it that mirror it at its first and last one.
fn mirrored<'s, 'b>(x: Formula<'s, 'b>, edge: i64) -> Result<Formula<'s, 'b>, TypeError> {
    let axis = x.shape().len() - 1;
    let extent = known_extent(&x.shape(), axis)?;
    if extent == 0 {
        return Err(wrong("the signal has no elements"));
    }
    let period = (2 * (extent - 1)).max(1);
    let place = |i: i64| {
        let turned = (i - edge).rem_euclid(period);
        turned.min(period - turned).min(extent - 1)
    };
    let places: Vec<i64> = (0..extent + 2 * edge).map(place).collect();
    Ok(if edge == 0 { x } else { take(x, axis, positions(x.scope(), &places)) })
}
