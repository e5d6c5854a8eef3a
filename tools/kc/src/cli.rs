//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use kc_codegen::mlir::Machine as CodeMachine;
use std::path::PathBuf;

/// Compile, train and run Keras models written in Rust.
#[derive(Debug, Parser)]
#[command(name = "kc", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a model and save it as a package
    Fit(Fit),
    /// Compile a model into a package, or print one of its forms on the way
    Compile(Compile),
    /// Loss and metrics of a package on a data set
    Evaluate(Evaluate),
    /// Outputs of a package for an array of inputs
    Predict(Predict),
    /// Time fused against eager execution, for every back end that is present
    Bench(Bench),
    /// The model's layers with their shapes and parameters
    Summary(Summary),
    /// How a model was optimised: the rules that fired, the kernels and their cost
    Explain(Explain),
    /// Measure this machine for the cost model, and keep what was measured
    Tune(Tune),
    /// What a package holds: entry points, machines, weights, its model card, and what its programs cost
    Inspect(Inspect),
    /// Check every byte of a package, and whose signature it has
    Verify(Verify),
    /// Make a pair of keys: one that signs packages, and one that checks signatures
    Keygen(Keygen),
    /// Sign a package, so that others can check whose it is
    Sign(Sign),
    /// Leave out of a package what only training needs
    Strip(Strip),
    /// Put packages of one model, compiled for several machines, into one
    Merge(Merge),
    /// What this machine offers: CPU features, back ends, caches, data sets
    Doctor(Doctor),
    /// Opens a PJRT plug-in, so that a crash is not ours
    #[command(hide = true)]
    ProbePlugin(ProbePlugin),
}

/// `kc fit`
#[derive(Debug, Args)]
pub struct Fit {
    /// Rust file with a `#[kc::model] fn`, or a package to go on with
    pub model: PathBuf,
    /// `mnist`, an .npz file, or a folder of .npy files; without it the file's own `#[kc::data] fn`
    #[arg(long)]
    pub data: Option<String>,
    /// Passes over the training data
    #[arg(long, default_value_t = 1)]
    pub epochs: usize,
    /// Samples a step
    #[arg(long, default_value_t = 32)]
    pub batch_size: usize,
    /// Steps of one call, where the target has loops of its own (xla)
    #[arg(long, default_value_t = 1)]
    pub steps_per_execution: usize,
    /// Share of the training data that is held out, from its end
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub validation_split: f64,
    /// Validate after each epoch on `test`, the test part of the data, or on another data set, file or folder
    #[arg(long, value_name = "DATA")]
    pub validation_data: Option<String>,
    /// Seed of the initial weights and of shuffling
    #[arg(long, default_value_t = 0)]
    pub seed: u32,
    /// Keep the training data in its order
    #[arg(long)]
    pub no_shuffle: bool,
    /// Such as `early-stopping:monitor=val_loss,patience=2` or `model-checkpoint:filepath=best.kcp`; may be given several times
    #[arg(long, value_name = "CALLBACK")]
    pub callbacks: Vec<String>,
    /// 0 silent, 1 progress bar, 2 one line an epoch; `auto` is 1 on a terminal and 2 elsewhere
    #[arg(long, default_value = "auto")]
    pub verbose: Verbosity,
    /// Where to save the trained package
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// Print the history as one JSON object on standard output; progress goes to standard error
    #[arg(long)]
    pub json: bool,
    /// What to compile a model file for
    #[arg(long, default_value = "cpu")]
    pub target: Target,
    /// How it is compiled
    #[command(flatten)]
    pub code: Code,
    /// How it runs
    #[command(flatten)]
    pub machine: Machine,
    /// Where a package for XLA runs
    #[command(flatten)]
    pub device: Device,
}

