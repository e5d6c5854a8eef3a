//! From a call in a table to the functions of neural networks, images, positions and sequences.

use super::calls::{integers, one, several};
use super::table::{Argument, Call};
use kc::ops::{self, Axes, Integers, Tensor};
use serde_json::Value;

/// A named number or list of numbers.
fn numbers(c: &Call, name: &str) -> Option<Integers> {
    c.named(name).map(counted)
}

fn counted(value: &Value) -> Integers {
    match value.as_i64() {
        Some(one) => one.into(),
        None => integers(value).into(),
    }
}

/// A positional argument that is a number or a list of numbers.
fn plain(c: &Call, position: usize) -> Result<&Value, String> {
    match c.args.get(position) {
        Some(Argument::Plain(value)) => Ok(value),
        _ => Err(format!("argument {position} is no number")),
    }
}

fn int(c: &Call, position: usize) -> Result<i64, String> {
    plain(c, position)?.as_i64().ok_or_else(|| format!("argument {position} is no integer"))
}

fn float(c: &Call, position: usize) -> Result<f64, String> {
    plain(c, position)?.as_f64().ok_or_else(|| format!("argument {position} is no number"))
}

fn text(c: &Call, position: usize) -> Result<&str, String> {
    plain(c, position)?.as_str().ok_or_else(|| format!("argument {position} is no text"))
}

/// A pair of numbers.
fn pair<T: Copy>(values: &[T]) -> Result<[T; 2], String> {
    <[T; 2]>::try_from(values.to_vec()).map_err(|_| "expected a pair".to_string())
}

/// The named axes, or Keras' default.
fn axes(c: &Call, default: i64) -> Axes {
    match c.named("axis") {
        None => Axes::Some(vec![default]),
        Some(_) => c.axes("axis"),
    }
}

/// Sets an optional argument where it is given.
macro_rules! given {
    ($call:expr; $($method:ident = $value:expr),* $(,)?) => {{
        let mut call = $call;
        $(if let Some(value) = $value { call = call.$method(value); })*
        call
    }};
}

/// An optional tensor: by its name, or at a position.
fn optional(c: &Call, position: usize, name: &str) -> Option<Tensor> {
    match c.args.get(position) {
        Some(Argument::Array(array)) => Some(array.into()),
        _ => c.tensors.get(name).map(Tensor::from),
    }
}

macro_rules! table {
    ($c:ident; unary: $($unary:ident)*; binary: $($binary:ident)*; segments: $($segment:ident)*; convolutions: $($convolution:ident)*; pools: $($pool:ident)*;
        adaptive: $($adaptive:ident)*; colours: $($colour:ident)*; others: $($name:literal => $body:expr;)*) => {
        match $c.name.as_str() {
            $(stringify!($unary) => one(ops::$unary($c.x(0)?)),)*
            $(stringify!($binary) => one(ops::$binary($c.x(0)?, $c.x(1)?)),)*
            $(stringify!($segment) => {
                one(given!(ops::$segment($c.x(0)?, $c.x(1)?).sorted($c.flag("sorted"));
                    num_segments = $c.named("num_segments").and_then(Value::as_i64)))
            })*
            $(stringify!($convolution) => one(given!(ops::$convolution($c.x(0)?, $c.x(1)?);
                strides = numbers($c, "strides"), padding = $c.named("padding").and_then(Value::as_str),
                data_format = $c.named("data_format").and_then(Value::as_str), dilation_rate = numbers($c, "dilation_rate"))),)*
            $(stringify!($pool) => one(given!(ops::$pool($c.x(0)?, counted(plain($c, 1)?));
                strides = numbers($c, "strides"), padding = $c.named("padding").and_then(Value::as_str),
                data_format = $c.named("data_format").and_then(Value::as_str))),)*
            $(stringify!($adaptive) => one(given!(ops::$adaptive($c.x(0)?, counted(plain($c, 1)?));
                data_format = $c.named("data_format").and_then(Value::as_str))),)*
            $(concat!("image.", stringify!($colour)) => one(given!(ops::image::$colour($c.x(0)?);
                data_format = $c.named("data_format").and_then(Value::as_str))),)*
            $($name => $body,)*
            other => Err(format!("the table of calls does not know `{other}`")),
        }
    };
}

