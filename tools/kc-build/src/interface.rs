//! The Rust interface of a package.

use kc_runtime::Package;
use kc_runtime::kc_abi::call::Intrinsic;
use kc_runtime::kc_abi::library::LibraryFunction;
use kc_runtime::kc_abi::manifest::{Entry, InputRole, launches};
use kc_runtime::kc_abi::{DType, TensorType};
use std::collections::BTreeSet;
use std::fmt::Write;

/// A tensor of the entry point as an argument or a result.
struct Tensor {
    name: String,
    /// The type of an element.
    element: &'static str,
    /// Extents of one sample.
    shape: Vec<usize>,
}

impl Tensor {
    /// The type of one sample: `[[u8; 28]; 28]`.
    fn sample(&self) -> String {
        self.shape.iter().rev().fold(self.element.to_owned(), |inner, extent| format!("[{inner}; {extent}]"))
    }

    /// A sample of zeros.
    fn zero(&self) -> String {
        self.shape.iter().rev().fold(format!("0 as {}", self.element), |inner, extent| format!("[{inner}; {extent}]"))
    }

    /// From samples to elements.
    fn flat(&self, method: &str) -> String {
        format!(".{method}()").repeat(self.shape.len())
    }
}

/// The features of kc-runtime that a package's code needs, beyond those that all have, ascending.
pub fn features(package: &Package) -> Vec<&'static str> {
    let others = package.others.iter().filter_map(|other| other.manifest().ok());
    let names = others.chain([package.manifest.clone()]).flat_map(|manifest| manifest.code.library);
    let functions = names.filter_map(|name| LibraryFunction::from_name(&name));
    let features: BTreeSet<&str> = functions.filter_map(|function| function.provider().feature()).collect();
    features.into_iter().collect()
}

/// The name of the type that [`interface`] writes for a package of that name: its words in camel case, behind `Model` where they alone are
/// no name for it.
pub fn type_name(name: &str) -> String {
    camel_case(name)
}