/// `kc compile`
#[derive(Debug, Args)]
pub struct Compile {
    /// Rust file with a `#[kc::model] fn`; or, with `--target tpu`, a package for XLA to compile for another topology
    pub model: PathBuf,
    /// What to compile for: cpu (this machine), x86-64, x86-64-v3, x86-64-v4, aarch64-linux (several for one package, of which each machine
    /// takes the best that it can execute); wasm32, with `--emit wasm` or `object`; cuda, which is PTX for `--arch`; xla, which a PJRT plug-in
    /// compiles when the package is loaded; tpu, ahead of time for `--topology`
    #[arg(long, default_value = "cpu", value_delimiter = ',')]
    pub target: Vec<CompileTarget>,
    /// The GPU architecture that `--target cuda` is for; without it sm_80, which later GPUs run too
    #[arg(long)]
    pub arch: Option<Architecture>,
    /// With `--target cuda`: products of f32 on tensor cores, with factors rounded to tf32 (10 bits behind the point), as
    /// `torch.backends.cuda.matmul.allow_tf32` has them; sums stay f32
    #[arg(long)]
    pub tf32: bool,
    /// The devices that `--target tpu` compiles for, such as v5e:2x2, v5p:2x2x1 or v6e:2x2
    #[arg(long, value_name = "NAME", required_if_eq("target", "tpu"))]
    pub topology: Option<String>,
    /// Samples a step that `--target tpu` and `--emit stablehlo` compile for; may be given several times
    #[arg(long, default_values_t = [32])]
    pub batch_size: Vec<usize>,
    /// Steps in one call of `train_steps` that `--emit stablehlo` prints it for
    #[arg(long, default_value_t = 1)]
    pub steps_per_execution: usize,
    /// Only these entry points of StableHLO; those of an object or library, without it predict
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub entry: Vec<String>,
    /// Give this form instead of a package: a text on standard output, or in the file that `-o` names; an object, library or module with
    /// its header beside it; a crate in the folder that `-o` names
    #[arg(long)]
    pub emit: Option<Form>,
    /// Weights: a trained package of the same model
    #[arg(long, value_name = "PACKAGE")]
    pub weights: Option<PathBuf>,
    /// Batch sizes that `predict` is compiled for apart, beside the code for any
    #[arg(long, value_delimiter = ',', value_name = "N")]
    pub exact_batch: Vec<i64>,
    /// Names of the classes, one a line, of the model's only output
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// A field of the model card, such as `license=MIT`; may be given several times
    #[arg(long, value_name = "FIELD=TEXT")]
    pub card: Vec<String>,
    /// Where to write the package; without it the model's name with the extension kcp, in the current folder
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// Print how long each stage took
    #[arg(long)]
    pub timings: bool,
    /// How it is compiled
    #[command(flatten)]
    pub code: Code,
    /// Which plug-in compiles for a TPU
    #[command(flatten)]
    pub device: Device,
}

/// `kc inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// A package
    pub package: PathBuf,
}

/// `kc verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// A package
    pub package: PathBuf,
    /// The file of the public key that must have signed it
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<PathBuf>,
}

/// `kc keygen`
#[derive(Debug, Args)]
pub struct Keygen {
    /// Where to write the secret key, which only its owner may read; the public key goes beside it, with the extension pub
    #[arg(short, long)]
    pub output: PathBuf,
}

/// `kc sign`
#[derive(Debug, Args)]
pub struct Sign {
    /// A package; a signature that it has is replaced
    pub package: PathBuf,
    /// The file of the secret key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
}

/// `kc strip`
#[derive(Debug, Args)]
pub struct Strip {
    /// A package
    pub package: PathBuf,
    /// Where to write the smaller one
    #[arg(short, long)]
    pub output: PathBuf,
}

/// `kc merge`
#[derive(Debug, Args)]
pub struct Merge {
    /// Packages of one model; the weights are those of the first that has some
    #[arg(required = true, num_args = 2..)]
    pub packages: Vec<PathBuf>,
    /// Where to write the package with all code
    #[arg(short, long)]
    pub output: PathBuf,
}

/// `kc evaluate`
#[derive(Debug, Args)]
pub struct Evaluate {
    /// A trained package
    pub package: PathBuf,
    /// `mnist`, an .npz file, or a folder of .npy files
    #[arg(long)]
    pub data: String,
    /// Samples a step
    #[arg(long, default_value_t = 32)]
    pub batch_size: usize,
    /// 0 silent, 1 progress bar, 2 one line; `auto` is 1 on a terminal and 2 elsewhere
    #[arg(long, default_value = "auto")]
    pub verbose: Verbosity,
    /// Print the results as one JSON object on standard output; progress goes to standard error
    #[arg(long)]
    pub json: bool,
    /// How it runs
    #[command(flatten)]
    pub machine: Machine,
    /// Where a package for XLA runs
    #[command(flatten)]
    pub device: Device,
}

/// `kc predict`
#[derive(Debug, Args)]
pub struct Predict {
    /// A trained package
    pub package: PathBuf,
    /// Array of samples, an .npy file; once for each input of the model, in their order
    #[arg(long, required = true)]
    pub input: Vec<PathBuf>,
    /// Where to write the outputs, an .npy file; without it they are printed
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// Samples a step
    #[arg(long, default_value_t = 32)]
    pub batch_size: usize,
    /// How it runs
    #[command(flatten)]
    pub machine: Machine,
    /// Where a package for XLA runs
    #[command(flatten)]
    pub device: Device,
}

