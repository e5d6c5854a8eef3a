//! From a call in a table to the function of `kc::ops`.

use super::table::{Argument, Call};
use kc::ops::{self, Axes, Tensor};
use serde_json::Value;

/// The tensors that a call gives. An error says what is missing or wrong.
pub fn results(call: &Call) -> Result<Vec<Tensor>, String> {
    let results = if call.is_special { special(call) } else { plain(call) };
    let results = results?;
    // an error comes out here, at its call
    results.iter().try_for_each(|result| ops::shape(result).map(|_| ())).map_err(|error| error.to_string())?;
    Ok(results)
}

fn tensor(argument: &Argument) -> Result<Tensor, String> {
    match argument {
        Argument::Array(array) => Ok(array.into()),
        Argument::Plain(value) => number(value),
        Argument::List(_) => Err("a list of tensors was given, expected one".to_string()),
    }
}

fn number(value: &Value) -> Result<Tensor, String> {
    if let Some(value) = value.as_bool() {
        return Ok(value.into());
    }
    if let Some(value) = value.as_i64() {
        return Ok(value.into());
    }
    if let Some("inf" | "-inf") = value.as_str() {
        return Ok(if value == "inf" { f64::INFINITY } else { f64::NEG_INFINITY }.into());
    }
    value.as_f64().map(Tensor::from).ok_or_else(|| format!("{value} is no number"))
}

impl Call {
    pub(super) fn x(&self, position: usize) -> Result<Tensor, String> {
        self.args.get(position).ok_or_else(|| format!("there is no argument {position}")).and_then(tensor)
    }

    pub(super) fn list(&self, position: usize) -> Result<Vec<Tensor>, String> {
        match self.args.get(position) {
            Some(Argument::List(list)) => list.iter().map(tensor).collect(),
            Some(other) => Ok(vec![tensor(other)?]),
            None => Err(format!("there is no argument {position}")),
        }
    }

    pub(super) fn tail(&self, position: usize) -> Result<Vec<Tensor>, String> {
        self.args[position.min(self.args.len())..].iter().map(tensor).collect()
    }

    /// A positional argument that is no tensor, or a named one.
    pub(super) fn value(&self, position: usize, name: &str) -> Option<&Value> {
        match self.args.get(position) {
            Some(Argument::Plain(value)) => Some(value),
            _ => self.kwargs.get(name),
        }
        .filter(|value| !value.is_null())
    }

