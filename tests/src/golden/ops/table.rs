//! The tables of calls.

use crate::golden::folder;
use kc::datasets::read_npz;
use kc_ir::DType;
use kc_runtime::Array;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A test: calls, and what Keras computed.
#[derive(Clone, Debug)]
pub struct Row {
    /// `ops/mean|A`, `ops_more/mean` or `ops_nn/conv`.
    pub name: String,
    /// The calls.
    pub calls: Vec<Call>,
    /// How far floating-point elements may be off at least, absolute and relative.
    pub tolerance: f64,
}

/// A call of a function.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function.
    pub name: String,
    /// Whether it is written out in `calls.rs`, by its name.
    pub is_special: bool,
    /// The call as a person writes it.
    pub text: String,
    /// What stands in parentheses.
    pub args: Vec<Argument>,
    /// What has a name.
    pub kwargs: Map<String, Value>,
    /// The arrays among the named arguments.
    pub tensors: BTreeMap<String, Array>,
    /// What Keras computed.
    pub out: Vec<Array>,
    /// Weights of the floating-point results in a sum, and the sum's derivatives by the floating-point arrays among the arguments.
    pub gradients: Option<(Vec<Array>, Vec<Array>)>,
}

/// A positional argument.
#[derive(Clone, Debug)]
pub enum Argument {
    /// An array.
    Array(Array),
    /// A number, a text, a list of numbers.
    Plain(Value),
    /// A list with arrays.
    List(Vec<Argument>),
}

/// All tests of the tables.
pub fn rows() -> Result<Vec<Row>, String> {
    let mut rows = keys()?;
    rows.extend(more("ops_more")?);
    rows.extend(more("ops_nn")?);
    rows.extend(more("ops_gradients")?);
    rows.extend(more("ops_corners")?);
    Ok(rows)
}

fn arrays(file: &str) -> Result<BTreeMap<String, Array>, String> {
    read_npz(&folder().join(file)).map_err(|error| error.to_string())
}

/// `ops.npz`: a key is the function, then the names of the arrays that it was called with, or what the table below says.
fn keys() -> Result<Vec<Row>, String> {
    let arrays = arrays("ops.npz")?;
    let operands = ["A", "B", "P", "SPD", "SQ", "I", "BO"];
    let results = arrays.iter().filter(|(key, _)| !operands.contains(&key.as_str()));
    results.map(|(key, out)| key_row(key, out, &arrays)).collect()
}

fn key_row(key: &str, out: &Array, arrays: &BTreeMap<String, Array>) -> Result<Row, String> {
    let parts: Vec<&str> = key.split('|').collect();
    let named = |name: &str| arrays.get(name).cloned().map(Argument::Array);
    let mut args: Vec<Argument> = Vec::new();
    let mut kwargs = Map::new();
    if !KEYS_WITH_CALLS.contains(&key) {
        for part in &parts[1..] {
            match (named(part), part.strip_prefix("axis=")) {
                (Some(array), _) => args.push(array),
                (None, Some(axis)) => {
                    kwargs.insert("axis".to_string(), json!(axis.parse::<i64>().map_err(|error| error.to_string())?));
                }
                (None, None) => return Err(format!("`{key}` names an array that is not there")),
            }
        }
    } else {
        // the call is written in Rust, with these arrays
        args = ["A", "B", "P", "SPD", "SQ", "I", "BO"].into_iter().filter_map(named).collect();
    }
    let name = if KEYS_WITH_CALLS.contains(&key) { key } else { parts[0] }.to_string();
    let is_special = KEYS_WITH_CALLS.contains(&key);
    let call = Call {
        name,
        is_special,
        text: key.to_string(),
        args,
        kwargs,
        tensors: BTreeMap::new(),
        out: vec![out.clone()],
        gradients: None,
    };
    Ok(Row { name: format!("ops/{key}"), calls: vec![call], tolerance: 1e-4 })
}

