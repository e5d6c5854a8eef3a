//! The command line.

use kc_runtime::Verbose;
use lexopt::prelude::*;
use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
Runs and trains compiled packages

Usage: kc-run COMMAND PACKAGE [OPTIONS]

Commands:
  info      what the package holds
  predict   the outputs for samples
  evaluate  loss and metrics on data
  fit       train
  bench     time from the start of a process to its first prediction

Options of predict:
  --input FILE          samples, an .npy file; once for each input of the model, in their order
  -o, --output FILE     where to write the outputs, an .npy file; without it they are printed

Options of evaluate and fit:
  --data PATH           an .npz file, or a folder of .npy files
  --verbose 0|1|2|auto  nothing, a progress bar, a line an epoch; auto: 1 on a terminal, 2 elsewhere

Options of fit:
  --epochs N            number of the last epoch [default: 1]
  --initial-epoch N     number of the first epoch, from 0 [default: 0]
  --validation-split F  fraction of the samples, from the end, for validation [default: 0]
  --no-shuffle          visit the samples in their order
  --seed N              of the first weights, where the package has none, and of the order [default: 0]
  -o, --output FILE     where to write the trained package

Options of bench:
  --repeats N           processes of which the median is shown [default: 21]
  --json                print the figures as a JSON object

Options of all but info:
  --batch-size N        samples a step [default: 32]
  --threads N           threads [default: one a core]
";

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// `--help`
    Help,
    /// `--version`
    Version,
    /// `info`
    Info {
        /// The package.
        package: PathBuf,
    },
    /// `fit`
    Fit(Options),
    /// `evaluate`
    Evaluate(Options),
    /// `predict`
    Predict(Options),
    /// `bench`
    Bench {
        /// The package.
        package: PathBuf,
        /// Number of processes.
        repeats: usize,
        /// Whether to print JSON.
        json: bool,
    },
    /// One of the processes that `bench` starts.
    FirstPrediction {
        /// The package.
        package: PathBuf,
    },
}

/// The options of `fit`, `evaluate` and `predict`.
#[derive(Debug, PartialEq)]
pub struct Options {
    /// The package.
    pub package: PathBuf,
    /// `--data`; empty for `predict`.
    pub data: PathBuf,
    /// `--input`
    pub inputs: Vec<PathBuf>,
    /// `--output`
    pub output: Option<PathBuf>,
    /// `--epochs`
    pub epochs: usize,
    /// `--initial-epoch`
    pub initial_epoch: usize,
    /// `--validation-split`
    pub validation_split: f64,
    /// Without `--no-shuffle`
    pub shuffle: bool,
    /// `--seed`
    pub seed: u32,
    /// `--batch-size`
    pub batch_size: usize,
    /// `--threads`
    pub threads: usize,
    /// `--verbose`
    pub verbose: Verbose,
}