/// Rust source of a type that predicts with a package, and trains it.
///
/// The type has the name's words in camel case. `NAME::new()` loads the package that `path`, an expression of Rust, names. Where every input
/// and output has its extents known but for the batch, and elements of a number type of Rust, `predict` takes one sample of each input and
/// gives one of each output, and `predict_batch` takes and fills slices of as many samples as there are. `predict_arrays` is there in any case.
/// `session` gives what trains the model (kc-runtime's `Session`), and `from_package` a type that predicts with a session's package.
/// The program holds those of the runtime's functions that predicting calls, and no others; where the runtime's feature that has one is off, it
/// does not compile, with a message that names the feature.
pub fn interface(package: &Package, name: &str, path: &str) -> String {
    let class = camel_case(name);
    let model = &package.manifest.model;
    let (functions, checks) = functions(package);
    let mut text = format!(
        "{checks}/// The model `{}`, compiled for {}.\npub struct {class}(kc_runtime::Model);\n\n#[allow(dead_code)]\nimpl {class} {{\n",
        model.name,
        package.target()
    );
    let _ = write!(
        text,
        "    /// What its code calls outside of itself.\n    const FUNCTIONS: &kc_runtime::Functions = {functions};\n\n    \
         /// The package, which is part of this program.\n    \
         pub fn package() -> Result<kc_runtime::Package, kc_runtime::PackageError> {{\n        \
         kc_runtime::include_package!({path})\n    }}\n\n    \
         /// The model with the package's weights.\n    \
         pub fn new() -> Result<Self, kc_runtime::LoadError> {{\n        \
         Ok(Self(kc_runtime::Model::with_functions(Self::package()?, Self::FUNCTIONS)?))\n    }}\n\n    \
         /// The model as a session leaves it.\n    \
         pub fn from_package(package: kc_runtime::Package) -> Result<Self, kc_runtime::SessionError> {{\n        \
         Ok(Self(kc_runtime::Model::with_functions(package, Self::FUNCTIONS)?))\n    }}\n\n    \
         /// A session that trains, evaluates and predicts, with a copy of the package's state.\n    \
         pub fn session() -> Result<kc_runtime::Session, kc_runtime::LoadError> {{\n        \
         Ok(kc_runtime::Session::from_package(Self::package()?, &Default::default())?)\n    }}\n\n    \
         /// The outputs for arrays, one an input of the model.\n    \
         pub fn predict_arrays<A: kc_runtime::Argument>(&self, inputs: &[A]) -> Result<Vec<kc_runtime::Array>, kc_runtime::SessionError> {{\n        \
         self.0.predict(inputs)\n    }}\n"
    );
    for (output, labels) in &model.labels {
        let labels: Vec<String> = labels.iter().map(|label| format!("{label:?}")).collect();
        let _ = write!(
            text,
            "\n    /// The classes of output `{output}`.\n    pub const {}LABELS: &[&str] = &[{}];\n",
            if model.labels.len() == 1 { String::new() } else { format!("{}_", identifier(output).to_uppercase()) },
            labels.join(", ")
        );
    }
    let signature = package.manifest.entry("predict").and_then(|entry| {
        let inputs = entry.inputs.iter().filter(|input| input.role == InputRole::Feature);
        let inputs = inputs.map(|input| tensor(entry, &input.name, &input.ty)).collect::<Option<Vec<_>>>()?;
        let outputs = entry.outputs.iter().map(|output| tensor(entry, &output.name, &output.ty));
        Some((inputs, outputs.collect::<Option<Vec<_>>>()?))
            .filter(|(inputs, outputs)| inputs.len() == entry.inputs.len() && !inputs.is_empty() && !outputs.is_empty())
    });
    let Some((inputs, mut outputs)) = signature else { return text + "}\n" };
    for output in &mut outputs {
        while inputs.iter().any(|input| input.name == output.name) {
            output.name.push_str("_output");
        }
    }
    let result = match outputs.as_slice() {
        [output] => output.sample(),
        _ => format!("{class}Outputs"),
    };
    let parameters: Vec<String> = inputs.iter().map(|input| format!("{}: &{}", input.name, input.sample())).collect();
    let of_one = |tensor: &Tensor| format!("std::slice::from_ref({})", tensor.name);
    let mut arguments: Vec<String> = inputs.iter().map(of_one).collect();
    arguments.extend(outputs.iter().map(|output| format!("std::slice::from_mut(&mut {})", output.name)));
    let variables: Vec<String> =
        outputs.iter().map(|output| format!("let mut {} = {};", output.name, output.zero())).collect();
    let names: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
    let value = match outputs.as_slice() {
        [output] => output.name.clone(),
        _ => format!("{class}Outputs {{ {} }}", names.join(", ")),
    };
    let _ = write!(
        text,
        "\n    /// The outputs for one sample.\n    \
         pub fn predict(&self, {}) -> Result<{result}, kc_runtime::SessionError> {{\n        {}\n        \
         self.predict_batch({})?;\n        Ok({value})\n    }}\n",
        parameters.join(", "),
        variables.join("\n        "),
        arguments.join(", ")
    );
    let mut parameters: Vec<String> =
        inputs.iter().map(|input| format!("{}: &[{}]", input.name, input.sample())).collect();
    parameters.extend(outputs.iter().map(|output| format!("{}: &mut [{}]", output.name, output.sample())));
    let views: Vec<String> = inputs
        .iter()
        .map(|input| {
            let extents: Vec<String> = input.shape.iter().map(|extent| format!(", {extent}")).collect();
            format!(
                "kc_runtime::View::new({}{}, &[{}.len(){}]).expect(\"the shape is the type's\")",
                input.name,
                input.flat("as_flattened"),
                input.name,
                extents.concat()
            )
        })
        .collect();
    let bytes: Vec<String> = outputs
        .iter()
        .map(|output| format!("kc_runtime::bytes_mut({}{})", output.name, output.flat("as_flattened_mut")))
        .collect();
    let _ = write!(
        text,
        "\n    /// The outputs for samples, as many of each output as there are of each input.\n    \
         pub fn predict_batch(&self, {}) -> Result<(), kc_runtime::SessionError> {{\n        \
         self.0.predict_to(&[{}], &mut [{}])\n    }}\n}}\n",
        parameters.join(", "),
        views.join(", "),
        bytes.join(", ")
    );
    if outputs.len() > 1 {
        let fields: Vec<String> = outputs
            .iter()
            .map(|output| format!("    /// Output `{}`.\n    pub {}: {},\n", output.name, output.name, output.sample()))
            .collect();
        let _ = write!(
            text,
            "\n/// What [`{class}::predict`] gives.\n#[derive(Clone, Debug, PartialEq)]\npub struct {class}Outputs {{\n{}}}\n",
            fields.concat()
        );
    }
    text
}