/// The tensors that a call gives.
pub fn call(c: &Call) -> Result<Vec<Tensor>, String> {
    let format = c.named("data_format").and_then(Value::as_str);
    let logits = c.flag("from_logits");
    let integer = |name: &str| c.named(name).and_then(Value::as_i64);
    table! { c;
        unary: relu relu6 sigmoid softplus softsign silu swish log_sigmoid hard_sigmoid hard_silu hard_swish hard_tanh selu
            tanh_shrink sparse_sigmoid sparse_plus erf erfc erfinv rsqrt stop_gradient det inv logdet;
        binary: solve;
        segments: segment_sum segment_max segment_min segment_prod;
        convolutions: conv depthwise_conv;
        pools: max_pool average_pool;
        adaptive: adaptive_average_pool adaptive_max_pool;
        colours: rgb_to_grayscale rgb_to_hsv hsv_to_rgb sobel_edges;
        others:
        "leaky_relu" => one(ops::leaky_relu(c.x(0)?).negative_slope(c.float("negative_slope", 0.2)));
        "elu" => one(ops::elu(c.x(0)?).alpha(c.float("alpha", 1.0)));
        "celu" => one(ops::celu(c.x(0)?).alpha(c.float("alpha", 1.0)));
        "gelu" => one(ops::gelu(c.x(0)?).approximate(c.named("approximate").is_none()));
        "hard_shrink" => one(ops::hard_shrink(c.x(0)?).threshold(c.float("threshold", 0.5)));
        "soft_shrink" => one(ops::soft_shrink(c.x(0)?).threshold(c.float("threshold", 0.5)));
        "squareplus" => one(ops::squareplus(c.x(0)?).b(c.float("b", 4.0)));
        "threshold" => one(ops::threshold(c.x(0)?, float(c, 1)?, float(c, 2)?));
        "glu" => one(ops::glu(c.x(0)?).axis(c.int("axis", -1)));
        "softmax" => one(ops::softmax(c.x(0)?).axis(axes(c, -1)));
        "log_softmax" => one(ops::log_softmax(c.x(0)?).axis(axes(c, -1)));
        "sparsemax" => one(ops::sparsemax(c.x(0)?).axis(c.int("axis", -1)));
        "one_hot" => one(ops::one_hot(c.x(0)?, int(c, 1)?).axis(c.int("axis", -1)).dtype(c.dtype()));
        "multi_hot" => one(ops::multi_hot(c.x(0)?, int(c, 1)?).axis(c.int("axis", -1)).dtype(c.dtype()));
        "binary_crossentropy" => one(ops::binary_crossentropy(c.x(0)?, c.x(1)?).from_logits(logits));
        "categorical_crossentropy" => {
            one(ops::categorical_crossentropy(c.x(0)?, c.x(1)?).from_logits(logits).axis(c.int("axis", -1)))
        };
        "sparse_categorical_crossentropy" => {
            one(ops::sparse_categorical_crossentropy(c.x(0)?, c.x(1)?).from_logits(logits).axis(c.int("axis", -1)))
        };
        "moments" => several(ops::moments(c.x(0)?, c.axes("axes")).keepdims(c.flag("keepdims")).tensors());
        "batch_normalization" => one(given!(
            ops::batch_normalization(c.x(0)?, c.x(1)?, c.x(2)?, int(c, 3)?).epsilon(c.float("epsilon", 1e-3));
            scale = optional(c, 9, "scale"), offset = optional(c, 9, "offset")
        ));
        "layer_normalization" => one(given!(ops::layer_normalization(c.x(0)?).axis(axes(c, -1));
            gamma = optional(c, 1, "gamma"), beta = optional(c, 2, "beta"),
            epsilon = c.named("epsilon").and_then(Value::as_f64)));
        "rms_normalization" => one(given!(ops::rms_normalization(c.x(0)?).axis(axes(c, -1));
            scale = optional(c, 1, "scale"), epsilon = c.named("epsilon").and_then(Value::as_f64)));
        "normalize" => one(given!(ops::normalize(c.x(0)?).axis(axes(c, -1));
            order = integer("order"), epsilon = c.named("epsilon").and_then(Value::as_f64)));
        "psnr" => one(ops::psnr(c.x(0)?, c.x(1)?, float(c, 2)?));
        "dot_product_attention" => one(given!(
            ops::dot_product_attention(c.x(0)?, c.x(1)?, c.x(2)?).is_causal(c.flag("is_causal"));
            bias = optional(c, 9, "bias"), mask = optional(c, 9, "mask"), scale = c.named("scale").and_then(Value::as_f64)
        ));
        "separable_conv" => one(given!(ops::separable_conv(c.x(0)?, c.x(1)?, c.x(2)?);
            strides = numbers(c, "strides"), padding = c.named("padding").and_then(Value::as_str),
            data_format = format, dilation_rate = numbers(c, "dilation_rate")));
        "conv_transpose" => one(given!(ops::conv_transpose(c.x(0)?, c.x(1)?);
            strides = numbers(c, "strides"), padding = c.named("padding").and_then(Value::as_str), data_format = format,
            dilation_rate = numbers(c, "dilation_rate"), output_padding = numbers(c, "output_padding")));
        "unfold" => one(given!(ops::unfold(c.x(0)?, counted(plain(c, 1)?));
            padding = numbers(c, "padding"), stride = numbers(c, "stride"), dilation = numbers(c, "dilation")));
        "fold" => one(given!(ops::fold(c.x(0)?, counted(plain(c, 1)?), counted(plain(c, 2)?));
            padding = numbers(c, "padding"), stride = numbers(c, "stride"), dilation = numbers(c, "dilation")));
        "depth_to_space" => one(given!(ops::depth_to_space(c.x(0)?, int(c, 1)?); data_format = format));
        "space_to_depth" => one(given!(ops::space_to_depth(c.x(0)?, int(c, 1)?); data_format = format));
        "ctc_loss" => {
            one(ops::ctc_loss(c.x(0)?, c.x(1)?, c.x(2)?, c.x(3)?).mask_index(c.int("mask_index", 0)))
        };
        "ctc_decode" => several(ops::ctc_decode(c.x(0)?, c.x(1)?)
            .strategy(c.named("strategy").and_then(Value::as_str).unwrap_or("greedy"))
            .beam_width(c.int("beam_width", 100)).top_paths(c.int("top_paths", 1))
            .merge_repeated(c.named("merge_repeated").is_none()).mask_index(c.int("mask_index", 0)).tensors());
        "cast" => one(ops::cast(c.x(0)?, text(c, 1)?));
        "saturate_cast" => one(ops::saturate_cast(c.x(0)?, text(c, 1)?));
        "convert_to_tensor" => one(ops::convert_to_tensor(c.x(0)?).dtype(c.dtype()));
        "scatter" => one(ops::scatter(c.x(0)?, c.x(1)?, c.shape(2)?));
        "scatter_update" => one(given!(ops::scatter_update(c.x(0)?, c.x(1)?, c.x(2)?);
            reduction = c.named("reduction").and_then(Value::as_str)));
        "slice" => {
            let start = match c.args.get(1) {
                Some(Argument::Array(array)) => ops::add(Tensor::from(array), 0),
                _ => c.shape(1)?.into(),
            };
            one(ops::slice(c.x(0)?, start, c.shape(2)?))
        };
        "slice_update" => one(ops::slice_update(c.x(0)?, c.x(1)?, c.x(2)?));
        "in_top_k" => one(ops::in_top_k(c.x(0)?, c.x(1)?, int(c, 2)?));
        "top_k" => several(ops::top_k(c.x(0)?, int(c, 1)?).tensors());
        "logsumexp" => one(ops::logsumexp(c.x(0)?).axis(c.axes("axis")).keepdims(c.flag("keepdims")));
        "cdist" => one(ops::cdist(c.x(0)?, c.x(1)?));
        "extract_sequences" => one(ops::extract_sequences(c.x(0)?, int(c, 1)?, int(c, 2)?));
        "unstack" => several(ops::unstack(c.x(0)?).axis(c.int("axis", 0)).tensors());
        "rearrange" => {
            let lengths: Vec<(String, i64)> =
                c.kwargs.iter().filter_map(|(name, value)| Some((name.clone(), value.as_i64()?))).collect();
            one(ops::rearrange(c.x(0)?, text(c, 1)?).axes_lengths(lengths))
        };
        "image.resize" => {
            let call = ops::image::resize(c.x(0)?, pair(&c.shape(1)?)?).interpolation(c.text("interpolation", "bilinear"));
            let call = call.antialias(c.flag("antialias")).crop_to_aspect_ratio(c.flag("crop_to_aspect_ratio"));
            let call = call.pad_to_aspect_ratio(c.flag("pad_to_aspect_ratio")).fill_value(c.float("fill_value", 0.0));
            one(given!(call; data_format = format))
        };
        "image.crop_images" => one(given!(ops::image::crop_images(c.x(0)?);
            top_cropping = integer("top_cropping"), left_cropping = integer("left_cropping"),
            bottom_cropping = integer("bottom_cropping"), right_cropping = integer("right_cropping"),
            target_height = integer("target_height"), target_width = integer("target_width"), data_format = format));
        "image.pad_images" => one(given!(ops::image::pad_images(c.x(0)?);
            top_padding = integer("top_padding"), left_padding = integer("left_padding"),
            bottom_padding = integer("bottom_padding"), right_padding = integer("right_padding"),
            target_height = integer("target_height"), target_width = integer("target_width"), data_format = format));
        "image.extract_patches" => one(given!(ops::image::extract_patches(c.x(0)?, counted(plain(c, 1)?));
            strides = numbers(c, "strides"), padding = c.named("padding").and_then(Value::as_str), data_format = format,
            dilation_rate = numbers(c, "dilation_rate")));
        "image.extract_patches_3d" => one(given!(ops::image::extract_patches_3d(c.x(0)?, counted(plain(c, 1)?));
            strides = numbers(c, "strides"), padding = c.named("padding").and_then(Value::as_str), data_format = format,
            dilation_rate = numbers(c, "dilation_rate")));
        "image.map_coordinates" => one(ops::image::map_coordinates(c.x(0)?, c.x(1)?, int(c, 2)?)
            .fill_mode(c.text("fill_mode", "constant")).fill_value(c.float("fill_value", 0.0)));
        "image.affine_transform" => {
            let call = ops::image::affine_transform(c.x(0)?, c.x(1)?).interpolation(c.text("interpolation", "bilinear"));
            let call = call.fill_mode(c.text("fill_mode", "constant")).fill_value(c.float("fill_value", 0.0));
            one(given!(call; data_format = format))
        };
        "image.perspective_transform" => {
            let call = ops::image::perspective_transform(c.x(0)?, c.x(1)?, c.x(2)?);
            let call = call.interpolation(c.text("interpolation", "bilinear")).fill_value(c.float("fill_value", 0.0));
            one(given!(call; data_format = format))
        };
        "image.elastic_transform" => one(given!(ops::image::elastic_transform(c.x(0)?)
            .alpha(c.float("alpha", 20.0)).sigma(c.float("sigma", 5.0)).fill_mode(c.text("fill_mode", "reflect"));
            data_format = format, seed = integer("seed").map(|seed| seed as u32)));
        "image.gaussian_blur" => {
            let sigma: Vec<f64> = plain(c, 2)?.as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
            let call = ops::image::gaussian_blur(c.x(0)?).kernel_size(pair(&c.shape(1)?)?).sigma(pair(&sigma)?);
            one(given!(call; data_format = format.map(|name| Some(name.into()))))
        };
        "image.ssim" => one(given!(ops::image::ssim(c.x(0)?, c.x(1)?)
            .max_val(c.float("max_val", 1.0)).filter_size(c.int("filter_size", 11)).filter_sigma(c.float("filter_sigma", 1.5))
            .k1(c.float("k1", 0.01)).k2(c.float("k2", 0.03)); data_format = format));
        "image.scale_and_translate" => one(ops::image::scale_and_translate(
            c.x(0)?, c.shape(1)?, c.x(2)?, c.x(3)?, c.shape(4)?, text(c, 5)?,
        ).antialias(c.flag("antialias")));
        "cholesky" => one(ops::cholesky(c.x(0)?).upper(c.flag("upper")));
        "cholesky_inverse" => one(ops::cholesky_inverse(c.x(0)?).upper(c.flag("upper")));
        "slogdet" => several(ops::slogdet(c.x(0)?).tensors());
        "solve_triangular" => one(ops::solve_triangular(c.x(0)?, c.x(1)?).lower(c.flag("lower")));
        "lu_factor" => several(ops::lu_factor(c.x(0)?).tensors());
        "qr" => several(ops::qr(c.x(0)?).mode(c.text("mode", "reduced")).tensors());
        "svd" => several(ops::svd(c.x(0)?).compute_uv(c.named("compute_uv").is_none()).tensors());
        "lstsq" => one(ops::lstsq(c.x(0)?, c.x(1)?).rcond(c.named("rcond").and_then(Value::as_f64)));
        "matrix_rank" => one(ops::matrix_rank(c.x(0)?).tol(c.named("tol").and_then(Value::as_f64)));
        "pinv" => one(ops::pinv(c.x(0)?));
        "norm" => {
            let order = match c.named("ord") {
                None => ops::Order::Default,
                Some(Value::String(name)) if name == "inf" => f64::INFINITY.into(),
                Some(Value::String(name)) if name == "-inf" => f64::NEG_INFINITY.into(),
                Some(Value::String(name)) => name.as_str().into(),
                Some(number) => number.as_f64().unwrap_or(f64::NAN).into(),
            };
            one(ops::norm(c.x(0)?).ord(order).axis(c.axes("axis")).keepdims(c.flag("keepdims")))
        };
        "fft" => Ok(parts(ops::fft(complex(c)?)));
        "fft2" => Ok(parts(ops::fft2(complex(c)?)));
        "ifft2" => Ok(parts(ops::ifft2(complex(c)?)));
        "rfft" => several(ops::rfft(c.x(0)?).fft_length(c.value(1, "fft_length").and_then(Value::as_i64)).tensors());
        "irfft" => one(ops::irfft(complex(c)?).fft_length(c.value(1, "fft_length").and_then(Value::as_i64)));
        "stft" => several(ops::stft(c.x(0)?, int(c, 1)?, int(c, 2)?, int(c, 3)?)
            .window(frame_window(c)).center(c.named("center").is_none()).tensors());
        "istft" => one(ops::istft(complex(c)?, int(c, 1)?, int(c, 2)?, int(c, 3)?)
            .window(frame_window(c)).center(c.named("center").is_none()).length(integer("length")));
    }
}