/// The command that the arguments ask for.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let (mut command, mut package) = (None::<String>, None::<PathBuf>);
    let mut options = Options {
        package: PathBuf::new(),
        data: PathBuf::new(),
        inputs: Vec::new(),
        output: None,
        epochs: 1,
        initial_epoch: 0,
        validation_split: 0.0,
        shuffle: true,
        seed: 0,
        batch_size: 32,
        threads: 0,
        verbose: Verbose::Auto,
    };
    let (mut repeats, mut json) = (21, false);
    let mut given: Vec<String> = Vec::new();
    while let Some(argument) = parser.next()? {
        match &argument {
            Long(name) => given.push(format!("--{name}")),
            Short('o') => given.push("--output".into()),
            Short(_) | Value(_) => {}
        }
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('V') | Long("version") => return Ok(Command::Version),
            Long("data") => options.data = parser.value()?.into(),
            Long("input") => options.inputs.push(parser.value()?.into()),
            Short('o') | Long("output") => options.output = Some(parser.value()?.into()),
            Long("epochs") => options.epochs = parser.value()?.parse()?,
            Long("initial-epoch") => options.initial_epoch = parser.value()?.parse()?,
            Long("validation-split") => options.validation_split = parser.value()?.parse()?,
            Long("no-shuffle") => options.shuffle = false,
            Long("seed") => options.seed = parser.value()?.parse()?,
            Long("batch-size") => options.batch_size = parser.value()?.parse()?,
            Long("threads") => options.threads = parser.value()?.parse()?,
            Long("repeats") => repeats = parser.value()?.parse()?,
            Long("json") => json = true,
            Long("verbose") => {
                options.verbose = match parser.value()?.string()?.as_str() {
                    "auto" => Verbose::Auto,
                    "0" => Verbose::Silent,
                    "1" => Verbose::Bar,
                    "2" => Verbose::Lines,
                    other => return Err(format!("`--verbose` must be 0, 1, 2 or auto, {other} was given").into()),
                }
            }
            Value(value) if command.is_none() => command = Some(value.string()?),
            Value(value) if package.is_none() => package = Some(value.into()),
            other => return Err(other.unexpected()),
        }
    }
    let Some(command) = command else {
        return Err("which command? info, predict, evaluate, fit or bench; see `kc-run --help`".into());
    };
    const DATA: [&str; 4] = ["--data", "--verbose", "--batch-size", "--threads"];
    const FIT: [&str; 6] = ["--epochs", "--initial-epoch", "--validation-split", "--no-shuffle", "--seed", "--output"];
    let known: Vec<&str> = match command.as_str() {
        "info" | "first-prediction" => vec![],
        "predict" => vec!["--input", "--output", "--batch-size", "--threads"],
        "evaluate" => DATA.to_vec(),
        "fit" => [&DATA[..], &FIT].concat(),
        "bench" => vec!["--repeats", "--json"],
        other => {
            return Err(format!("unknown command `{other}`; expected info, predict, evaluate, fit or bench").into());
        }
    };
    if let Some(other) = given.iter().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("`kc-run {command}` has no option `{other}`; see `kc-run --help`").into());
    }
    let package = package.ok_or_else(|| format!("`kc-run {command}` needs a package: kc-run {command} model.kcp"))?;
    let needs = |name: &str, missing: bool| {
        if missing { Err(lexopt::Error::from(format!("`kc-run {command}` needs `{name}`"))) } else { Ok(()) }
    };
    Ok(match command.as_str() {
        "info" => Command::Info { package },
        "bench" => Command::Bench { package, repeats, json },
        "first-prediction" => Command::FirstPrediction { package },
        "predict" => {
            needs("--input FILE", options.inputs.is_empty())?;
            Command::Predict(Options { package, ..options })
        }
        command => {
            needs("--data PATH", options.data.as_os_str().is_empty())?;
            let options = Options { package, ..options };
            if command == "fit" { Command::Fit(options) } else { Command::Evaluate(options) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_training_with_options() {
        let line =
            "fit m.kcp --data d --epochs 5 --batch-size=64 --validation-split 0.1 --seed 3 -o out.kcp --verbose 2";
        let Ok(Command::Fit(options)) = of(line) else { panic!("{:?}", of(line)) };
        assert_eq!((options.epochs, options.batch_size, options.seed, options.shuffle), (5, 64, 3, true));
        assert_eq!((options.validation_split, options.verbose), (0.1, Verbose::Lines));
        assert_eq!((options.package, options.output), ("m.kcp".into(), Some("out.kcp".into())));
        assert_eq!(of("--help"), Ok(Command::Help));
        assert_eq!(of("info m.kcp"), Ok(Command::Info { package: "m.kcp".into() }));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, message) in [
            ("", "which command? info, predict, evaluate, fit or bench; see `kc-run --help`"),
            ("train m.kcp", "unknown command `train`; expected info, predict, evaluate, fit or bench"),
            ("fit", "`kc-run fit` needs a package: kc-run fit model.kcp"),
            ("fit m.kcp", "`kc-run fit` needs `--data PATH`"),
            ("predict m.kcp", "`kc-run predict` needs `--input FILE`"),
            ("predict m.kcp --epochs 3", "`kc-run predict` has no option `--epochs`; see `kc-run --help`"),
            ("fit m.kcp --data d --verbose 3", "`--verbose` must be 0, 1, 2 or auto, 3 was given"),
            ("fit m.kcp --epochs many", "cannot parse argument \"many\": invalid digit found in string"),
            ("fit m.kcp other", "unexpected argument \"other\""),
            ("fit m.kcp --wonder", "invalid option '--wonder'"),
        ] {
            assert_eq!(of(line), Err(message.to_owned()), "{line}");
        }
    }
}