/// The keys whose calls `special` in `calls.rs` writes out.
const KEYS_WITH_CALLS: &[&str] = &[
    "matmul|A|Bt",
    "einsum|abc,abd->acd",
    "tensordot|A|B|2",
    "take|A|I|1",
    "one_hot|I|9",
    "top_k|A|2",
    "pad|A|1",
    "pad|A|reflect",
    "roll|A|2|1",
    "repeat|A|2|1",
    "tile|A|1,2,1",
    "where|BO|A|B",
    "clip|A",
    "segment_sum",
    "segment_max",
    "scatter",
    "scatter_update",
    "slice",
    "slice_update",
    "fft_real",
    "rfft_imag",
    "interp_map_coordinates",
    "gaussian_blur",
    "rgb_to_grayscale",
    "rgb_to_hsv",
    "dot_product_attention",
    "searchsorted",
    "digitize|A",
    "bincount|I",
    "cross|A3|B3",
    "outer",
    "kron",
    "associative_scan_add",
    "logical_xor",
    "meshgrid0",
    "linspace",
    "arange",
    "extract_sequences",
    "moments_var",
    "quantile|A|.3",
    "image_resize_bilinear",
    "affine_transform",
];

#[derive(Deserialize)]
struct Stored {
    name: String,
    args: Vec<Value>,
    kwargs: Map<String, Value>,
    out: Vec<Value>,
    #[serde(default)]
    cotangents: Vec<Value>,
    #[serde(default)]
    gradients: Vec<Value>,
}

/// A file of calls: see its generator in `golden/`. The calls of a function are one test.
fn more(file: &str) -> Result<Vec<Row>, String> {
    let arrays = arrays(&format!("{file}.npz"))?;
    let bytes = |name: &str| arrays.get(name).map(Array::bytes).ok_or_else(|| format!("`{file}.npz` has no `{name}`"));
    let data = bytes("data")?;
    let stored: Vec<Stored> = serde_json::from_slice(bytes("calls")?).map_err(|error| error.to_string())?;
    let mut rows: BTreeMap<String, Vec<Call>> = BTreeMap::new();
    for call in stored {
        let args = call.args.iter().map(|value| argument(value, data)).collect::<Result<Vec<_>, String>>()?;
        let mut tensors = BTreeMap::new();
        for (name, value) in call.kwargs.iter().filter(|(_, value)| value.is_object()) {
            tensors.insert(name.clone(), array(value, data)?);
        }
        let arrays =
            |values: &[Value]| values.iter().map(|value| array(value, data)).collect::<Result<Vec<_>, String>>();
        let out = arrays(&call.out)?;
        let has_gradients = !call.gradients.is_empty();
        let gradients = if has_gradients {
            let weighted = arrays(&call.cotangents)?.into_iter().zip(&out).filter(|(_, out)| out.dtype().is_float());
            Some((weighted.map(|(cotangent, _)| cotangent).collect(), arrays(&call.gradients)?))
        } else {
            None
        };
        let shown: Vec<String> =
            args.iter().map(shown).chain(call.kwargs.iter().map(|(k, v)| format!("{k}={v}"))).collect();
        let text = format!("{}({})", call.name, shown.join(", "));
        let row = if has_gradients { format!("gradient/{}", call.name) } else { format!("{file}/{}", call.name) };
        rows.entry(row).or_default().push(Call {
            name: call.name,
            is_special: false,
            text,
            args,
            kwargs: call.kwargs,
            tensors,
            out,
            gradients,
        });
    }
    Ok(rows.into_iter().map(|(name, calls)| Row { name, calls, tolerance: 0.0 }).collect())
}

fn shown(argument: &Argument) -> String {
    match argument {
        Argument::Array(array) => format!("{}{:?}", array.dtype(), array.shape()),
        Argument::Plain(value) => value.to_string(),
        Argument::List(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(", ")),
    }
}

fn argument(value: &Value, data: &[u8]) -> Result<Argument, String> {
    Ok(match value {
        Value::Object(_) => Argument::Array(array(value, data)?),
        Value::Array(list) if list.iter().any(Value::is_object) => {
            Argument::List(list.iter().map(|value| argument(value, data)).collect::<Result<_, _>>()?)
        }
        plain => Argument::Plain(plain.clone()),
    })
}

fn array(value: &Value, data: &[u8]) -> Result<Array, String> {
    #[derive(Deserialize)]
    struct Place {
        dtype: String,
        shape: Vec<usize>,
        at: usize,
    }
    let place = Place::deserialize(value).map_err(|error| error.to_string())?;
    let dtype: DType = place.dtype.parse().map_err(|_| format!("unknown dtype `{}`", place.dtype))?;
    let length = place.shape.iter().product::<usize>() * dtype.bytes();
    let bytes = data.get(place.at..place.at + length).ok_or("an array lies outside of the data")?;
    Array::from_bytes(dtype, &place.shape, bytes).map_err(|error| error.to_string())
}