/// An entry point that `kc bench` measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchEntry {
    /// A step of training
    #[value(name = "train_step")]
    TrainStep,
    /// A prediction
    #[value(name = "predict")]
    Predict,
}

impl BenchEntry {
    /// The name in modules.
    pub const fn name(self) -> &'static str {
        match self {
            BenchEntry::TrainStep => "train_step",
            BenchEntry::Predict => "predict",
        }
    }
}

/// A way of executing that `kc bench` measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchMode {
    /// One op after the other
    Eager,
    /// The whole step as one graph
    Fused,
}

/// `kc bench`
#[derive(Debug, Args)]
pub struct Bench {
    /// Rust file with a `#[kc::model] fn`
    pub model: PathBuf,
    /// Samples a step
    #[arg(long, default_value_t = 64)]
    pub batch_size: usize,
    /// Measurements of each program, of which the median is shown; with `--ablate` also 0, for bytes and kernels only
    #[arg(long, default_value_t = 51)]
    pub repeats: usize,
    /// Entry points to measure; without it both
    #[arg(long)]
    pub entry: Vec<BenchEntry>,
    /// How kc executes; without it both ways
    #[arg(long)]
    pub mode: Vec<BenchMode>,
    /// Measure the machine's limits after the programs, and print the time that these leave
    #[arg(long)]
    pub floor: bool,
    /// Print the time of each kernel as well, beside what the cost model predicts
    #[arg(long)]
    pub explain: bool,
    /// What equality saturation is worth: without it, without each topic of rules, and with all, beside each op by itself (`--mode eager`),
    /// by bytes moved, kernels launched and time
    #[arg(long, conflicts_with_all = ["explain", "peer", "floor", "plugin"])]
    pub ablate: bool,
    /// Print the figures as one JSON object; with `--explain` with each kernel's, and the share of the time in kernels
    #[arg(long)]
    pub json: bool,
    /// Command of a program to measure beside kc, such as one of those in benches/
    #[arg(long, value_name = "COMMAND")]
    pub peer: Vec<String>,
    /// Back ends to measure; without it all that are present
    #[arg(long)]
    pub backend: Vec<Backend>,
    /// How the cheapest of all equal forms are searched for
    #[arg(long, default_value = "greedy")]
    pub extract: Extract,
    /// How it runs
    #[command(flatten)]
    pub machine: Machine,
    /// XLA to measure beside; where back ends are named, only with its plug-in named too
    #[command(flatten)]
    pub device: Device,
}

impl Bench {
    /// Whether it measures that way of executing.
    pub fn wants(&self, mode: BenchMode) -> bool {
        self.mode.is_empty() || self.mode.contains(&mode)
    }

    /// Whether it measures the entry point of that name.
    pub fn wants_entry(&self, name: &str) -> bool {
        self.entry.is_empty() || self.entry.iter().any(|entry| entry.name() == name)
    }
}

/// `kc summary`
#[derive(Debug, Args)]
pub struct Summary {
    /// Rust file with a `#[kc::model] fn`, or a package
    pub model: PathBuf,
}

/// `kc explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// Rust file with a `#[kc::model] fn`
    pub model: PathBuf,
    /// Entry point: `predict`, `train_step`, `test_step`, ...
    #[arg(long, default_value = "train_step")]
    pub entry: String,
    /// Text, a graph for Graphviz, or a picture of the kernels with their times; a page has all of it
    #[arg(long, default_value = "text")]
    pub format: ExplainFormat,
    /// Print how long each stage of compiling the entry point takes
    #[arg(long)]
    pub timings: bool,
    /// Samples a step, where kernels are timed or bytes are counted
    #[arg(long, default_value_t = 64)]
    pub batch_size: usize,
    /// How it is compiled
    #[command(flatten)]
    pub code: Code,
}

/// What `kc tune` measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TuneTarget {
    /// This machine's processor
    Cpu,
    /// A GPU
    Cuda,
}

/// `kc tune`
#[derive(Debug, Args)]
pub struct Tune {
    /// What to measure
    #[arg(long, value_enum, default_value = "cpu")]
    pub target: TuneTarget,
    /// Back ends to measure; without it all that are present
    #[arg(long)]
    pub backend: Vec<Backend>,
}