/// The window of frames: Keras' default, a name, or none where it is given as `null`.
fn frame_window(c: &Call) -> ops::FrameWindow {
    match c.kwargs.get("window") {
        None => "hann".into(),
        Some(window) => window.as_str().into(),
    }
}

/// Complex numbers: a list of their parts.
fn complex(c: &Call) -> Result<ops::Complex, String> {
    let [real, imag] = <[Tensor; 2]>::try_from(c.list(0)?).map_err(|_| "expected two parts".to_string())?;
    Ok((real, imag).into())
}

fn parts(x: ops::Complex) -> Vec<Tensor> {
    vec![x.real, x.imag]
}

/// The calls of `ops.npz` that are not said by their keys.
pub fn special(key: &str, [a, b, p, i]: [Tensor; 4]) -> Result<Vec<Tensor>, String> {
    let part = |x: &Tensor, count: i64| ops::get_item(x, (..count,));
    let rows = || Tensor::from([[0], [2]]);
    let headed = |x: &Tensor| ops::expand_dims(x, [2]);
    let colours = |x: Tensor| ops::get_item(x, (ops::Index::Ellipsis, ..3));
    // as `x[None, 0]`
    let image = |x: Tensor| ops::get_item(colours(x), (ops::Index::NewAxis, 0));
    match key {
        "one_hot|I|9" => one(ops::one_hot(i, 9)),
        "top_k|A|2" => several(ops::top_k(a, 2).tensors()).map(|both| both[..1].to_vec()),
        "segment_sum" => one(ops::segment_sum(a, [0, 0, 2]).num_segments(3)),
        "segment_max" => one(ops::segment_max(a, [0, 0, 2]).num_segments(3)),
        "scatter" => one(ops::scatter(rows(), part(&a, 2), [4, 4, 5])),
        "scatter_update" => one(ops::scatter_update(a, rows(), part(&b, 2))),
        "slice" => one(ops::slice(a, [0, 1, 1], [2, 2, 3])),
        "slice_update" => one(ops::slice_update(a, [0, 1, 1], ops::get_item(b, (..2, ..2, ..3)))),
        "interp_map_coordinates" => one(ops::image::map_coordinates(ops::get_item(a, 0), [[0.5, 1.2], [2.1, 3.3]], 1)),
        "gaussian_blur" => one(ops::image::gaussian_blur(ops::full([1, 6, 6, 3], 0.5))),
        "rgb_to_grayscale" => one(ops::image::rgb_to_grayscale(colours(p))),
        "rgb_to_hsv" => one(ops::image::rgb_to_hsv(colours(p))),
        "dot_product_attention" => one(ops::dot_product_attention(headed(&a), headed(&b), headed(&a))),
        "associative_scan_add" => {
            ops::associative_scan(ops::add, a).results().map(|sums| vec![sums]).map_err(|error| error.to_string())
        }
        "extract_sequences" => one(ops::extract_sequences(a, 3, 1)),
        "fft_real" => one(ops::fft((a, b)).real),
        "rfft_imag" => one(ops::Complex::from(ops::rfft(a).fft_length(8)).imag),
        "moments_var" => several(ops::moments(a, [0, 1]).tensors()).map(|both| both[1..].to_vec()),
        "image_resize_bilinear" => one(ops::image::resize(image(p), [6, 7])),
        "affine_transform" => one(ops::image::affine_transform(image(p), [[1.0, 0.1, 0.2, -0.1, 1.0, 0.3, 0.0, 0.0]])),
        other => Err(format!("the table of calls does not know `{other}`")),
    }
}
