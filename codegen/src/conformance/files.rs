//! Kernels with inputs and expected outputs, one text file each.
//!
//! After the kernel, each on a line of its own:
//!
//! ```text
//! dims 5                  # one value a dimension parameter, where there are some
//! tasks 0..2
//! x = 1.0, 2.0, 3.0       # a buffer's elements
//! y = undefined 3         # a number of elements, bytes of ones
//! expect y = 2.0, 4.0, 6.0
//! ```
//!
//! The expected elements are the interpreter's (multiply-add rounding twice); `KC_BLESS=1` writes them anew.

use super::Subject;
use super::compare::{Case, check, difference, is_output};
use kc_ir::DType;
use kc_ir::kernel::interpret::MultiplyAddRounding;
use kc_ir::kernel::{Kernel, parse_kernel, print_kernel};
use kc_ir::tensor::{Literal, Scalar};
use std::fs;
use std::path::PathBuf;

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "kernels"].iter().collect()
}

/// Runs every file on the interpreter and on the back end; an error is the text of all failures.
pub fn run(backend: &dyn Subject) -> Result<(), String> {
    let mut paths = fs::read_dir(folder())
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>())
        .map_err(|error| format!("{}: {error}", folder().display()))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "kernel"));
    paths.sort();
    let mut failures = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Err(failure) = fs::read_to_string(&path).map_err(|error| error.to_string()).and_then(|text| {
            let file = File::parse(&text)?;
            let given = file.case.interpreted(MultiplyAddRounding::Twice)?;
            if std::env::var_os("KC_BLESS").is_some() {
                fs::write(&path, file.print(&given)).map_err(|error| error.to_string())?;
            } else {
                file.expect(&given)?;
            }
            if backend.takes(&file.case.kernel) { check(backend, &file.case) } else { Ok(()) }
        }) {
            failures.push(format!("{name}: {failure}"));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// A parsed file.
struct File {
    case: Case,
    /// Comment lines at the start.
    head: String,
    /// The lines after the kernel but for expectations.
    directives: Vec<String>,
    /// By buffer.
    expected: Vec<Option<Vec<u8>>>,
}

impl File {
    fn parse(text: &str) -> Result<Self, String> {
        let end = text.find("\n}\n").ok_or("expected a kernel that ends with a line `}`")? + 3;
        let (kernel_text, rest) = text.split_at(end);
        let head =
            kernel_text.lines().take_while(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        let kernel = parse_kernel(kernel_text).map_err(|error| error.to_string())?;
        let parameters = kernel.parameters();
        let mut file = File {
            case: Case { buffers: vec![Vec::new(); parameters], dims: vec![], tasks: 0..1, kernel },
            head,
            directives: vec![],
            expected: vec![None; parameters],
        };
        for line in rest.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            file.directive(line).map_err(|error| format!("`{line}`: {error}"))?;
        }
        Ok(file)
    }

    fn directive(&mut self, line: &str) -> Result<(), String> {
        let integer = |text: &str| text.trim().parse::<i64>().map_err(|_| format!("`{text}` is no number"));
        if let Some(expected) = line.strip_prefix("expect ") {
            let (buffer, bytes) = buffer(&self.case.kernel, expected)?;
            self.expected[buffer] = Some(bytes);
            return Ok(());
        }
        self.directives.push(line.to_string());
        if let Some(dims) = line.strip_prefix("dims ") {
            self.case.dims = dims.split(',').map(integer).collect::<Result<_, _>>()?;
        } else if let Some(tasks) = line.strip_prefix("tasks ") {
            let (first, end) = tasks.split_once("..").ok_or("expected a range such as `0..4`")?;
            self.case.tasks = integer(first)?..integer(end)?;
        } else {
            let (buffer, bytes) = buffer(&self.case.kernel, line)?;
            self.case.buffers[buffer] = bytes;
        }
        Ok(())
    }

    fn expect(&self, given: &[Vec<u8>]) -> Result<(), String> {
        let memories = self.case.kernel.memory.iter().zip(given).zip(&self.expected);
        for ((memory, given), expected) in memories.filter(|((memory, _), _)| is_output(memory.space)) {
            let Some(expected) = expected else {
                return Err(format!("there is no line `expect {} = ..`; KC_BLESS=1 writes it", memory.name));
            };
            difference(memory.dtype, given, expected)
                .map_err(|error| format!("interpreter: `{}`{error}", memory.name))?;
        }
        Ok(())
    }

    /// The file with the given outputs as what is expected.
    fn print(&self, given: &[Vec<u8>]) -> String {
        let mut text = format!("{}{}\n", self.head, print_kernel(&self.case.kernel));
        for directive in &self.directives {
            text.push_str(&format!("{directive}\n"));
        }
        for (memory, given) in self.case.kernel.memory.iter().zip(given).filter(|(memory, _)| is_output(memory.space)) {
            let elements = given.chunks(memory.dtype.bytes()).map(|bytes| element_text(memory.dtype, bytes));
            text.push_str(&format!("expect {} = {}\n", memory.name, elements.collect::<Vec<_>>().join(", ")));
        }
        text
    }
}

/// A buffer and its bytes, from `name = 1.0, 2.0` or `name = undefined 4`.
fn buffer(kernel: &Kernel, line: &str) -> Result<(usize, Vec<u8>), String> {
    let (name, values) = line.split_once(" = ").ok_or("expected `dims`, `tasks`, `expect` or `name = ..`")?;
    let parameters = kernel.memory.iter().take(kernel.parameters());
    let position = parameters.clone().position(|memory| memory.name == name);
    let position = position.ok_or_else(|| format!("there is no buffer `{name}`"))?;
    let dtype = kernel.memory[position].dtype;
    if let Some(elements) = values.strip_prefix("undefined ") {
        let elements: usize = elements.parse().map_err(|_| format!("`{elements}` is no number of elements"))?;
        return Ok((position, vec![0xff; elements * dtype.bytes()]));
    }
    let mut bytes = Vec::new();
    for value in values.split(',').map(str::trim) {
        let scalar = match (dtype.is_float(), value.parse::<f64>(), value.parse::<i128>()) {
            (true, Ok(value), _) => Scalar::Float(value),
            (false, _, Ok(value)) => Scalar::Int(value),
            _ => return Err(format!("`{value}` is no {dtype}")),
        };
        bytes.extend_from_slice(Literal::scalar(dtype, scalar).bytes());
    }
    Ok((position, bytes))
}

fn element_text(dtype: DType, bytes: &[u8]) -> String {
    match Literal::from_bytes(dtype, vec![], bytes).map(|literal| literal.get(0)) {
        Some(Scalar::Int(value)) => value.to_string(),
        Some(Scalar::Float(value)) if dtype == DType::F32 => format!("{:?}", value as f32),
        Some(Scalar::Float(value)) => format!("{value:?}"),
        None => "?".to_string(),
    }
}