/// `kc probe-plugin`
#[derive(Debug, Args)]
pub struct ProbePlugin {
    /// The plug-in's file
    pub plugin: PathBuf,
    /// Look for its devices as well
    #[arg(long)]
    pub devices: bool,
}

/// `kc doctor`
#[derive(Debug, Args)]
pub struct Doctor {}

/// How a model is compiled.
#[derive(Debug, Args)]
pub struct Code {
    /// Code generator; `auto` takes mlir where its plug-in is, else cranelift
    #[arg(long, default_value = "auto")]
    pub backend: Backend,
    /// How the cheapest of all equal forms are searched for
    #[arg(long, default_value = "greedy")]
    pub extract: Extract,
}

/// How the cheapest forms are searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Extract {
    /// A good choice, fast
    Greedy,
    /// The optimum of the integer program where it is found soon, else the greedy choice
    Exact,
}

/// How a package runs.
#[derive(Debug, Args)]
pub struct Machine {
    /// Threads; without it one a core
    #[arg(long)]
    pub threads: Option<usize>,
}

/// Where a package for XLA runs.
#[derive(Debug, Args)]
pub struct Device {
    /// The PJRT plug-in's file; without it the one that KC_PJRT_PLUGIN names, else the one that pip installed
    #[arg(long, value_name = "FILE")]
    pub plugin: Option<PathBuf>,
}

/// A code generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// The best that is present
    Auto,
    /// MLIR and LLVM, a plug-in
    Mlir,
    /// Cranelift, built in
    Cranelift,
}

/// What code is generated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// This machine's processor
    Cpu,
    /// XLA: StableHLO, which a PJRT plug-in compiles when the package is loaded
    Xla,
    /// TPUs that need not be here: XLA compiles ahead of time for `--topology`
    Tpu,
}

/// An architecture of NVIDIA's GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    /// Ampere and later
    #[value(name = "sm_80")]
    Sm80,
    /// Hopper
    #[value(name = "sm_90a")]
    Sm90a,
    /// Blackwell
    #[value(name = "sm_100a")]
    Sm100a,
    /// The first GPU of this machine
    #[value(name = "native")]
    Native,
}

/// What `kc compile` generates code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompileTarget {
    /// A CPU.
    Cpu(CodeMachine),
    /// NVIDIA's GPUs.
    Cuda,
    /// StableHLO.
    Xla,
    /// TPUs.
    Tpu,
}

impl std::str::FromStr for CompileTarget {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "cuda" => Ok(CompileTarget::Cuda),
            "xla" => Ok(CompileTarget::Xla),
            "tpu" => Ok(CompileTarget::Tpu),
            _ => text.parse().map(CompileTarget::Cpu).map_err(|error: String| format!("{error}, cuda, xla, tpu")),
        }
    }
}

/// A form of a model on its way to code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// The traced module
    Ir,
    /// The module after differentiation and optimisation
    Opt,
    /// Kernels: loop nests over planned buffers
    Kernels,
    /// Cranelift's intermediate representation (back end cranelift)
    Clif,
    /// MLIR (back end mlir)
    Mlir,
    /// LLVM IR (back end mlir)
    Llvm,
    /// Assembly of the back end's code
    Asm,
    /// PTX, for the target cuda
    Ptx,
    /// StableHLO, for XLA
    Stablehlo,
    /// An object file that needs nothing else (back end mlir)
    Object,
    /// The same as a static library
    Staticlib,
    /// The same as a dynamic library
    Cdylib,
    /// The same as a WebAssembly module, for the target wasm32
    Wasm,
    /// A folder with a crate of Rust: the package, and an interface of its own types
    Crate,
}

/// What is shown while a model trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Verbosity {
    /// 1 on a terminal, 2 elsewhere
    Auto,
    /// Nothing
    #[value(name = "0")]
    Silent,
    /// Progress bar
    #[value(name = "1")]
    Bar,
    /// A line an epoch
    #[value(name = "2")]
    Line,
}

impl From<Verbosity> for kc_runtime::Verbose {
    fn from(verbosity: Verbosity) -> Self {
        match verbosity {
            Verbosity::Auto => kc_runtime::Verbose::Auto,
            Verbosity::Silent => kc_runtime::Verbose::Silent,
            Verbosity::Bar => kc_runtime::Verbose::Bar,
            Verbosity::Line => kc_runtime::Verbose::Lines,
        }
    }
}

/// How an explanation is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    /// For reading
    Text,
    /// For Graphviz
    Dot,
    /// The kernels as a picture
    Svg,
    /// A page with the rules, the costs, and pictures of kernels and graph
    Html,
}