/// The functions that predicting calls, on any of the package's machines, as an expression, and checks that the program's runtime has them.
fn functions(package: &Package) -> (String, String) {
    let (mut entries, mut library) = (BTreeSet::new(), BTreeSet::new());
    let others = package.others.iter().filter_map(|other| other.manifest().ok());
    for manifest in others.chain([package.manifest.clone()]) {
        let predict = manifest.entry("predict").into_iter().flat_map(Entry::plans);
        for launch in predict.flat_map(|plan| launches(&plan.steps)) {
            match manifest.code.kernels.get(launch.kernel).map(|kernel| &kernel.calls) {
                Some(Some(calls)) => entries.extend(calls.iter().filter_map(|name| Intrinsic::from_name(name))),
                Some(None) => entries.extend(Intrinsic::ALL),
                None => {}
            }
        }
        if entries.contains(&Intrinsic::Library) {
            library.extend(manifest.code.library.iter().filter_map(|name| LibraryFunction::from_name(name)));
        }
    }
    let methods: String = entries.iter().map(|entry| format!(".{}()", entry.name())).collect();
    let check = |function: &LibraryFunction| {
        let feature = function.provider().feature()?;
        Some(format!(
            "const _: () = assert!(\n    kc_runtime::intrinsics::provides(kc_runtime::kc_abi::library::LibraryFunction::{function:?}),\n    \
             \"the model calls `{}`: give kc-runtime its feature `{feature}`\"\n);\n",
            function.name()
        ))
    };
    (format!("&kc_runtime::Functions::NONE{methods}"), library.iter().filter_map(check).collect())
}

/// `None` where a sample has no type in Rust.
fn tensor(entry: &Entry, name: &str, ty: &TensorType) -> Option<Tensor> {
    let (batch, sample) = ty.shape.split_first()?;
    let is_batch = entry.symbols.len() == 1 && batch.as_symbol() == entry.symbols.first();
    let shape = sample.iter().map(|dim| usize::try_from(dim.as_constant()?).ok()).collect::<Option<Vec<_>>>()?;
    let element = match ty.dtype {
        DType::F64 => "f64",
        DType::F32 => "f32",
        DType::I8 => "i8",
        DType::I16 => "i16",
        DType::I32 => "i32",
        DType::I64 => "i64",
        DType::U8 => "u8",
        DType::U16 => "u16",
        DType::U32 => "u32",
        DType::U64 => "u64",
        DType::F16 | DType::Bf16 | DType::Bool => return None,
    };
    is_batch.then(|| Tensor { name: identifier(name), element, shape })
}

/// The words of a name.
fn words(name: &str) -> Vec<String> {
    let words = name.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

fn identifier(name: &str) -> String {
    const RESERVED: &[&str] = &[
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
        "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
        "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super",
        "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
    ];
    let name = words(name).join("_");
    if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) || RESERVED.contains(&name.as_str()) {
        return format!("tensor_{name}");
    }
    name
}

fn camel_case(name: &str) -> String {
    /// What [`interface`] writes without a path.
    const TAKEN: &[&str] = &["Default", "Ok", "Result", "Self", "Vec"];
    let capital = |word: &String| word[..1].to_uppercase() + &word[1..];
    let class: String = words(name).iter().map(capital).collect();
    if class.is_empty() || class.starts_with(|first: char| first.is_ascii_digit()) || TAKEN.contains(&class.as_str()) {
        format!("Model{class}")
    } else {
        class
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_identifiers() {
        let classes = ["mnist_mlp-2", "2", "result"].map(camel_case);
        assert_eq!(classes, ["MnistMlp2", "Model2", "ModelResult"]);
        assert_eq!(
            (identifier("input/layer 1"), identifier("type")),
            ("input_layer_1".to_owned(), "tensor_type".to_owned())
        );
    }
}