    pub(super) fn named(&self, name: &str) -> Option<&Value> {
        self.kwargs.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn axes(&self, name: &str) -> Axes {
        match self.named(name) {
            None => Axes::All,
            Some(value) => Axes::Some(integers(value)),
        }
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.named(name).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.named(name).and_then(Value::as_i64).unwrap_or(default)
    }

    pub(super) fn float(&self, name: &str, default: f64) -> f64 {
        self.named(name).and_then(Value::as_f64).unwrap_or(default)
    }

    pub(super) fn text(&self, name: &str, default: &str) -> String {
        self.named(name).and_then(Value::as_str).unwrap_or(default).to_string()
    }

    pub(super) fn dtype(&self) -> ops::DTypeName {
        self.named("dtype").and_then(Value::as_str).map_or(ops::DTypeName::Default, ops::DTypeName::from)
    }

    /// A number or a list of numbers.
    pub(super) fn numbers(&self, position: usize) -> Result<ops::Integers, String> {
        match self.args.get(position) {
            Some(Argument::Plain(value)) if value.is_i64() => Ok(value.as_i64().unwrap_or(0).into()),
            Some(Argument::Plain(value)) => Ok(integers(value).into()),
            Some(Argument::Array(array)) => {
                Ok(crate::arrays::values(array).iter().map(|&x| x as i64).collect::<Vec<i64>>().into())
            }
            _ => Err(format!("argument {position} is no list of numbers")),
        }
    }

    pub(super) fn shape(&self, position: usize) -> Result<Vec<i64>, String> {
        match self.args.get(position) {
            Some(Argument::Plain(value)) => Ok(integers(value)),
            _ => Err(format!("argument {position} is no shape")),
        }
    }

    pub(super) fn bound(&self, value: Option<&Value>) -> ops::Bound {
        match value {
            None => ops::Bound::None,
            Some(value) => value.as_i64().map_or_else(|| value.as_f64().unwrap_or(f64::NAN).into(), ops::Bound::from),
        }
    }
}

pub(super) fn integers(value: &Value) -> Vec<i64> {
    match value {
        Value::Array(list) => list.iter().filter_map(Value::as_i64).collect(),
        one => one.as_i64().into_iter().collect(),
    }
}

pub(super) fn several(results: kc::Result<Vec<Tensor>>) -> Result<Vec<Tensor>, String> {
    results.map_err(|error| error.to_string())
}

macro_rules! calls {
    ($call:ident; unary: $($unary:ident)*; binary: $($binary:ident)*; reductions: $($reduction:ident)*; others: $($name:literal => $body:expr;)*) => {
        match $call.name.as_str() {
            $(stringify!($unary) => one(ops::$unary($call.x(0)?)),)*
            $(stringify!($binary) => one(ops::$binary($call.x(0)?, $call.x(1)?)),)*
            $(stringify!($reduction) => one(
                ops::$reduction($call.x(0)?).axis($call.axes("axis")).keepdims($call.flag("keepdims")),
            ),)*
            $($name => $body,)*
            _ => super::network::call($call),
        }
    };
}

pub(super) fn one(result: impl Into<Tensor>) -> Result<Vec<Tensor>, String> {
    Ok(vec![result.into()])
}

fn plain(c: &Call) -> Result<Vec<Tensor>, String> {
    calls! { c;
        unary: abs absolute angle arccos arccosh arcsin arcsinh arctan arctanh bitwise_invert bitwise_not cbrt ceil conj conjugate copy
            corrcoef cos cosh deg2rad exp exp2 expm1 fabs fliplr flipud floor i0 imag isfinite isinf isnan isneginf isposinf isreal log
            log10 log1p log2 logical_not negative rad2deg ravel real reciprocal sign signbit sin sinc sinh sqrt square tan tanh trunc;
        binary: add arctan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor digitize divide divide_no_nan dot
            equal floor_divide fmax fmin fmod gcd greater greater_equal heaviside hypot inner kron lcm ldexp left_shift less less_equal
            logaddexp logaddexp2 logical_and logical_or logical_xor matmul maximum minimum multiply nextafter not_equal outer power
            right_shift subtract true_divide vdot;
        reductions: all amax amin any argmax argmin mean nanargmax nanargmin nanmax nanmean nanmin nanprod nanstd nansum nanvar
            ptp std sum var;
        others:
        "sort" => one(ops::sort(c.x(0)?).axis(c.int("axis", -1)));
            "argsort" => one(ops::argsort(c.x(0)?).axis(c.int("axis", -1)));
            "argpartition" => one(ops::argpartition(c.x(0)?, c.shape(1)?[0]));
            "median" => one(ops::median(c.x(0)?).axis(c.axes("axis")).keepdims(c.flag("keepdims")));
            "nanmedian" => one(ops::nanmedian(c.x(0)?).axis(c.axes("axis")).keepdims(c.flag("keepdims")));
            "quantile" => one(ops::quantile(c.x(0)?, c.x(1)?)
                .axis(c.axes("axis")).method(c.text("method", "linear")).keepdims(c.flag("keepdims")));
            "percentile" => one(ops::percentile(c.x(0)?, c.x(1)?)
                .axis(c.axes("axis")).method(c.text("method", "linear")).keepdims(c.flag("keepdims")));
            "nanquantile" => one(ops::nanquantile(c.x(0)?, c.x(1)?)
                .axis(c.axes("axis")).method(c.text("method", "linear")).keepdims(c.flag("keepdims")));
            "nanpercentile" => one(ops::nanpercentile(c.x(0)?, c.x(1)?)
                .axis(c.axes("axis")).method(c.text("method", "linear")).keepdims(c.flag("keepdims")));
            "cumsum" => one(ops::cumsum(c.x(0)?).axis(c.axes("axis")).dtype(c.dtype()));
            "cumprod" => one(ops::cumprod(c.x(0)?).axis(c.axes("axis")).dtype(c.dtype()));
            "nancumsum" => one(ops::nancumsum(c.x(0)?).axis(c.axes("axis")).dtype(c.dtype()));
            "nancumprod" => one(ops::nancumprod(c.x(0)?).axis(c.axes("axis")).dtype(c.dtype()));
            "take" => one(ops::take(c.x(0)?, c.x(1)?).axis(c.axes("axis")));
            "take_along_axis" => one(ops::take_along_axis(c.x(0)?, c.x(1)?).axis(c.axes("axis")));
            "unravel_index" => several(ops::unravel_index(c.x(0)?, c.shape(1)?).tensors());
            "nonzero" => several(ops::nonzero(c.x(0)?).tensors());
            "unique" => {
                let call = ops::unique(c.x(0)?).return_index(c.flag("return_index"));
                let call = call.return_inverse(c.flag("return_inverse")).return_counts(c.flag("return_counts"));
                let call = match c.named("size").and_then(Value::as_i64) {
                    Some(size) => call.size(size),
                    None => call,
                };
                several(call.fill_value(c.bound(c.named("fill_value"))).tensors())
            };
            "max" => one(ops::max(c.x(0)?).axis(c.axes("axis")).keepdims(c.flag("keepdims"))
            .initial(c.named("initial").and_then(Value::as_f64)));
        "min" => one(ops::min(c.x(0)?).axis(c.axes("axis")).keepdims(c.flag("keepdims"))
            .initial(c.named("initial").and_then(Value::as_f64)));
        "mod" => one(ops::mod_(c.x(0)?, c.x(1)?));
        "where" => one(ops::where_(c.x(0)?, c.x(1)?, c.x(2)?));
        "clip" => one(ops::clip(c.x(0)?, c.x(1)?, c.x(2)?));
        "append" => one(ops::append(c.x(0)?, c.x(1)?).axis(c.axes("axis")));
        "isclose" => one(ops::isclose(c.x(0)?, c.x(1)?)
            .rtol(c.float("rtol", 1e-5)).atol(c.float("atol", 1e-8)).equal_nan(c.flag("equal_nan")));
        "allclose" => one(ops::allclose(c.x(0)?, c.x(1)?)
            .rtol(c.float("rtol", 1e-5)).atol(c.float("atol", 1e-8)).equal_nan(c.flag("equal_nan")));
        "isin" => one(ops::isin(c.x(0)?, c.x(1)?).invert(c.flag("invert")));
        "select" => one(ops::select(c.list(0)?, c.list(1)?, c.x(2)?));
        "round" => one(ops::round(c.x(0)?).decimals(c.int("decimals", 0)));
        "nan_to_num" => {
            let call = ops::nan_to_num(c.x(0)?).nan(c.float("nan", 0.0));
            let call = call.posinf(c.named("posinf").and_then(Value::as_f64));
            one(call.neginf(c.named("neginf").and_then(Value::as_f64)))
        };
        "view" => one(ops::view(c.x(0)?).dtype(c.dtype()));
        "prod" => one(ops::prod(c.x(0)?).axis(c.axes("axis")).keepdims(c.flag("keepdims")).dtype(c.dtype()));
        "count_nonzero" => one(ops::count_nonzero(c.x(0)?).axis(c.axes("axis")));
        "average" => {
            let call = ops::average(c.x(0)?).axis(c.axes("axis"));
            one(match c.tensors.get("weights") {
                Some(weights) => call.weights(weights),
                None => call,
            })
        };
        "trapezoid" => {
            let call = ops::trapezoid(c.x(0)?).dx(c.float("dx", 1.0)).axis(c.int("axis", -1));
            one(match c.tensors.get("x") {
                Some(x) => call.x(x),
                None => call,
            })
        };
        "searchsorted" => one(ops::searchsorted(c.x(0)?, c.x(1)?).side(c.text("side", "left")));
        "histogram" => {
            let range = c.named("range").and_then(|range| Some((range[0].as_f64()?, range[1].as_f64()?)));
            several(ops::histogram(c.x(0)?).bins(c.int("bins", 10)).range(range).tensors())
        };
        "bincount" => {
            let call = ops::bincount(c.x(0)?).minlength(c.int("minlength", 0));
            one(match c.tensors.get("weights") {
                Some(weights) => call.weights(weights),
                None => call,
            })
        };
        "reshape" => one(ops::reshape(c.x(0)?, c.shape(1)?));
        "broadcast_to" => one(ops::broadcast_to(c.x(0)?, c.shape(1)?));
        "expand_dims" => one(ops::expand_dims(c.x(0)?, c.shape(1)?));
        "squeeze" => one(ops::squeeze(c.x(0)?).axis(c.axes("axis")));
        "transpose" => one(ops::transpose(c.x(0)?).axes(c.axes("axes")));
        "swapaxes" => one(ops::swapaxes(c.x(0)?, c.shape(1)?[0], c.shape(2)?[0]));
        "moveaxis" => one(ops::moveaxis(c.x(0)?, c.numbers(1)?, c.numbers(2)?));
        "flip" => one(ops::flip(c.x(0)?).axis(c.axes("axis")));
        "rot90" => {
            let axes = c.named("axes").map_or(vec![0, 1], integers);
            one(ops::rot90(c.x(0)?).k(c.int("k", 1)).axes(axes))
        };
        "roll" => one(ops::roll(c.x(0)?, c.numbers(1)?).axis(c.axes("axis")));
        "repeat" => one(ops::repeat(c.x(0)?, c.numbers(1)?).axis(c.axes("axis")));
        "tile" => one(ops::tile(c.x(0)?, c.numbers(1)?));
        "diff" => one(ops::diff(c.x(0)?).n(c.int("n", 1)).axis(c.int("axis", -1)));
        "diagonal" => one(ops::diagonal(c.x(0)?)
            .offset(c.int("offset", 0)).axis1(c.int("axis1", 0)).axis2(c.int("axis2", 1)));
        "trace" => one(ops::trace(c.x(0)?)
            .offset(c.int("offset", 0)).axis1(c.int("axis1", 0)).axis2(c.int("axis2", 1)));
        "pad" => {
            let width = match c.value(1, "pad_width") {
                Some(Value::Array(pairs)) if pairs.iter().all(Value::is_array) => {
                    pairs.iter().map(|pair| { let pair = integers(pair); [pair[0], pair[1]] }).collect::<Vec<[i64; 2]>>()
                }
                Some(value) => { let all = integers(value); vec![[all[0], all[all.len() - 1]]] }
                None => return Err("`pad_width` is missing".to_string()),
            };
            let call = ops::pad(c.x(0)?, width).mode(c.text("mode", "constant"));
            one(call.constant_values(c.named("constant_values").and_then(Value::as_f64)))
        };
        "concatenate" => one(ops::concatenate(c.list(0)?).axis(c.int("axis", 0)));
        "stack" => one(ops::stack(c.list(0)?).axis(c.int("axis", 0)));
        "vstack" => one(ops::vstack(c.list(0)?));
        "hstack" => one(ops::hstack(c.list(0)?));
        "dstack" => one(ops::dstack(c.list(0)?));
        "split" => several(ops::split(c.x(0)?, c.numbers(1)?).axis(c.int("axis", 0)).tensors());
        "array_split" => several(ops::array_split(c.x(0)?, c.numbers(1)?).axis(c.int("axis", 0)).tensors());
        "vsplit" => several(ops::vsplit(c.x(0)?, c.numbers(1)?).tensors());
        "hsplit" => several(ops::hsplit(c.x(0)?, c.numbers(1)?).tensors());
        "dsplit" => several(ops::dsplit(c.x(0)?, c.numbers(1)?).tensors());
        "meshgrid" => several(ops::meshgrid(c.tail(0)?).indexing(c.text("indexing", "xy")).tensors());
        "get_item" => {
            let key: Vec<ops::Index> = c.shape(1)?.into_iter().map(ops::Index::At).collect();
            one(ops::get_item(c.x(0)?, key))
        };
        "zeros" => one(ops::zeros(c.shape(0)?).dtype(c.dtype()));
        "ones" => one(ops::ones(c.shape(0)?).dtype(c.dtype()));
        "full" => one(ops::full(c.shape(0)?, c.x(1)?).dtype(c.dtype()));
        "zeros_like" => one(ops::zeros_like(c.x(0)?).dtype(c.dtype()));
        "ones_like" => one(ops::ones_like(c.x(0)?).dtype(c.dtype()));
        "full_like" => one(ops::full_like(c.x(0)?, c.x(1)?).dtype(c.dtype()));
        "array" => one(ops::array(c.x(0)?).dtype(c.dtype()));
        "arange" => {
            let call = ops::arange(c.bound(c.value(0, "start"))).stop(c.bound(c.value(1, "stop"))).dtype(c.dtype());
            one(match c.value(2, "step") {
                Some(step) => call.step(c.bound(Some(step))),
                None => call,
            })
        };
        "eye" => one(ops::eye(c.bound(c.value(0, "N"))).m(c.bound(c.named("M"))).k(c.int("k", 0)).dtype(c.dtype()));
        "tri" => one(ops::tri(c.bound(c.value(0, "N"))).m(c.bound(c.named("M"))).k(c.int("k", 0)).dtype(c.dtype()));
        "identity" => one(ops::identity(c.bound(c.value(0, "n"))).dtype(c.dtype()));
        "tril" => one(ops::tril(c.x(0)?).k(c.int("k", 0)));
        "triu" => one(ops::triu(c.x(0)?).k(c.int("k", 0)));
        "diag" => one(ops::diag(c.x(0)?).k(c.int("k", 0)));
        "diagflat" => one(ops::diagflat(c.x(0)?).k(c.int("k", 0)));
        "vander" => one(ops::vander(c.x(0)?).n(c.bound(c.named("N"))).increasing(c.flag("increasing")));
        "linspace" => several(ops::linspace(c.x(0)?, c.x(1)?)
            .num(c.int("num", 50)).endpoint(c.named("endpoint").is_none()).retstep(c.flag("retstep"))
            .dtype(c.dtype()).axis(c.int("axis", 0)).tensors());
        "logspace" => one(ops::logspace(c.x(0)?, c.x(1)?)
            .num(c.int("num", 50)).endpoint(c.named("endpoint").is_none()).base(c.float("base", 10.0))
            .dtype(c.dtype()).axis(c.int("axis", 0)));
        "geomspace" => one(ops::geomspace(c.x(0)?, c.x(1)?)
            .num(c.int("num", 50)).endpoint(c.named("endpoint").is_none()).dtype(c.dtype()).axis(c.int("axis", 0)));
        "bartlett" => one(ops::bartlett(c.shape(0)?[0]));
        "blackman" => one(ops::blackman(c.shape(0)?[0]));
        "hamming" => one(ops::hamming(c.shape(0)?[0]));
        "hanning" => one(ops::hanning(c.shape(0)?[0]));
        "kaiser" => one(ops::kaiser(c.shape(0)?[0], c.value(1, "beta").and_then(Value::as_f64).unwrap_or(0.0)));
        "tensordot" => {
            let axes = match c.named("axes") {
                Some(Value::Array(pair)) => ops::ContractedAxes::Pairs(integers(&pair[0]), integers(&pair[1])),
                other => ops::ContractedAxes::Adjacent(other.and_then(Value::as_i64).unwrap_or(2)),
            };
            one(ops::tensordot(c.x(0)?, c.x(1)?).axes(axes))
        };
        "einsum" => {
            let text = c.value(0, "subscripts").and_then(Value::as_str).ok_or("no subscripts")?;
            one(ops::einsum(text, c.tail(1)?))
        };
        "cross" => one(ops::cross(c.x(0)?, c.x(1)?)
            .axisa(c.int("axisa", -1)).axisb(c.int("axisb", -1)).axisc(c.int("axisc", -1)).axis(c.axes("axis")));
        "correlate" => one(ops::correlate(c.x(0)?, c.x(1)?).mode(c.text("mode", "valid")));
    }
}

/// The calls of `ops.npz` that are not said by their keys.
fn special(c: &Call) -> Result<Vec<Tensor>, String> {
    let [a, b, p, _spd, _sq, i, bo] = [0, 1, 2, 3, 4, 5, 6].map(|position| c.x(position));
    let (a, b, p, i, bo) = (a?, b?, p?, i?, bo?);
    // as `x[0, position]`
    let row = |x: &Tensor, position: i64| ops::get_item(x, (0, position));
    match c.name.as_str() {
        "matmul|A|Bt" => one(ops::matmul(a, ops::transpose(b).axes([0, 2, 1]))),
        "einsum|abc,abd->acd" => one(ops::einsum("abc,abd->acd", [a, b])),
        "tensordot|A|B|2" => one(ops::tensordot(a, ops::transpose(b).axes([1, 2, 0])).axes(2)),
        "pad|A|1" => one(ops::pad(a, 1)),
        "pad|A|reflect" => one(ops::pad(a, 1).mode("reflect")),
        "roll|A|2|1" => one(ops::roll(a, 2).axis(1)),
        "repeat|A|2|1" => one(ops::repeat(a, 2).axis(1)),
        "tile|A|1,2,1" => one(ops::tile(a, [1, 2, 1])),
        "where|BO|A|B" => one(ops::where_(bo, a, b)),
        "clip|A" => one(ops::clip(a, -0.5, 0.5)),
        "digitize|A" => one(ops::digitize(a, [-1.0, 0.0, 1.0])),
        "take|A|I|1" => one(ops::take(a, i % 4).axis(1)),
        "searchsorted" => one(ops::searchsorted(ops::sort(row(&a, 0)), row(&b, 0))),
        "quantile|A|.3" => one(ops::quantile(a, 0.3)),
        "bincount|I" => one(ops::bincount(ops::ravel(i)).minlength(9)),
        "cross|A3|B3" => {
            let first = |x: Tensor| ops::get_item(x, (ops::Index::Ellipsis, ..3));
            one(ops::cross(first(a), first(b)))
        }
        "outer" => one(ops::outer(row(&a, 0), row(&b, 0))),
        "kron" => one(ops::kron(ops::get_item(&a, (0, ..2)), ops::get_item(&b, (0, ..2)))),
        "logical_xor" => one(ops::logical_xor(bo, ops::greater(a, 0))),
        "meshgrid0" => several(ops::meshgrid([row(&a, 0), row(&a, 1)]).tensors()).map(|grids| grids[..1].to_vec()),
        "linspace" => one(ops::linspace(0.0, 1.0).num(7)),
        "arange" => one(ops::arange(2).stop(11).step(3)),
        other => super::network::special(other, [a, b, p, i]),
    }
}
